"""A sweep is driven to its end: through interruptions, failures and a search, in this process and by another engine."""

import dataclasses
import json
from collections.abc import Iterator

import pytest
from cell_files import sentence

from build.errors import Interrupted, UserError
from build.recipes import find
from build.runs import Run
from build.study.execute import Result, Task
from build.sweep.board import Board
from build.sweep.drive import Sweep
from build.sweep.plan import Asked, Spot
from build.sweep.state import DONE, Entry

TINY = dataclasses.replace(
    find("report-custom-cnn"), name="tiny", filters=2, epochs=2, batch=32, resolutions=((32, 1.0),)
)
OTHER = dataclasses.replace(TINY, name="other", dropout=0.5)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def sweep_of(asked: Asked, tmp_path, cache) -> Sweep:
    return Sweep(asked, root=tmp_path / "runs", cache=cache)


class Bench:
    """An engine that trains nothing: `size` tasks at once, last in first out; scores by a function of the task.

    known: runs of an earlier one, which are found again as `perform` does it.
    """

    def __init__(self, root, score, *, size: int = 1, stop_after: int | None = None, known: dict | None = None):
        self.root, self.score, self.size, self.stop_after = root, score, size, stop_after
        self.performed: list[Task] = []
        self.known: dict[Task, tuple[Run, list[dict], str]] = dict(known or {})
        self.epochs = 0
        self.together: list[list[Task]] = []
        """What was under way whenever one ended."""

    def __call__(self, tasks, begin, heard) -> Iterator[tuple[int, Result]]:
        waiting: list[tuple[int, Task]] = []
        position, ended = 0, False
        while waiting or not ended:
            while not ended and len(waiting) < self.size:
                task = next(tasks, ended := "no more")
                if task == "no more":
                    break
                ended = False
                if task is None:
                    assert waiting, "there is nothing to wait for"
                    break
                begin(position)
                waiting.append((position, task))
                position += 1
            if waiting:
                self.together.append([task for _, task in waiting])
                if self.stop_after == len(self.performed):
                    raise KeyboardInterrupt
                yield self.perform(*waiting.pop(), heard)

    def perform(self, position: int, task: Task, heard) -> tuple[int, Result]:
        self.performed.append(task)
        value = self.score(task)
        if isinstance(value, str):
            return position, Result(task, failure=value)
        run, history, status = self.known.get(task) or (Run.create(self.root, task.recipe, seed=task.seed), [], "")
        reused = status == "finished" or (status == "pruned" and heard(position, run.id, history))
        while not reused and len(history) < task.recipe.epochs:
            self.epochs, epoch, status = self.epochs + 1, len(history) + 1, "finished"
            history.append({"epoch": epoch, "score": value * epoch / task.recipe.epochs})
            if heard(position, run.id, history) and epoch < task.recipe.epochs:
                status = "pruned"
                break
        run.weights_path.write_bytes(b"")
        run.write_history(history)
        self.known[task] = run, history, status
        facts = {"status": status, "validation": value, "validation_perturbed": value, "epochs": len(history)}
        return position, Result(task, run.id, facts, reused=reused)


def test_every_arm_is_tried_at_every_spot_and_the_same_question_does_nothing_again(tmp_path, cache, capsys):
    asked = Asked((TINY, OTHER), "synthetic:160", seeds=2, members=2)
    engine = Bench(tmp_path / "runs", lambda task: 0.5 + 0.1 * (task.recipe.name == "other") + 0.01 * task.seed)
    driven = sweep_of(asked, tmp_path, cache)
    assert driven.run(engine) == 0
    assert len(engine.performed) == len(set(engine.performed)) == 8
    assert {(t.recipe.name, t.seed, t.recipe.member) for t in engine.performed} == {
        (name, seed, member) for name in ("tiny", "other") for seed in (0, 1) for member in (0, 1)
    }
    assert [entry.arm for entry in driven.best(2)] == ["other", "other"]
    assert [entry.seed for entry in driven.best(2)] == [1, 1]
    assert "| other | 4 | 60.5 ± 0.6 |" in (driven.folder / "table.md").read_text()

    again = Bench(tmp_path / "runs", lambda task: 0.0)
    assert sweep_of(asked, tmp_path, cache).run(again) == 0
    assert again.performed == []


def test_what_another_driver_did_between_reading_and_beginning_is_known(tmp_path, cache):
    asked = Asked((TINY,), "synthetic:160", seeds=2)
    first, second = (sweep_of(asked, tmp_path, cache) for _ in range(2))
    first.run(Bench(tmp_path / "runs", lambda task: 0.5))
    late = Bench(tmp_path / "runs", lambda task: 0.5)
    assert second.run(late) == 0
    assert late.performed == []


def test_the_table_counts_what_earlier_calls_finished():
    board = Board(5)
    board.before = 3
    board.begin(0, "podium", "seed 3")
    board.over(0, Entry("podium", 3, 0, 0, DONE, "run", score=0.7), reused=False)
    board.begin(1, "podium", "seed 4")
    assert board.table().title.startswith("4 of 5 runs over, ETA ")


def test_a_run_whose_folder_is_gone_is_asked_for_again(tmp_path, cache):
    asked = Asked((TINY, OTHER), "synthetic:160")
    driven = sweep_of(asked, tmp_path, cache)
    driven.run(Bench(tmp_path / "runs", lambda task: 0.5))
    Run(tmp_path / "runs" / driven.state.entries["other", Spot(0, 0, 0)].run).weights_path.unlink()
    again = Bench(tmp_path / "runs", lambda task: 0.5)
    sweep_of(asked, tmp_path, cache).run(again)
    assert [task.recipe.name for task in again.performed] == ["other"]


def test_figures_of_suites_that_have_changed_since_are_asked_for_again(tmp_path, cache, monkeypatch):
    asked = Asked((TINY, OTHER), "synthetic:160")
    driven = sweep_of(asked, tmp_path, cache)
    driven.run(Bench(tmp_path / "runs", lambda task: 0.5))
    for entry in list(driven.state.entries.values()):
        driven.state.add(dataclasses.replace(entry, figures={"accuracy": 0.5, "stacked": None}))
    driven.state.write()
    monkeypatch.setattr("build.sweep.drive.known_measures", lambda run, _: {} if run.recipe.name == "tiny" else None)
    again = Bench(tmp_path / "runs", lambda task: 0.5)
    sweep_of(asked, tmp_path, cache).run(again)
    assert [task.recipe.name for task in again.performed] == ["other"]


def test_a_failure_is_counted_shown_and_tried_again_by_the_next_call(tmp_path, cache, capsys):
    asked = Asked((TINY, OTHER), "synthetic:160")
    engine = Bench(tmp_path / "runs", lambda task: "The disk is full." if task.recipe.name == "tiny" else 0.5)
    assert sweep_of(asked, tmp_path, cache).run(engine) == 1
    assert "tiny: The disk is full." in capsys.readouterr().err
    again = Bench(tmp_path / "runs", lambda task: 0.5)
    driven = sweep_of(asked, tmp_path, cache)
    assert driven.run(again) == 0
    assert [task.recipe.name for task in again.performed] == ["tiny"]
    assert driven.board.before == 1  # the failed one counts when it is over


def test_more_folds_than_a_class_has_images_are_refused_before_any_run(tmp_path, cache):
    with pytest.raises(UserError) as caught:
        sweep_of(Asked((TINY,), "synthetic:160", folds=21), tmp_path, cache)
    assert "in synthetic:160, too few for 21 folds" in sentence(caught)


def test_two_drivers_of_one_sweep_are_refused(tmp_path, cache):
    asked = Asked((TINY,), "synthetic:160")
    first, second = sweep_of(asked, tmp_path, cache), sweep_of(asked, tmp_path, cache)
    with first.state.locked(), pytest.raises(UserError) as caught:
        second.run(Bench(tmp_path / "runs", lambda task: 0.5))
    assert "driven by another process" in sentence(caught)


SEARCH = Asked(
    (dataclasses.replace(TINY, epochs=9),),
    "synthetic:160",
    seeds=2,
    search="dropout=uniform(0,1)",
    trials=12,
    judge=False,
)


def good(task: Task) -> float:
    """Better the less dropout."""
    return 0.9 - 0.5 * task.recipe.dropout + 0.001 * task.seed


def test_a_search_gives_poor_trials_up_in_their_first_run_and_finds_the_same_after_an_interruption(tmp_path, cache):
    pytest.importorskip("optuna")
    straight = sweep_of(SEARCH, tmp_path / "straight", cache)
    engine = Bench(tmp_path / "straight" / "runs", good)
    assert straight.run(engine) == 0
    trials = straight.state.trials["tiny"]
    assert [trial.number for trial in trials] == list(range(12))
    assert all(trial.over for trial in trials)
    pruned = [trial for trial in trials if trial.value is None]
    assert 3 <= len(pruned) <= 10
    assert len(engine.performed) == 24 - len(pruned)  # the second seed only of those that went on
    assert len({task.recipe.dropout for task in engine.performed}) == 12
    whole = trials[0]
    assert whole.value == pytest.approx(0.9 - 0.5 * whole.settings["dropout"] + 0.0005)
    least = min(task.recipe.dropout for task in engine.performed)
    assert straight.state.trials["tiny"][int(straight.best(1)[0].arm.split("#")[1])].settings["dropout"] == least

    for stop in (0, 1, 6, None):
        stopped = sweep_of(SEARCH, tmp_path / "stopped", cache)
        broken = Bench(tmp_path / "stopped" / "runs", good, stop_after=stop)
        if stop is None:
            assert stopped.run(broken) == 0
        else:
            with pytest.raises(Interrupted, match="the same command goes on"):
                stopped.run(broken)
    assert stopped.state.trials == straight.state.trials


def test_more_trials_go_on_from_what_is_known_of_the_first_ones(tmp_path, cache):
    pytest.importorskip("optuna")
    first = sweep_of(SEARCH, tmp_path, cache)
    engine = Bench(tmp_path / "runs", good)
    first.run(engine)
    more = sweep_of(dataclasses.replace(SEARCH, trials=16), tmp_path, cache)
    assert more.folder != first.folder
    again = Bench(tmp_path / "runs", good, known=engine.known)
    assert more.run(again) == 0
    assert more.state.trials["tiny"][:12] == first.state.trials["tiny"]
    straight = Bench(tmp_path / "straight", good)
    whole = sweep_of(dataclasses.replace(SEARCH, trials=16), tmp_path / "straight", cache)
    whole.run(straight)
    assert more.state.trials == whole.state.trials
    assert engine.epochs + again.epochs == straight.epochs  # nothing of the first twelve was trained anew


def test_a_history_that_a_spreadsheet_saved_stops_no_search(tmp_path, cache, capsys):
    pytest.importorskip("optuna")

    class Spreadsheet(Bench):
        def perform(self, *given):
            position, result = super().perform(*given)
            path = Run(tmp_path / "runs" / result.run).history_path
            path.write_text(path.read_text().replace(",", ";"))
            return position, result

    driven = sweep_of(dataclasses.replace(SEARCH, trials=3), tmp_path, cache)
    assert driven.run(Spreadsheet(tmp_path / "runs", good)) == 0
    assert all(trial.over for trial in driven.state.trials["tiny"])
    assert "history.csv is not as the trainer wrote it" in " ".join(capsys.readouterr().err.split())


def test_an_engine_may_have_several_under_way_and_end_them_in_any_order(tmp_path, cache):
    pytest.importorskip("optuna")
    engine = Bench(tmp_path / "runs", good, size=4)
    driven = sweep_of(SEARCH, tmp_path, cache)
    assert driven.run(engine) == 0
    assert max(map(len, engine.together)) == 4
    assert [trial.over for trial in driven.state.trials["tiny"]] == [True] * 12
    assert len(set(engine.performed)) == len(engine.performed)


def test_trials_of_equal_settings_are_never_under_way_together(tmp_path, cache):
    pytest.importorskip("optuna")
    asked = dataclasses.replace(SEARCH, search="optimizer=choice(adamw,lion)")
    driven = sweep_of(asked, tmp_path, cache)
    engine = Bench(tmp_path / "runs", lambda task: 0.5, size=4)
    assert driven.run(engine) == 0
    assert len(driven.state.trials["tiny"]) == 12
    assert all(trial.over for trial in driven.state.trials["tiny"])
    assert max(map(len, engine.together)) > 1
    assert all(len(set(tasks)) == len(tasks) for tasks in engine.together)


def test_in_this_process_a_run_is_interrupted_resumed_and_another_given_up(tmp_path, cache, monkeypatch):
    from build.train.fit import Training

    driven = sweep_of(Asked((TINY,), "synthetic:160", members=2, judge=False), tmp_path, cache)
    epoch = Training._epoch

    def stopped_after_one(self, number):
        epoch(self, number)
        self.stop.wished = True

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_epoch", stopped_after_one)
        with pytest.raises(Interrupted):
            driven.run()
    (begun,) = (path.parent.name for path in (tmp_path / "runs").glob("2*/run.json"))

    again = sweep_of(Asked((TINY,), "synthetic:160", members=2, judge=False), tmp_path, cache)
    heard = []

    def give_up_the_second(position, run, history):
        heard.append((position, len(history)))
        return position == 1

    monkeypatch.setattr(again, "_heard", give_up_the_second)
    assert again.run() == 0
    assert heard == [(0, 2), (1, 1)]
    first, second = again.state.entries.values()
    assert (first.run, first.state, first.epochs) == (begun, "done", 2)
    assert (second.state, second.epochs) == ("pruned", 1)
    assert json.loads(again.state.path.read_text())["entries"][1]["state"] == "pruned"
    assert [entry.run for entry in again.best(1)] == [begun]
