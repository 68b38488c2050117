"""`python -m build score` and `bundle` as functions: which cells a zip is judged on, and what is refused before the work."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from submissions import good, model, source

from build import cli
from build.data.split import Split
from build.errors import UserError
from build.files import sha256
from build.score import command, held_out
from build.score.environment import DEFAULT, ServerEnvironment
from build.score.held_out import HeldOut

SPLITS = {"r1": ([0, 1, 2, 3], [4], [5, 6]), "r2": ([5, 6, 4], [3], [2, 1]), "r3": ([0, 1], [2, 3], [4, 5, 6])}
"""Training, validation and test rows of runs of the same cells."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_zip_is_judged_on_the_test_cells_of_the_run_that_it_was_packaged_from(monkeypatch, tmp_path, capsys):
    zip_path = good(tmp_path / "s.zip")
    parts = {name: Split(*(np.array(rows) for rows in sides), (), 0, "x") for name, sides in SPLITS.items()}

    def held(name: str) -> HeldOut:
        return HeldOut(None, None, 0, f"cells of {name}", False, "x", parts[name])

    def run(name: str) -> SimpleNamespace:
        return SimpleNamespace(id=name, facts={"data": {"sha256": data.get(name, "x"), "source": f"{name}'s data"}})

    data = {}
    monkeypatch.setattr(command.held_out, "of_run", lambda run: held(run.id))
    monkeypatch.setattr(command.held_out, "of_data", lambda data, *, whole: held(data))
    monkeypatch.setattr(command.held_out, "default", lambda: held("r3"))
    monkeypatch.setattr(command.Run, "open", run)
    monkeypatch.setattr(command, "split_of", lambda run: parts[run.id])
    known, seen = {sha256(zip_path): "r1 + r4"}, []
    monkeypatch.setattr(command.Store, "runs_of", lambda _, zip_sha256: known.get(zip_sha256))

    def said(*given, **options) -> tuple[str, str]:
        judged, counted, title = command._held(zip_path, *given, **options)
        assert title == known.get(sha256(zip_path))
        seen.append(counted)
        return judged.source, " ".join(capsys.readouterr().err.split())

    assert said(None, None) == ("cells of r1", "")
    for given in (("r2", None), (None, "r2")):
        source, warned = said(*given)
        assert source == "cells of r2"
        assert "r1, which this zip was packaged from, was trained on 2 of these cells" in warned
    assert seen == [0, 2, 2]
    data["r1"] = "other"
    source, warned = said(None, "r2")
    assert (
        "r1, which this zip was packaged from, was trained on other data (r1's data). If any of the cells of r2 were"
        in warned
    )
    assert said(None, "r2", whole=True) == ("cells of r2", "")  # its user says that it never saw them
    data["r1"] = "x"
    known.clear()
    source, warned = said(None, None)
    assert source == "cells of r3"
    assert "--run names its run" in warned
    assert "is not known here" in said(None, "r2")[1]
    assert said("r2", None) == ("cells of r2", "")  # its user says so
    assert said(None, "r2", whole=True) == ("cells of r2", "")  # and here
    monkeypatch.setattr(command.held_out, "default", lambda: dataclasses.replace(held("r3"), synthetic=True))
    assert "drawn by the kit: they show whether the zip runs" in said(None, None)[1]
    assert seen[3:] == [0, 0, None, None, 0, 0, 0]


@pytest.mark.parametrize(
    ("more", "told"),
    [((), "nowhere.npz"), (("--suites", "basics"), "no suite 'basics'"), (("--baseline", "no.json"), "no.json")],
)
def test_a_wrong_suite_or_baseline_is_told_before_the_cells_are_read(capsys, tmp_path, more, told):
    zip_path = good(tmp_path / "s.zip")
    assert cli.main(["score", str(zip_path), "--data", "nowhere.npz", *more]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_zip_s_card_says_what_its_runs_trained_with_where_all_of_them_are_here(monkeypatch):
    def run(name: str) -> SimpleNamespace:
        if name == "gone":
            raise UserError("There is no run gone.")
        return SimpleNamespace(id=name)

    monkeypatch.setattr(command.Run, "open", run)
    monkeypatch.setattr(command, "known_of", lambda runs: {"name": " + ".join(one.id for one in runs)})
    assert command._recipe("r1 + r2") == {"name": "r1 + r2"}
    assert command._recipe("r1 + gone") is None
    assert command._recipe(None) is None


@pytest.fixture
def told(monkeypatch) -> dict:
    """What the judge or the rehearsal was told, in whose place this stands."""
    given = {}

    def end(*_, **options):
        given.update(options)
        raise UserError("Enough.")

    monkeypatch.setattr(command, "judge", end)
    monkeypatch.setattr(command, "rehearse", end)
    monkeypatch.setattr(command, "_held", lambda *_, **__: (HeldOut(None, None, 0, "cells", False, "x", None), 0, None))
    return given


def test_the_judge_of_a_bundle_is_told_what_the_options_say(told, tmp_path):
    Path("lab.json").write_text(json.dumps(json.loads(DEFAULT.read_text()) | {"name": "Lab"}))
    limits = ["--memory-limit", "2", "--time-limit", "90", "--engine", "docker", "--image", "lab/keras:3"]
    server = ["--environment", "lab.json", "--era", "2024-11", "--phase", "1"]
    assert cli.main(["score", str(good(tmp_path / "s.zip")), "--bundle", "b", *limits, *server]) == 2
    given = {"bundle": Path("b"), "memory_limit": 2048, "time_limit": 90, "engine": "docker", "image": "lab/keras:3"}
    given |= {"environment": dataclasses.replace(ServerEnvironment.read(), name="Lab"), "era": "2024-11", "phase": 1}
    assert {name: told[name] for name in given} == given


def test_the_rehearsal_is_told_what_the_options_say(told, tmp_path):
    options = ["--hidden", "9", "--adapts", "--no-probes", "--rows", "8", "--team", "reds", "--suites", "laboratory"]
    assert cli.main(["score", str(good(tmp_path / "s.zip")), *options]) == 2
    given = {"hidden": 9, "adapts": True, "probes": False, "rows": 8, "suites": ("held-out", "laboratory")}
    given |= {"memory_limit": None, "environment": None}
    assert {name: told[name] for name in given} == given
    assert told["submission"]["team"] == "reds"


def test_a_file_where_the_scorecard_s_folder_should_be_is_told_before_the_judgement(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_held", lambda *_: pytest.fail("it was judged"))
    Path("dist").touch()
    assert cli.main(["score", str(good(tmp_path / "s.zip"))]) == 2
    assert "a file is where a folder should be" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("more", [[], ["--bundle", "b"]])
def test_a_zip_that_may_not_be_read_is_not_called_damaged(capsys, tmp_path, monkeypatch, more):
    def refuse(path):
        raise UserError(f"{path} cannot be read (Permission denied).")

    monkeypatch.setattr("build.score.unpack.check_readable", refuse)  # root may read anything
    monkeypatch.setattr(command, "judge", lambda *_, **__: pytest.fail("it was judged"))
    assert cli.main(["score", str(good(tmp_path / "s.zip")), *more]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_a_competition_needs_a_test_cell_of_each_class_in_each_phase(monkeypatch, tmp_path):
    few = HeldOut(None, np.r_[np.arange(8), np.arange(7)], 0, "cells", False, "x", None)
    monkeypatch.setattr(command.held_out, "of_data", lambda *_: few)
    monkeypatch.setattr(command, "materialise", lambda *_, **__: pytest.fail("images were made"))
    with pytest.raises(UserError, match=r"Platelet has 1 test cell\(s\) in cells/, and each of 2 phases needs one"):
        command.bundle("cells/", tmp_path / "b.zip", seed=0, start=None, days=9, final_days=2, title="Cells", rows=8)


def test_a_file_where_the_judge_s_folder_should_be_is_one_sentence(capsys, tmp_path):
    Path("data").touch()
    assert cli.main(["score", str(good(tmp_path / "s.zip")), "--bundle", "bundle"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "a file is where a folder should be" in said
    assert "Traceback" not in said


def test_a_bundle_that_cannot_be_written_is_refused_before_its_images_are_made(capsys):
    Path("file").touch()
    assert cli.main(["bundle", "--data", "synthetic:160", "--out", "file/bundle.zip"]) == 2
    assert "a file is where a folder should be" in " ".join(capsys.readouterr().err.split())
    assert not Path("data/suites").exists()


def test_all_cells_of_a_source_are_test_cells_where_the_zip_never_saw_them(capsys, tmp_path):
    half, whole = (held_out.of_data("synthetic:160", cache=tmp_path, whole=whole) for whole in (False, True))
    assert whole.source == "all cells of synthetic:160"
    assert len(half.labels) < 20
    assert len(whole.labels) == len(whole.images) > 150
    assert set(half.split.test) < set(whole.split.test)
    assert whole.split.tests_seen_by(half.split) == len(whole.labels) - len(half.labels)
    assert cli.main(["score", str(good(tmp_path / "s.zip")), "--whole"]) == 2
    assert "--whole is of a data source" in " ".join(capsys.readouterr().err.split())


def test_an_image_is_of_docker(capsys, tmp_path):
    assert cli.main(["score", str(good(tmp_path / "s.zip")), "--image", "lab/keras:3"]) == 2
    assert "--image is of the engine docker: give --engine docker too" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["score", "compat"])
def test_a_folder_is_no_zip_and_how_to_make_one_is_told(command, capsys):
    Path("mine").mkdir()
    assert cli.main([command, "mine"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        'mine is a folder; zip what is in it, model.py at the zip\'s root: (cd mine && python3 -m zipfile -c "$OLDPWD/mine.zip" *).'
        in said
    )


def test_where_nothing_can_be_rehearsed_what_the_source_says_is_told_before_the_work(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("build.score.sandbox.PROC", tmp_path / "proc")
    monkeypatch.setattr(command, "_held", lambda *_, **__: pytest.fail("cells were read"))
    zip_path = source(model("import torch\nreturn X"))(tmp_path / "s.zip")
    assert cli.main(["score", str(zip_path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "error: model.py" in said
    assert "torch" in said
    assert "The judge needs Linux with /proc" in said
