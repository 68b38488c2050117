"""From a run to dist/submission.zip: the allow-list, the bytes, the gates, the names."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import packaged
import pytest
from packaged import RECIPE, Judged, card, judged, make

from build import cli
from build import package as packaging
from build.errors import UserError
from build.run_cells import cells_of_run
from build.runs import Run
from submission import weights

ROOT = Path(__file__).resolve().parent.parent


workplace, here = packaged.workplace, packaged.here


def test_the_allow_list_is_the_submission_folder():
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "submission").glob("*.py")}
    assert set(packaging.SHIPPED) == found | {"model.py"}


def test_the_zip_holds_the_repository_s_files_byte_for_byte_at_its_root(here, monkeypatch):
    judged(monkeypatch, card())
    assert make() == 0
    with zipfile.ZipFile("dist/submission.zip") as archive:
        assert archive.namelist() == sorted((*packaging.SHIPPED, "weights.npz"))
        for name in packaging.SHIPPED:
            assert archive.read(name) == (ROOT / name).read_bytes()


def test_the_same_run_gives_the_same_bytes(here, monkeypatch):
    calls = judged(monkeypatch, card())
    assert make() == make() == 0
    assert calls[0][0] == calls[1][0] == Path("dist/submission.zip").read_bytes()
    assert not Path("dist/previous-submission.zip").exists()


def test_a_recipe_of_no_number_of_views_gets_as_many_as_the_time_allows(here, monkeypatch):
    calls, run = judged(monkeypatch, card()), Run.open("latest")
    monkeypatch.setattr(Run, "recipe", dataclasses.replace(run.recipe, views=0, hidden_images=700))
    asked = []

    def measured(zip_path, held, **options):
        with zipfile.ZipFile(zip_path) as archive:
            asked.append((weights.load(archive.extract("weights.npz", here / "out"))[1]["views"], options))
        return 4

    monkeypatch.setattr(packaging.views, "measured", measured)
    assert make(time_limit=300) == 0
    ((views, options),) = asked
    assert views == 1
    assert (options["recipe"].hidden_images, options["recipe"].time_limit, options["engine"]) == (700, 300, "auto")
    with zipfile.ZipFile("dist/submission.zip") as archive:
        _, meta = weights.load(archive.extract("weights.npz", here / "out"))
    assert (meta["views"], meta["seconds"], meta["images"]) == (4, 210, 700)
    options = calls[0][2]
    assert options["recipe"]["views"] == 4
    assert (options["hidden"], options["time_limit"]) == (700, 300)
    make(hidden=9)
    assert asked[1][1]["recipe"].hidden_images == 9


def test_the_judge_gets_the_test_side_of_the_run_s_split(here, monkeypatch):
    calls = judged(monkeypatch, card())
    make()
    _, held, options = calls[0]
    run = Run.open("latest")
    cells, split = cells_of_run(run)
    np.testing.assert_array_equal(held.labels, cells.labels[split.test])
    np.testing.assert_array_equal(held.images[:], cells.images[split.test])
    assert held.seed == 3
    assert options["recipe"]["name"] == "smoke"
    assert {"held-out", "basic"} <= set(options["suites"])


@pytest.mark.parametrize(("clean", "name"), [(0.1, "rejected-submission.zip"), (0.9, "submission.zip")])
def test_an_earlier_zip_is_not_mistaken_for_the_new_one_and_not_lost(here, monkeypatch, clean, name):
    Path("dist/submission.zip").write_bytes(b"earlier")
    calls = judged(monkeypatch, card(clean=clean))
    assert make() == (clean < 0.5)
    zips = {path.name: path.read_bytes() for path in Path("dist").glob("*.zip")}
    assert zips == {name: calls[0][0], "previous-submission.zip": b"earlier"}


@pytest.mark.parametrize(("where", "function"), [(packaging, "_attention"), (Judged, "write")])
def test_what_fails_after_the_judge_leaves_the_earlier_zip_beside_its_scorecard(here, monkeypatch, where, function):
    judged(monkeypatch, card())
    make()
    before = {path.name: path.read_bytes() for path in Path("dist").iterdir()}
    monkeypatch.setattr(where, function, lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(force=True)
    assert {path.name: path.read_bytes() for path in Path("dist").iterdir()} == before


def test_on_another_backend_than_tensorflow_the_zip_is_made_without_maps(here, monkeypatch):
    monkeypatch.setattr("build.gradcam.possible", lambda: False)
    judged(monkeypatch, card())
    assert make() == 0
    assert json.loads(Path("dist/scorecard.json").read_text())["attention"] is None


def test_where_a_gpu_refuses_the_maps_the_judged_zip_is_made_without_them(here, monkeypatch, capsys):
    def look(*_, **__):
        raise RuntimeError("CUDNN_STATUS_NOT_INITIALIZED")

    monkeypatch.setattr("build.gradcam.explainer", look)
    judged(monkeypatch, card())
    assert make() == 0
    assert json.loads(Path("dist/scorecard.json").read_text())["attention"] is None
    assert "No class activation maps: cuDNN does not start" in " ".join(capsys.readouterr().err.split())


def test_where_nothing_can_be_judged_that_is_said_before_the_work(here, monkeypatch, tmp_path):
    monkeypatch.setattr("build.score.sandbox.PROC", tmp_path / "none")
    judged(monkeypatch, card())
    with pytest.raises(UserError, match="The judge needs Linux"):
        make()


def test_the_commit_is_that_of_the_code_in_the_zip(here, monkeypatch):
    calls = judged(monkeypatch, card())
    for dirty, commit in ((False, "abc"), (True, "abc+changes")):
        monkeypatch.setattr(packaging, "provenance", lambda dirty=dirty: {"commit": "abc", "dirty": dirty})
        make()
        assert calls[-1][2]["submission"]["commit"] == commit


def test_an_interrupted_judge_leaves_the_earlier_zip_where_it_was(here, monkeypatch):
    def rehearse(*_, **__):
        raise KeyboardInterrupt

    Path("dist/submission.zip").write_bytes(b"earlier")
    monkeypatch.setattr(packaging, "rehearse", rehearse)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert [path.name for path in Path("dist").iterdir()] == ["submission.zip"]


def test_a_run_without_weights_is_one_sentence(here):
    run = Run.create(here / "other", RECIPE)
    with pytest.raises(UserError, match="has no weights yet"):
        packaging.package(str(run.folder), rows=16, team="us")
    run.update(status="failed")
    with pytest.raises(UserError, match="has no weights: its training failed in its first epoch"):
        packaging.package(str(run.folder), rows=16, team="us")


def test_a_file_where_the_folder_of_zips_should_be_is_one_sentence(here, tmp_path):
    (tmp_path / "dist").write_text("")
    with pytest.raises(UserError, match="a file is where a folder should be"):
        packaging.package("latest", rows=16, team="us", dist=tmp_path / "dist")


def test_changed_cells_are_noticed(here, monkeypatch):
    facts = Run.open("latest").facts
    monkeypatch.setattr(Run, "facts", facts | {"data": facts["data"] | {"sha256": "0" * 64}})
    with pytest.raises(UserError, match="are not those that run"):
        make()


def test_the_scorecard_says_where_the_network_looked_on_what_it_was_judged_on(here, monkeypatch):
    judged(monkeypatch, card() | {"suites": {"held-out": {}, "basic": {}}})
    assert make() == 0
    found = json.loads(Path("dist/scorecard.json").read_text())["attention"]
    assert found["sets"].keys() == {"held-out"}
    assert found["network"].startswith(f"run {Run.open('latest').id} as it was trained and with one view")
    with np.load(Run.open("latest").split_path) as split:
        assert found["sets"]["held-out"]["answers"] == len(split["test"])
    judged(monkeypatch, card() | {"suites": {}})
    assert make() == 0
    assert json.loads(Path("dist/scorecard.json").read_text())["attention"] is None


@pytest.mark.slow
def test_an_untrained_network_goes_all_the_way_and_misses_its_gates(here):
    """The real judge: the zip runs in a process that cannot see the repository."""
    assert cli.main(["package", "--rows", "16", "--suites", "basic"]) == 1
    facts = json.loads(Path("dist/scorecard.json").read_text())
    assert [gate["passed"] for gate in facts["gates"]] == [True, True, False, False, True, True], facts["gates"]
    assert facts["outcome"]["status"] == "scored"
    assert {row["corruption"] for row in facts["suites"]["basic"]["conditions"]} == {
        "blur", "noise", "brightness", "contrast", "jpeg", "occlusion"
    }  # fmt: skip
    assert len(facts["suites"]["basic"]["conditions"]) == 30
    page = Path("dist/scorecard.html").read_text()
    assert len(page) > 50_000
    assert page.count(">missed<") == 2
    assert "Where the network looks" in page
    assert page.count(">passed<") == 4
