"""A training from its recipe to its run folder, on cells that are learned within seconds."""

import dataclasses
import itertools
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tensorflow as tf
import toy_cells
from toy_cells import RECIPE, column

from build.data.split import Split
from build.errors import UserError
from build.runs import Run, RunInterrupted
from build.train import checkpoint, fit, learner, progress, record
from build.train.fit import train
from build.train.hosts import Hosts
from build.train.streams import TRAIN
from submission import contract, weights
from submission import network as networks

cells = toy_cells.cells


@pytest.fixture(scope="module")
def run(cells, tmp_path_factory):
    """A finished training of six epochs."""
    recipe = dataclasses.replace(RECIPE, epochs=6)
    return train(recipe, cells, seed=0, root=tmp_path_factory.mktemp("runs"))


def test_a_separable_problem_is_learned(run):
    assert column(run, "loss")[-1] < 0.5 * column(run, "loss")[0]
    assert max(column(run, "validation_accuracy")) == 1
    assert run.facts["result"]["score"] == 1


def test_the_kept_weights_are_those_that_were_measured(run, cells):
    arrays, meta = weights.load(run.weights_path)
    network = networks.build(meta["spec"], initialize=False)
    for name, variable in networks.variables(network).items():
        variable.assign(arrays[name])
    rows = cells.split.validation
    predicted = np.array(network(cells.cells.images[rows].astype(np.float32))).argmax(1)
    accuracy = (predicted == cells.cells.labels[rows]).mean()
    assert accuracy == pytest.approx(run.facts["result"]["validation_accuracy"])


def test_every_epoch_copies_other_images_for_balance_and_as_many(cells, tmp_path, monkeypatch):
    labels, shown = cells.cells.labels, []

    class Seen(learner.Batches):
        def __init__(self, images, labels, rows, *, copy, stream, **named):
            if stream == TRAIN:
                shown.append((rows[~copy], rows[copy]))
            super().__init__(images, labels, rows, copy=copy, stream=stream, **named)

    monkeypatch.setattr(learner, "Batches", Seen)
    before = np.bincount(labels[cells.split.train], minlength=8)
    recipe = dataclasses.replace(RECIPE, epochs=3, balance="augment", balance_counts=tuple((before + 2).tolist()))
    train(recipe, cells, seed=0, root=tmp_path)
    assert len(shown) == 3
    for originals, copied in shown:
        assert np.array_equal(np.sort(originals), np.sort(cells.split.train))
        assert np.bincount(labels[copied]).tolist() == [2] * 8
    assert len({tuple(np.sort(copied)) for _, copied in shown}) == 3


def test_what_saving_takes_is_known_to_the_time_budget(cells, tmp_path, monkeypatch):
    save = record.save
    monkeypatch.setattr(record, "save", lambda *given, **named: (time.sleep(1.0), save(*given, **named)))
    run = train(dataclasses.replace(RECIPE, epochs=2), cells, seed=0, root=tmp_path)
    *_, fixed = checkpoint.load_facts(run.checkpoint_path)["costs"]["recent"][-1]
    assert fixed > 1


def test_the_best_epoch_has_the_best_score_and_among_equals_the_smallest_loss(run):
    merits = []
    for row in run.history:
        numbers = {name: float(value) for name, value in row.items() if name != "phase"}
        mean = (numbers["validation_accuracy"] + numbers["perturbed_accuracy"]) / 2
        assert numbers["score"] == pytest.approx(mean)
        merits.append((numbers["score"], -numbers["validation_loss"] - numbers["perturbed_loss"]))
    assert run.facts["result"]["epoch"] == 1 + merits.index(max(merits))
    assert [merit[0] for merit in merits].count(1) > 1  # equals there are


def test_the_folder_says_how_it_was_made(run, cells):
    facts = run.facts
    assert facts["status"] == "finished"
    assert facts["epochs"] == {"done": 6, "total": 6, "recipe": 6}
    assert facts["seed"] == 0
    assert facts["data"] == {"source": "toy", "sha256": cells.cells.sha256}
    assert facts["versions"]["tensorflow"]
    assert facts["decided"]["precision"] == "float32"
    assert facts["classes"] == list(contract.CLASSES)
    assert facts["images"] == {side: len(getattr(cells.split, side)) for side in ("train", "validation", "test")}
    assert facts["counts"]["counts_seen"] == [10] * 8
    assert run.recipe == dataclasses.replace(RECIPE, epochs=6)
    loaded = Split.load(run.split_path)
    np.testing.assert_array_equal(loaded.test, cells.split.test)
    assert Run.open("latest", run.folder.parent) == run


def test_history_has_a_line_an_epoch_and_the_learning_rate_ends_at_nothing(run):
    assert [row["epoch"] for row in run.history] == list("123456")
    assert column(run, "learning_rate")[-1] == pytest.approx(0, abs=1e-9)
    assert all(0 < rate < 5e-3 for rate in column(run, "learning_rate")[:-1])
    assert {row["side"] for row in run.history} == {"32"}


def test_the_curves_are_a_picture_with_something_on_it(run):
    picture = cv2.imread(str(run.curves_path))
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_tensorboards_file_is_read_by_tensorflow_with_the_histories_numbers(run):

    (path,) = run.tensorboard_path.iterdir()
    # The dataset checks every record's two checksums.
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[1:]] == [1, 2, 3, 4, 5, 6]
    for event, row in zip(events[1:], run.history, strict=True):
        values = {value.tag: value.simple_value for value in event.summary.value}
        assert values["score"] == pytest.approx(float(row["score"]), rel=1e-6)
        assert values["validation_loss"] == pytest.approx(float(row["validation_loss"]), rel=1e-6)
    times = [event.wall_time for event in events]
    assert times == sorted(times)


def test_another_seed_is_another_training(run, cells, tmp_path):  # and the same one the same: test_resume.py
    other = train(run.recipe, cells, seed=1, root=tmp_path, watch=lambda *_: True)  # one epoch
    assert column(other, "loss")[0] != column(run, "loss")[0]


def test_early_stopping_ends_after_so_many_epochs_without_a_better_one(cells, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=30, patience=2, learning_rate=0.0, weight_decay=0.0)
    run = train(recipe, cells, seed=0, root=tmp_path)  # nothing is learned: the first epoch stays the best
    assert run.facts["status"] == "stopped early"
    assert run.facts["result"]["epoch"] == 1
    assert len(run.history) == 3


def test_early_stopping_waits_for_the_last_resolution(cells, tmp_path):
    recipe = dataclasses.replace(
        RECIPE, epochs=6, patience=1, learning_rate=0.0, weight_decay=0.0, resolutions=((16, 0.5), (32, 0.5))
    )
    run = train(recipe, cells, seed=0, root=tmp_path)
    assert column(run, "side") == [16, 16, 16, 32]


def test_pretrained_weights_train_the_head_alone_and_then_the_last_layers(run, cells, tmp_path):
    recipe = dataclasses.replace(
        RECIPE, epochs=3, head_epochs=1, weights=str(run.weights_path), fine_tune_layers=4, patience=1, dropout=0.0
    )
    tuned = train(recipe, cells, seed=1, root=tmp_path)
    assert [row["phase"] for row in tuned.history] == ["head", "fine-tune", "fine-tune"]
    assert column(tuned, "validation_accuracy")[0] == 1  # it began where the other training ended
    before, after = (weights.load(r.weights_path)[0] for r in (run, tuned))
    from build.train.learner import Learner

    learner = Learner(recipe, _decision(tuned), cells, seed=1, load_weights=False)
    learner.resume(tuned.checkpoint_path, None)
    last = dict(zip(networks.variables(learner.network), checkpoint.snapshot(learner.network.weights), strict=True))
    # Of the last four layers (block 2's ReLU, pool, dropout, logits) only the logits have weights.
    changed = {name for name in before if (before[name] != last[name]).any()}
    assert changed == {"logits/kernel", "logits/bias"}
    assert after.keys() == before.keys()


def _decision(run):
    from build.train.hardware import Decision

    return Decision(**run.facts["decided"])


@pytest.fixture
def clock(monkeypatch):
    """For the trainer every look at the clock is a second later: how many epochs fit does not depend on what else runs here."""
    ticks = itertools.count()
    for module in (fit, progress):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def test_the_learning_rate_ends_with_a_phase_that_began_before_or_after_it_was_planned_to(
    run, cells, tmp_path, monkeypatch
):
    """The head of 15 epochs has 5; then 9 are found to fit, of which it would have had 3; then 12, of which 4."""
    totals = {1: 15, 6: 9, 7: 12}
    monkeypatch.setattr(fit.Timetable, "decide", lambda _, done, total, *left, **known: totals.get(done, total))
    recipe = dataclasses.replace(
        RECIPE, epochs=20, head_epochs=20, weights=str(run.weights_path), minutes=5, patience=0, warmup_epochs=0
    )
    tuned = train(recipe, cells, seed=1, root=tmp_path)
    assert [row["phase"] for row in tuned.history] == ["head"] * 5 + ["fine-tune"] * 7
    rates = column(tuned, "learning_rate")
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    # Half a cosine over seven epochs, from where their number was known on.
    expected = [recipe.learning_rate * (1 + np.cos(np.pi * done / 7)) / 2 for done in range(3, 8)]
    assert rates[-5:] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_the_learning_rate_lasts_for_epochs_that_were_added_as_the_head_ended(run, cells, tmp_path, monkeypatch):
    """Of 11 epochs the head has 3; at the fourth a twelfth is found to fit, of which it would have had 4."""
    monkeypatch.setattr(fit.Timetable, "decide", lambda _, done, total, *left, **known: {1: 11, 4: 12}.get(done, total))
    recipe = dataclasses.replace(
        RECIPE, epochs=20, head_epochs=20, weights=str(run.weights_path), minutes=5, patience=0, warmup_epochs=0
    )
    tuned = train(recipe, cells, seed=1, root=tmp_path)
    assert [row["phase"] for row in tuned.history] == ["head"] * 3 + ["fine-tune"] * 9
    *_, last_but_one, last = column(tuned, "learning_rate")
    assert last == pytest.approx(0, abs=1e-9)
    assert last_but_one == pytest.approx(recipe.learning_rate * (1 + np.cos(np.pi * 8 / 9)) / 2, rel=1e-4)


@pytest.mark.usefixtures("clock")
def test_resolutions_change_on_the_way_and_a_budget_is_kept(cells, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=800, patience=0, minutes=3, resolutions=((16, 0.5), (32, 0.5)))
    run = train(recipe, cells, seed=0, root=tmp_path)
    total = run.facts["epochs"]["total"]
    assert 4 <= total < 800
    assert run.facts["status"] == "finished"
    assert 2 <= run.facts["minutes"] <= 3
    sides = [row["side"] for row in run.history]
    assert set(sides) == {"16", "32"}
    assert sides == sorted(sides)
    assert column(run, "learning_rate")[-1] == pytest.approx(0, abs=1e-9)  # the cosine ends with the shortened training


@pytest.mark.parametrize("pretrained", [False, True])
def test_the_compiling_of_validation_is_taken_for_no_cost_of_an_epoch(run, cells, tmp_path, monkeypatch, pretrained):
    """By the trainer's clock XLA takes a thousand seconds for it in each phase."""
    ticks, compiled = itertools.count(), []
    for module in (fit, progress):
        clock = SimpleNamespace(perf_counter=lambda: next(ticks) + 1000.0 * len(compiled))
        monkeypatch.setattr(module, "time", clock)
    make, compiling = learner.Classifier.make_test_function, learner.Classifier.compile

    def slow(self, *given):
        compiled.extend([True] if self.test_function is None else [])
        return make(self, *given)

    monkeypatch.setattr(learner.Classifier, "make_test_function", slow)
    monkeypatch.setattr(
        learner.Classifier, "compile", lambda self, **given: compiling(self, **given | {"jit_compile": False})
    )
    weights = str(run.weights_path) if pretrained else "none"
    recipe = dataclasses.replace(RECIPE, epochs=3, minutes=600, xla="on", head_epochs=1, weights=weights)
    costs = checkpoint.load_facts(train(recipe, cells, seed=1, root=tmp_path).checkpoint_path)["costs"]
    assert [fixed < 500 for *_, fixed in costs["recent"]] == [True] * 3
    assert costs["start"] > 1000
    assert len(compiled) == 1 + pretrained


def test_what_was_trained_last_is_the_latest_whatever_was_begun_beside_it(cells, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=2)
    first = train(recipe, cells, seed=0, root=tmp_path, watch=lambda run, history: len(history) == 1)
    beside = []

    def another(run, _history):
        if not beside:
            beside.append(Run.create(tmp_path, recipe))
            beside[0].become_latest()
        assert Run.open("latest", tmp_path) == beside[0]
        return False

    assert train(recipe, cells, seed=1, root=tmp_path, watch=another) == Run.open("latest", tmp_path)
    train(recipe, cells, seed=0, resume=first, root=tmp_path)
    assert Run.open("latest", tmp_path) == first


def test_a_run_killed_between_its_last_checkpoint_and_its_end_is_finished_by_resuming(cells, tmp_path, monkeypatch):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    run = train(recipe, cells, seed=0, root=tmp_path)
    whole = run.facts
    run.update(status="running", result=None)
    assert train(recipe, cells, seed=0, resume=run, root=tmp_path).facts["status"] == "finished"
    assert run.facts["result"] == whole["result"]


class Beside(Hosts):
    """One of two: the other wishes to stop as soon as an epoch is done."""

    def sum(self, values):
        return super().sum(values) + (self.run_id is not None and values == [False])


def test_where_another_host_wishes_to_stop_the_training_stops_after_the_epoch(cells, tmp_path):
    with pytest.raises(RunInterrupted):
        train(RECIPE, cells, seed=0, root=tmp_path, hosts=Beside())
    run = Run.open("latest", tmp_path)
    assert (run.facts["status"], len(run.history)) == ("interrupted", 1)


def test_a_batch_that_the_hosts_cannot_share_is_told_before_there_is_a_run(run, cells):
    three = Hosts(tuple(f"10.0.0.{number}:4711" for number in (1, 2, 3)), 0)
    recipe = dataclasses.replace(RECIPE, batch=64)
    with pytest.raises(UserError, match="A batch of 64 images has 2 parts of 32, which 3 hosts cannot share evenly"):
        learner.Learner(recipe, _decision(run), cells, seed=0, load_weights=False, hosts=three)
