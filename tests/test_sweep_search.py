"""--search: what it may say, in one sentence where it may not; the same trials for the same seed, also after a restart."""

import pytest
from cell_files import sentence

from build.errors import UserError
from build.sweep.search import Distribution, Search, parse

TEXT = "lr=loguniform(1e-4,3e-3), dropout = uniform(0, 0.5); optimizer=choice(adamw,lion) augmix_width=int(1,4)"


def test_names_and_distributions_are_read():
    assert parse(TEXT) == {
        "learning_rate": Distribution("loguniform", 1e-4, 3e-3),
        "dropout": Distribution("uniform", 0.0, 0.5),
        "optimizer": Distribution("choice", values=("adamw", "lion")),
        "augmix_width": Distribution("int", 1, 4),
    }
    assert parse("flip=choice(true,false), batch=choice(32,64)") == {
        "flip": Distribution("choice", values=(True, False)),
        "batch": Distribution("choice", values=(32, 64)),
    }


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "--search is empty"),
        ("lr", "Expected NAME=KIND(A,B)"),
        ("lr=loguniform(1e-4,3e-3", "got 'lr=loguniform(1e-4,3e-3'"),
        ("dropout=uniform(0,.5) and more", "got 'and more'"),
        ("rate=uniform(0,1)", "names rate, which is no field of a recipe"),
        ("fold=int(0,4)", "fold cannot be searched"),
        ("minimum_held_out=uniform(0,1)", "minimum_held_out cannot be searched"),
        ("teachers=choice(a,b)", "teachers cannot be searched"),
        ("lr=uniform(0,1), learning_rate=uniform(0,1)", "names learning_rate twice"),
        ("lr=normal(0,1)", "expected one of uniform, loguniform, int, choice, got normal"),
        ("lr=loguniform(0,1)", "LOW above 0 below HIGH, got 0, 1"),
        ("lr=uniform(1,1)", "LOW below HIGH, got 1, 1"),
        ("lr=uniform(1)", "LOW below HIGH, got 1"),
        ("lr=uniform(a,1)", "learning_rate is a number, got 'a'"),
        ("lr=uniform(0,inf)", "learning_rate is a number, got 'inf'"),
        ("batch=uniform(8,64)", "use int or choice"),
        ("batch=int(8,64.5)", "batch is a whole number, got '64.5'"),
        ("dropout=int(0,1)", "use uniform, loguniform or choice"),
        ("optimizer=uniform(0,1)", "use choice"),
        ("optimizer=choice(lion)", "two or more different values, got lion"),
        ("flip=choice(yes,no)", "flip is true or false, got 'yes'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, phrase):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert phrase in sentence(caught)


def trials(count: int, *, seed: int = 0, restart: int | None = None) -> tuple[list[dict], list[int]]:
    """Settings, and epochs until each was given up, of trials whose value is better the nearer the rate is to 1e-3."""
    space = parse(TEXT)
    search, known, lengths = Search(space, seed=seed, epochs=9), [], []
    for number in range(count):
        if number == restart:
            search = Search(space, seed=seed, epochs=9)
            for trial in known:
                search.recall(*trial)
        settings, values, stop = search.ask(number), {}, False
        for epoch in range(1, 10):
            values[epoch] = -1 / epoch - 100 * abs(settings["learning_rate"] - 1e-3)
            stop = search.report(number, epoch, values[epoch])
            if stop:
                break
        value = None if stop else values[9]
        search.tell(number, value)
        known.append((number, settings, values, value))
        lengths.append(len(values))
    return [settings for _, settings, _, _ in known], lengths


def test_the_same_seed_gives_the_same_trials_also_after_a_restart():
    pytest.importorskip("optuna")
    straight = trials(20)
    assert trials(20, restart=13) == straight
    assert trials(3, seed=1)[0] != straight[0][:3]
    for settings in straight[0]:
        assert 1e-4 <= settings["learning_rate"] <= 3e-3
        assert 0 <= settings["dropout"] <= 0.5
        assert settings["optimizer"] in ("adamw", "lion")
        assert settings["augmix_width"] in (1, 2, 3, 4)


def test_poor_trials_are_given_up_at_a_ninth_or_a_third_of_the_epochs_and_good_ones_never():
    pytest.importorskip("optuna")
    settings, lengths = trials(24)
    assert set(lengths) == {1, 3, 9}
    assert lengths[0] == 9  # nothing to be worse than
    assert lengths.count(9) <= 12
    distances = [abs(one["learning_rate"] - 1e-3) for one in settings]
    assert lengths[distances.index(min(distances))] == 9


@pytest.mark.parametrize("epochs", [14, 16, 30, 60])
def test_nothing_is_given_up_after_a_third_of_the_epochs(epochs):
    """Each trial is better than those before it until halfway, and worse after it."""
    pytest.importorskip("optuna")
    search = Search(parse("dropout=uniform(0,1)"), seed=0, epochs=epochs)
    for number in range(9):
        search.ask(number)
        for step in range(1, epochs + 1):
            stop = search.report(number, step, number if step <= epochs / 2 else -number)
            assert not stop or step == epochs, step
        search.tell(number, -number)


def test_a_trial_goes_on_with_its_settings_and_what_it_reported_twice_counts_once():
    pytest.importorskip("optuna")
    search = Search(parse("dropout=uniform(0,1)"), seed=0, epochs=9)
    assert search.ask(0, {"dropout": 0.25}) == {"dropout": 0.25}
    assert not search.report(0, 1, 0.9)
    assert not search.report(0, 1, 0.1)
    search.tell(0, 0.9)
    search.ask(1)
    assert search.report(1, 1, 0.5)
