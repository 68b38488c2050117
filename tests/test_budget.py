"""How many epochs fit into a time budget."""

import dataclasses
from types import SimpleNamespace

import pytest

from build.recipes import find
from build.train import progress
from build.train.budget import SHARE, Costs, Timetable

RECIPE = dataclasses.replace(find("podium"), resolutions=((48, 0.5), (96, 0.5)), head_epochs=2)
SMALL, LARGE = ("all", 48), ("all", 96)


def timetable(costs=None, *, pretrained=False, images=100, **changes):
    made = Timetable(dataclasses.replace(RECIPE, **changes), pretrained=pretrained, image_side=96, images=images)
    made.costs = costs or Costs()
    return made


COSTS = Costs({SMALL: 0.01, LARGE: 0.04}, fixed=2.0, start=5.0)


def test_kinds_follow_phases_and_resolutions():
    assert timetable().kinds(4) == [SMALL, LARGE]
    assert timetable(pretrained=True).kinds(8) == [("head", 48), ("fine-tune", 48), ("fine-tune", 96)]


def test_a_side_above_the_images_own_is_the_images_own():
    assert timetable(resolutions=((48, 0.5), (128, 0.5))).kinds(4) == [SMALL, LARGE]


def test_the_rest_is_the_sum_of_images_fixed_parts_and_starts():
    table = timetable(COSTS)
    # 2 epochs of 1 s and 2 of 4 s, 2 s more each, and two graphs to trace.
    assert table.remaining(0, 4) == pytest.approx(2 * 1 + 2 * 4 + 4 * 2 + 2 * 5)
    assert table.remaining(1, 4) == pytest.approx(1 + 2 * 4 + 3 * 2 + 5)  # the first graph is there
    assert table.remaining(4, 4) == 0


def test_newer_rates_count():
    assert timetable(COSTS).remaining(1, 4, COSTS.at(SMALL, 0.02)) == pytest.approx(2 + 2 * 8 + 3 * 2 + 5)


def test_a_graph_that_is_at_hand_is_not_traced_again():
    table = timetable(COSTS)
    table.knows = lambda kind: kind == LARGE  # by the trial
    assert table.remaining(1, 4) == pytest.approx(1 + 2 * 4 + 3 * 2)
    table = timetable(COSTS, resolutions=((48, 0.25), (96, 0.25), (48, 0.5)))
    assert table.remaining(0, 4) == pytest.approx(3 * 1 + 4 + 4 * 2 + 2 * 5)


def test_what_validation_s_graph_takes_is_no_cost_of_every_epoch():
    table = timetable(Costs(), images=100)
    table.learn(LARGE, 0.04, seconds=4 + 9 + 2, start=9.0, judged=False)
    assert (table.costs.fixed, table.costs.start) == pytest.approx(
        (2, 9)
    )  # of a first epoch nobody knows what is usual
    table.learn(SMALL, 0.01, seconds=1 + 8 + 30 + 2, start=8.0, judged=False)
    assert (table.costs.fixed, table.costs.start) == pytest.approx((2, 38))
    table.learn(SMALL, 0.01, seconds=1 + 8 + 1, start=8.0, judged=False)
    assert (table.costs.recent[-1][2], table.costs.start) == pytest.approx((1, 8))
    table.learn(SMALL, 0.01, seconds=1 + 30, start=None)
    assert table.costs.recent[-1][2] == pytest.approx(30)


def test_a_kind_never_tried_costs_what_any_costs():
    table = timetable(Costs({SMALL: 0.01}, fixed=0.0, start=0.0))
    assert table.remaining(0, 4) == pytest.approx(4)


@pytest.mark.parametrize("left", [0, 7, 12, 28, 29, 100, 1000])
def test_the_number_of_epochs_is_the_largest_that_fits(left):
    table = timetable(COSTS)
    total = table.fitting(1, 60, left)
    assert 1 <= total <= 60
    assert total == 1 or table.remaining(1, total) <= left
    assert all(table.remaining(1, more) > left for more in range(total + 1, 61))


def test_the_decision_is_made_at_once_however_many_epochs_the_recipe_has(monkeypatch):
    table, asked = timetable(COSTS), []
    kind = table.kind
    monkeypatch.setattr(table, "kind", lambda *given: asked.append(given) or kind(*given))
    for total in (60, 5000):
        asked.clear()
        table.remaining(1, total)
        assert 1 <= len(asked) <= 4


def test_no_total_is_asked_about_that_could_not_fit(monkeypatch):
    table, asked = timetable(COSTS), []
    remaining = table.remaining
    monkeypatch.setattr(table, "remaining", lambda *given: asked.append(given) or remaining(*given))
    table.recipe = dataclasses.replace(table.recipe, epochs=10**6)
    found = table.decide(1, 10**6, 300.0, decided=False)
    assert len(asked) < 1000
    table.recipe = dataclasses.replace(table.recipe, epochs=500)
    assert table.decide(1, 500, 300.0, decided=False) == found > 1


def seconds_of(table, done, total):
    return table.remaining(done, total) / SHARE + 1e-6


def test_the_first_decision_leaves_a_margin():
    table = timetable(COSTS)
    assert table.decide(1, 60, seconds_of(table, 1, 20), decided=False) == 20
    assert table.decide(1, 60, table.remaining(1, 20), decided=False) < 20


def test_a_machine_that_became_slower_trains_fewer_epochs_and_one_that_is_as_foreseen_as_many():
    table = timetable(COSTS)
    for done in (2, 15):
        assert table.decide(done, 20, table.remaining(done, 18), decided=True) == 18
        assert table.decide(done, 20, table.remaining(done, 20), decided=True) == 20


def test_a_machine_that_became_faster_trains_more_epochs_if_it_shows_in_the_first_half():
    table = timetable(COSTS)
    assert table.decide(8, 20, seconds_of(table, 8, 26), decided=True) == 26
    assert table.decide(8, 20, 1e6, decided=True) == 60  # never more than the recipe asks for
    assert table.decide(11, 20, seconds_of(table, 11, 26), decided=True) == 20


def test_more_epochs_never_lead_back_to_smaller_images():
    table = timetable(COSTS, resolutions=((48, 0.25), (96, 0.75)))
    # Of 30 epochs the seventh would have 48 px, of 20 it has 96.
    assert table.decide(6, 20, seconds_of(table, 6, 30), decided=True) == 20
    assert table.decide(4, 20, seconds_of(table, 4, 30), decided=True) == 30
    table = timetable(COSTS, resolutions=((96, 1.0),), curriculum=((0.2, 0.25), (1.0, 0.75)))
    assert table.decide(6, 20, seconds_of(table, 6, 30), decided=True) == 20  # epoch 6 of 30 would be weak again
    assert table.decide(4, 20, seconds_of(table, 4, 30), decided=True) == 30


def test_more_epochs_never_lead_back_to_a_stage_whose_value_comes_twice():
    for twice in (
        {"resolutions": ((96, 0.2), (48, 0.2), (96, 0.6))},
        {"resolutions": ((96, 1.0),), "curriculum": ((0.4, 0.2), (1.0, 0.2), (0.4, 0.6))},
    ):
        table = timetable(COSTS, **twice)
        # Epoch 9 of 20 is of the third stage; of 50 it would be of the first one, with the second still to come.
        assert table.decide(9, 20, seconds_of(table, 9, 50), decided=True) == 20
        assert table.decide(3, 20, seconds_of(table, 3, 50), decided=True) == 50


def after_epochs(*measured):
    """A timetable of one kind whose epochs took so many (seconds an image, fixed seconds), 100 images each."""
    table = timetable(resolutions=((96, 1.0),))
    for rate, fixed in measured:
        table.costs = table.costs.learn(LARGE, rate, fixed=fixed, start=None)
    return table


@pytest.mark.parametrize("odd", [(0.04, 60.0), (0.64, 2.0)])
def test_one_slow_epoch_gives_no_epoch_up_while_there_is_time_to_see_a_second(odd):
    usual = (0.04, 2.0)  # 6 seconds an epoch, the odd one about 60
    table = after_epochs(usual, usual, odd)
    assert table.decide(18, 40, 22 * 6 + 1, decided=True) == 40
    assert table.decide(18, 40, 10 * 6 + 1, decided=True) < 40  # less than two odd ones
    table = after_epochs(usual, odd, odd)
    assert table.decide(18, 40, 22 * 6 + 1, decided=True) == 20


@pytest.mark.parametrize(("left", "total"), [(130, 40), (119, 39), (59, 38)])
def test_before_the_end_a_slow_epoch_counts_at_once(left, total):
    table = after_epochs((0.04, 2.0), (0.04, 2.0), (0.58, 2.0))  # 6, 6 and 60 seconds
    assert table.decide(38, 40, left, decided=True) == total


def test_a_measured_epoch_scales_what_is_known_of_the_other_kinds():
    costs = COSTS.learn(SMALL, 0.02, fixed=3.0, start=None)
    assert costs.rates == pytest.approx({SMALL: 0.02, LARGE: 0.08})
    assert (costs.fixed, costs.start) == (3.0, 5.0)
    assert COSTS.learn(SMALL, 0.01, fixed=2.0, start=7.0).start == 7.0
    first = Costs().learn(LARGE, 0.04, fixed=1.0, start=2.0)
    assert first == Costs({LARGE: 0.04}, 1.0, 2.0, recent=((LARGE, 0.04, 1.0),))
    assert COSTS.at(SMALL, 0.005).rates == pytest.approx({SMALL: 0.005, LARGE: 0.02})
    assert COSTS.newest == COSTS


def test_the_median_is_of_the_last_three_epochs_of_the_kind():
    costs = COSTS
    for rate in (0.01, 0.09, 0.03, 0.02):
        costs = costs.learn(LARGE, rate, fixed=100 * rate, start=None)
    assert costs.rates == pytest.approx({SMALL: 0.0075, LARGE: 0.03})
    assert costs.fixed == pytest.approx(3.0)
    assert costs.newest.rates[LARGE] == pytest.approx(0.02)
    assert costs.newest.fixed == pytest.approx(2.0)
    assert costs.learn(SMALL, 0.05, fixed=3.0, start=None).rates[SMALL] == pytest.approx(0.05)


@pytest.mark.parametrize("together", [1, 16])
def test_what_an_epoch_takes_is_what_is_foreseen_of_the_next_however_many_steps_a_call_makes(monkeypatch, together):
    """A graph is traced for 20 s, filling the pipeline takes 0.5 s, a step of 10 images 0.4 s, validation and checkpoint 7 s."""
    steps, now = 44, [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    table = timetable(resolutions=((96, 1.0),), images=10 * steps)
    bar = SimpleNamespace(add_task=lambda *_, **__: 0, update=lambda *_, **__: None)
    for traced in (20.0, 0.0, 0.0):
        began = now[0]
        watch = progress.Watch(
            bar, title="", images=10 * steps, batch=10, after=lambda _: 0.0, stop=progress.StopSignal()
        )
        now[0] += traced + 0.5
        for first in range(0, steps, together):
            made = min(together, steps - first)
            now[0] += 0.4 * made
            watch.on_train_batch_end(first + made - 1)
        now[0] += 7
        seconds, start = now[0] - began, watch.start_seconds if traced else None
        table.learn(LARGE, watch.seconds_an_image, seconds=seconds, start=start)
    assert table.costs.start == pytest.approx(20.5)
    assert table.remaining(3, 4) == pytest.approx(steps * 0.4 + 7.5)
    assert table.remaining(0, 1) == pytest.approx(20.5 + steps * 0.4 + 7.5)


def test_the_last_kind_begins_where_its_resolution_does():
    assert timetable().last_begins(10) == 5
    assert timetable(resolutions=((96, 1.0),)).last_begins(10) == 0
    assert timetable(resolutions=((96, 1.0),), pretrained=True).last_begins(10) == 2
    stages = ((1.0, 0.4), (0.5, 0.3), (0.2, 0.3))
    assert timetable(resolutions=((96, 1.0),), curriculum=stages).last_begins(10) == 7
    again = ((96, 0.2), (48, 0.6), (96, 0.2))
    assert timetable(resolutions=again).last_begins(10) == 8  # not where 96 pixels came first


def test_costs_survive_a_checkpoint():
    import json

    table, other = timetable(COSTS.learn(LARGE, 0.04, fixed=2.0, start=None)), timetable()
    other.recall(json.loads(json.dumps(table.facts())))
    assert other.costs == table.costs
