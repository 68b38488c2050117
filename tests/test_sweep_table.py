"""A sweep's table and the choice of its best runs."""

import dataclasses

import pytest
from cell_files import sentence

from build.errors import UserError
from build.recipes import find
from build.study.execute import Result, Task
from build.sweep.plan import Asked, Spot
from build.sweep.state import DONE, FAILED, PRUNED, Entry, State, Trial
from build.sweep.table import arms_of, best, markdown


def entry(arm: str, score: float | None, *, seed: int = 0, fold: int = 0, member: int = 0, state: str = DONE) -> Entry:
    run = f"{arm}-{seed}-{fold}-{member}"
    figures = None if score is None else {"accuracy": score + 0.1, "stacked": None}
    failure = "No disk." if state == FAILED else ""
    return Entry(arm, seed, fold, member, state, run, score, score, 3, 2.0, figures, failure)


def state_of(*entries: Entry, folder) -> State:
    state = State.open(folder, Asked((find("podium"), find("smoke")), "cells.npz"), "a")
    for one in entries:
        state.add(one)
    return state


def test_means_and_spreads_are_over_the_finished_runs_of_an_arm_and_the_best_arm_is_first(tmp_path):
    state = state_of(
        entry("smoke", 0.5),
        entry("podium", 0.6),
        entry("podium", 0.8, seed=1),
        entry("podium", 0.1, seed=2, state=PRUNED),
        entry("smoke", None, seed=1, state=FAILED),
        folder=tmp_path,
    )
    first, second = arms_of(state)
    assert (first.arm, first.done, first.pruned, first.failed) == ("podium", 2, 1, 0)
    assert first.score == pytest.approx((0.7, 0.2 / 2**0.5))
    assert first.test == pytest.approx((0.8, 0.2 / 2**0.5))
    assert first.stacked == (None, None)
    assert (second.score, second.failures) == ((0.5, None), ("No disk.",))
    text = markdown([first, second], "Sweep")
    assert "| podium | 2, 1 pruned | 70.0 ± 14.1 | 70.0 ± 14.1 | 80.0 ± 14.1 | – | 2.0 |" in text
    assert "- smoke: No disk." in text


def test_what_is_written_is_read_again(tmp_path):
    state = state_of(entry("podium", 0.6), folder=tmp_path)
    state.trials["podium"].append(Trial("podium", 0, {"dropout": 0.1}, {1: 0.5}))
    state.write()
    again = state_of(folder=tmp_path)
    assert (again.entries, again.trials) == (state.entries, state.trials)
    state.path.write_text("{}")
    with pytest.raises(UserError) as caught:
        state_of(folder=tmp_path)
    assert "move it away: its runs are found again" in sentence(caught)


def test_an_entry_is_taken_from_a_result():
    task = Task(find("podium"), 3, "cells.npz")
    facts = {"status": "finished", "validation": 0.8, "validation_perturbed": 0.6, "epochs": 4, "minutes": 1.0}
    made = Entry.of("podium", Spot(3, 1, 2), Result(task, "r", facts))
    assert (made.spot, made.state, made.run) == (Spot(3, 1, 2), DONE, "r")
    assert made.score == pytest.approx(0.7)
    assert Entry.of("podium", Spot(0, 0, 0), Result(task, "r", facts | {"status": "pruned"})).state == PRUNED
    failed = Entry.of("podium", Spot(0, 0, 0), Result(task, failure="No disk."))
    assert (failed.state, failed.score, failed.failure) == (FAILED, None, "No disk.")


def test_the_best_runs_are_of_one_split_and_chosen_by_the_validation_score():
    entries = [
        entry("podium", 0.7),
        entry("smoke", 0.9),
        entry("podium", 0.8, member=1),
        entry("podium", 0.99, seed=1),
        entry("podium", 0.5, seed=1, member=1),
        entry("smoke", 0.97, member=2, state=PRUNED),
    ]
    assert [one.run for one in best(entries, 1)] == ["podium-1-0-0"]
    assert [one.run for one in best(entries, 2)] == ["smoke-0-0-0", "podium-0-0-1"]
    again = dataclasses.replace(entries[1], arm="smoke-2")  # a search drew the same settings, so it is the same run
    assert [one.run for one in best([*entries, again], 2)] == ["smoke-0-0-0", "podium-0-0-1"]
    with pytest.raises(UserError) as caught:
        best([*entries, again], 4)
    assert "Expected 4 finished runs of one split to pack, there are at most 3" in sentence(caught)
