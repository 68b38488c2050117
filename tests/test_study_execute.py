"""One row of a study: found again, resumed, trained, judged once; a failure is a value and Ctrl-C loses nothing."""

import dataclasses
import functools
import json
import pickle
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from build import package
from build.data.prepare import prepare
from build.errors import UserError
from build.files import explained
from build.recipes import find as recipe_named
from build.runs import Run, RunInterrupted
from build.study import execute
from build.study.execute import Task, perform

RECIPE = dataclasses.replace(
    recipe_named("report-custom-cnn"), name="tiny", filters=2, epochs=1, batch=32, resolutions=((32, 1.0),)
)
TASK = Task(RECIPE, seed=0, data="synthetic:160", rows=8)


def held(accuracy: float) -> dict:
    return {"n": 16, "accuracy": accuracy, "low": 0.0, "high": 1.0, "precision": 0.5, "recall": 0.5, "f1": 0.5}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A working folder whose caches all tests share."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def only_run(place) -> Run:
    """The trained run of TASK; nobody changes it."""
    from build.train.fit import train

    prepared = prepare(TASK.data, RECIPE, seed=0, cache=place / "data")
    return train(RECIPE, prepared, seed=0, root=place / "runs")


@pytest.fixture
def finished(only_run, tmp_path) -> Path:
    """A folder whose runs/ holds a copy of that run."""
    shutil.copytree(only_run.folder, tmp_path / "runs" / only_run.id)
    return tmp_path


@pytest.fixture
def judged(monkeypatch) -> list:
    """Stands in for the judge, which starts a framework of its own; returns the calls that it got."""
    calls = []

    def rehearse(zip_path, cells, **options):
        with zipfile.ZipFile(zip_path) as archive:
            calls.append((sorted(archive.namelist()), len(cells.labels), options))
        suite = {"accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 9, "images": 3, "definition": "d"}
        stacked = suite | {"corruptions": {execute.RANDAUGMENT: {"error": 0.25}}}
        card = {
            "held_out": held(0.75),
            "suites": {name: stacked if name == "stacked" else suite for name in options["suites"]},
            "seconds_per_1000": 1.0,
            "peak_mib": 300.0,
            "device": "a test",
        }
        return SimpleNamespace(verdict=SimpleNamespace(exit_code=0, sentence=""), card=card)

    monkeypatch.setattr(execute, "rehearse", rehearse)
    return calls


@pytest.fixture
def trained(monkeypatch) -> list:
    """Counts trainings; they still happen."""
    from build.train import fit

    calls, real = [], fit.train

    def counted(recipe, prepared, **options):
        calls.append(options["resume"])
        return real(recipe, prepared, **options)

    monkeypatch.setattr(fit, "train", counted)
    return calls


def made(task: Task, place: Path, tmp_path: Path):
    return perform(task, root=tmp_path / "runs", cache=place / "data")


def lookup(task: Task) -> Task:
    return dataclasses.replace(task, train=False)


def test_a_row_is_trained_judged_and_kept_and_the_second_call_does_neither(place, tmp_path, judged, trained):
    result = made(TASK, place, tmp_path)
    assert (result.failure, result.reused) == ("", False)
    assert result.measures["held_out"]["accuracy"] == 0.75
    assert result.measures["randaugment"] == 0.75
    assert result.facts["epochs"] == 1
    assert result.facts["network"] == "custom-cnn"
    names, count, options = judged[0]
    assert names == sorted((*package.SHIPPED, "weights.npz"))
    assert count == Run(tmp_path / "runs" / result.run).facts["images"]["test"]
    assert (options["rows"], options["probes"], options["suites"]) == (8, False, execute.SUITES)
    kept = json.loads((tmp_path / "runs" / result.run / "measures.json").read_text())
    assert kept == result.measures

    again = made(TASK, place, tmp_path)
    assert (again.run, again.measures, again.reused) == (result.run, result.measures, True)
    assert (len(judged), len(trained)) == (1, 1)
    assert pickle.loads(pickle.dumps(again)) == again


def test_other_rows_or_other_weights_are_judged_again_but_not_trained(place, finished, judged, trained):
    nine = dataclasses.replace(TASK, rows=9)
    result = made(nine, place, finished)
    assert len(judged) == 1
    measures = finished / "runs" / result.run / "measures.json"
    facts = json.loads(measures.read_text())
    facts["asked"]["weights_sha256"] = "0" * 64
    measures.write_text(json.dumps(facts))
    assert made(nine, place, finished).measures["asked"]["weights_sha256"] != "0" * 64
    for damaged in ("{", "[]"):
        measures.write_text(damaged)
        assert made(nine, place, finished).measures is not None
    assert (len(judged), trained) == (4, [])


def test_suites_that_changed_since_are_judged_again(place, finished, judged, trained, monkeypatch):
    made(TASK, place, finished)
    before = len(judged)
    monkeypatch.setattr(execute, "definition", lambda suite: f"{suite.name}, of other operations")
    made(TASK, place, finished)
    made(TASK, place, finished)
    assert (len(judged), trained) == (before + 1, [])


def test_what_somebody_compressed_counts_only_where_the_recipe_has_a_size_limit(place, finished, monkeypatch):
    staged = []

    def stage(run, recipe, folder, *, compressed):
        staged.append(compressed)
        raise UserError("Enough.")

    monkeypatch.setattr(package, "stage", stage)
    (run,) = Run.each(finished / "runs")
    asked = execute._asked(run, TASK)
    (run.folder / "compressed.npz").write_bytes(b"smaller")
    assert execute._asked(run, TASK) == asked
    made(TASK, place, finished)
    limited = dataclasses.replace(RECIPE, size_limit_mb=1.0)
    (run.folder / "recipe.json").write_text(limited.to_json())
    assert execute._asked(run, TASK) != asked
    made(dataclasses.replace(TASK, recipe=limited), place, finished)
    assert staged == [False, True]


def test_ctrl_c_after_the_last_step_of_a_run_begins_no_other_one(place, tmp_path, judged, monkeypatch):
    from build.train.fit import Training

    epoch = Training._epoch

    def stopped_in_the_last_one(self, number):
        epoch(self, number)
        self.stop.wished = True

    monkeypatch.setattr(Training, "_epoch", stopped_in_the_last_one)
    tasks = [TASK, dataclasses.replace(TASK, recipe=dataclasses.replace(RECIPE, dropout=0.5))]
    work = functools.partial(perform, root=tmp_path / "runs", cache=place / "data")
    with pytest.raises(RunInterrupted, match="when the training was over; go on with: nox -s package -- "):
        list(execute.execute(tasks, work))
    (run,) = Run.each(tmp_path / "runs")
    assert run.facts["status"] == "finished"
    assert judged == []


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"recipe": dataclasses.replace(RECIPE, dropout=0.5)}, {"data": "synthetic:168"}]
)
def test_another_seed_recipe_or_data_is_another_run(change, place, finished, judged):
    assert made(lookup(TASK), place, finished).failure == "Not judged yet."
    other = made(lookup(dataclasses.replace(TASK, **change)), place, finished)
    assert (other.run, other.failure) == ("", "Not trained yet.")


def test_a_number_of_views_that_packaging_would_choose_by_its_clock_is_one(place, finished, judged):
    (run,) = Run.each(finished / "runs")
    recipe = dataclasses.replace(RECIPE, views=0)
    run.recipe_path.write_text(recipe.to_json())
    assert made(dataclasses.replace(TASK, recipe=recipe), place, finished).failure == ""
    assert judged[0][2]["recipe"]["views"] == 1


def test_what_is_only_looked_up_is_not_trained(place, tmp_path, judged, trained):
    result = made(lookup(TASK), place, tmp_path)
    assert (result.failure, result.measures, trained, judged) == ("Not trained yet.", None, [], [])


def test_ctrl_c_passes_and_the_next_call_resumes_the_run(place, tmp_path, judged, trained, monkeypatch):
    from build.train.fit import Training

    task = dataclasses.replace(TASK, recipe=dataclasses.replace(RECIPE, epochs=2))
    epoch = Training._epoch

    def stopped_after_one(self, number):
        epoch(self, number)
        self.stop.wished = True

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_epoch", stopped_after_one)
        with pytest.raises(RunInterrupted):
            made(task, place, tmp_path)
    assert judged == []
    result = made(task, place, tmp_path)
    assert trained[0] is None
    assert trained[1].id == result.run
    assert result.facts["epochs"] == 2
    assert result.measures


def test_a_training_that_diverges_is_a_sentence_and_is_not_tried_again(place, tmp_path, judged, trained):
    hot = dataclasses.replace(RECIPE, learning_rate=float("inf"), warmup_epochs=0.0)
    for _ in range(2):
        result = made(dataclasses.replace(TASK, recipe=hot), place, tmp_path)
        assert "diverged in epoch 1" in result.failure
        assert result.measures is None
        assert result.run
    assert trained == [None]


def test_what_cannot_begin_is_tried_again(place, tmp_path, judged, trained):
    task = dataclasses.replace(TASK, recipe=dataclasses.replace(RECIPE, optimizer="sgd"))
    for _ in range(2):
        result = made(task, place, tmp_path)
        assert "'sgd'" in result.failure
        assert result.run == ""
    assert trained == [None, None]


def test_a_full_disk_is_a_sentence_and_the_row_is_resumed(place, tmp_path, judged, trained, monkeypatch):
    from build.train import record

    def full(*_, **__):
        with explained("state.npz", "written"):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(record, "save", full)
        assert "No space left" in made(TASK, place, tmp_path).failure
    result = made(TASK, place, tmp_path)
    assert result.failure == ""
    assert [run and run.id for run in trained] == [None, result.run]


def test_memory_that_did_not_suffice_is_a_sentence_and_the_row_is_tried_again(
    place, tmp_path, judged, trained, monkeypatch
):
    """Another program may have held it."""
    from build.train import learner

    def failing(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(learner.Classifier, "fit", failing)
        assert "memory does not hold" in made(TASK, place, tmp_path).failure
    assert made(TASK, place, tmp_path).failure == ""


def test_a_fault_that_nobody_foresaw_fails_its_row_alone_and_is_shown(place, tmp_path, monkeypatch, capsys):
    from build.train import fit

    monkeypatch.setattr(fit, "train", lambda *_, **__: 1 / 0)
    results = list(execute.execute([TASK, TASK], lambda task: made(task, place, tmp_path)))
    assert [position for position, _ in results] == [0, 1]
    assert [result.failure for _, result in results] == ["ZeroDivisionError: division by zero"] * 2
    assert "Traceback" in capsys.readouterr().err


def test_a_zip_that_would_fail_is_the_judges_sentence(place, finished, monkeypatch):
    verdict = SimpleNamespace(exit_code=1, sentence="It would fail: no time left.")
    monkeypatch.setattr(execute, "rehearse", lambda *_, **__: SimpleNamespace(verdict=verdict))
    result = made(TASK, place, finished)
    assert (result.failure, result.measures) == (verdict.sentence, None)
    assert result.run


def test_bad_data_is_a_sentence(place, tmp_path):
    assert "missing.npz" in made(dataclasses.replace(TASK, data="missing.npz"), place, tmp_path).failure


def test_a_finished_run_is_preferred_to_a_later_one_that_is_not(tmp_path):
    def run(status: str, weights: bool) -> Run:
        made = Run.create(tmp_path, RECIPE, seed=0, data={"sha256": "a"}, status=status)
        if weights:
            made.weights_path.write_bytes(b"")
        return made

    assert execute.find(TASK, "a", tmp_path) is None
    first = run("interrupted", True)
    finished = run("finished", True)
    run("finished", False)
    run("running", True)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("{")
    assert execute.find(TASK, "a", tmp_path).id == finished.id
    finished.update(status="failed")
    first.checkpoint_path.parent.mkdir()
    first.checkpoint_path.write_bytes(b"")
    assert execute.find(TASK, "a", tmp_path).id == first.id
    assert execute.find(TASK, "b", tmp_path) is None
    assert execute.find(dataclasses.replace(TASK, seed=1), "a", tmp_path) is None


@pytest.mark.slow
@pytest.mark.parametrize("left", ["another split", "no split"])
def test_a_run_that_cannot_be_gone_on_with_is_passed_over_unless_it_is_finished(place, finished, left):
    prepared = prepare(TASK.data, RECIPE, seed=0, cache=place / "data")
    found = functools.partial(execute.find, TASK, prepared.cells.sha256, finished / "runs", prepared.split)
    (run,) = Run.each(finished / "runs")
    run.update(status="interrupted")
    assert found() == run
    if left == "no split":
        run.split_path.unlink()
    else:
        swapped = dataclasses.replace(prepared.split, train=prepared.split.test, test=prepared.split.train)
        swapped.save(run.split_path)
    assert found() is None
    run.update(status="finished")
    assert found() == run


def test_a_row_end_to_end_with_the_real_judge(place, finished):
    result = made(dataclasses.replace(TASK, suites=("held-out", "stacked")), place, finished)
    assert result.failure == ""
    assert 0 <= result.measures["suites"]["stacked"]["accuracy"] <= 1
    assert not list((finished / "runs").glob(".*-*"))
