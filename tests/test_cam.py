"""`python -m build cam`: a picture, figures beside it, a table; from a run alone."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from untrained import make_run

from build import attention, cli
from build.data.read import read
from build.errors import UserError
from build.gradcam import explainer
from build.recipes import find
from build.run_cells import split_of
from build.runs import Run

RECIPE = dataclasses.replace(find("smoke"), network="custom-cnn", depth=3, filters=4)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A working directory with one finished run of a tiny untrained network on 320 synthetic cells."""
    folder = tmp_path_factory.mktemp("workplace")
    make_run(folder, RECIPE, cells=320)
    return folder


@pytest.fixture
def here(workplace, monkeypatch) -> Path:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(attention, "SUITES", ("held-out", "basic"))  # stacked starts keras_cv in a process of its own
    return workplace


def test_a_run_gives_a_picture_figures_and_a_table(here, capsys):
    assert cli.main(["cam", "--rows", "8"]) == 0
    found = json.loads(Path("dist/cam.json").read_text())
    assert found["layer"] == "block_2_relu"
    assert found["map"] == [24, 24]
    clean, perturbed = found["sets"]["held-out"], found["sets"]["basic"]
    assert clean["images"] == clean["answers"]
    # About eight images of every corruption, at least one of every class, at five severities.
    assert perturbed["answers"] % 30 == 0
    assert perturbed["answers"] // 30 in range(8, 12)
    counted = sum(clean["all"][kind]["images"] for kind in ("right", "wrong"))
    assert counted + clean["blank"] == clean["images"]
    picture = cv2.imread("dist/cam.png")
    assert min(picture.shape[:2]) > 600
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000
    said = capsys.readouterr().err
    assert "Share of attention at the edges, held-out" in said
    assert "Immature granulocytes" in said
    first = Path("dist/cam.json").read_bytes()
    assert cli.main(["cam", "--rows", "8", "--out", "again/cam.png"]) == 0
    assert Path("again/cam.json").read_bytes() == first
    assert Path("again/cam.png").read_bytes() == Path("dist/cam.png").read_bytes()


def test_the_run_s_own_data_at_another_place_are_its_own_test_cells(here, monkeypatch):
    run, seen = Run.open("latest"), []
    facts = run.facts | {"data": run.facts["data"] | {"source": "moved away"}}
    monkeypatch.setattr(Run, "facts", facts)
    monkeypatch.setattr("build.score.held_out.of_data", lambda *_: pytest.fail("another split"))

    def materialise(names, images, labels, **_):
        seen.append((np.asarray(images[:]), labels))
        raise UserError("Enough.")

    monkeypatch.setattr("build.cam.materialise", materialise)
    assert cli.main(["cam", "--data", "synthetic:320"]) == 2
    rows = split_of(run).test
    cells = read("synthetic:320", seed=run.facts["seed"])
    np.testing.assert_array_equal(seen[0][0], cells.images[rows])
    np.testing.assert_array_equal(seen[0][1], cells.labels[rows])


def test_mistakes_are_one_sentence(here, capsys, monkeypatch):
    assert cli.main(["cam", "--out", "cam.jpg"]) == 2
    assert "ends in .png" in capsys.readouterr().err
    assert cli.main(["cam", "nowhere"]) == 2
    assert "Found no run 'nowhere'" in capsys.readouterr().err
    run = Run.create(here / "other", RECIPE)
    assert cli.main(["cam", str(run.folder)]) == 2
    assert "has no weights yet" in capsys.readouterr().err
    known = Run.open("latest").weights_path
    kept = known.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("submission.contract.CLASSES", ("round", "square"))
        with pytest.raises(UserError, match="classes"):
            explainer(known)
    assert known.read_bytes() == kept
    monkeypatch.setattr("build.gradcam.possible", lambda: False)
    assert cli.main(["cam"]) == 2
    assert "are made with TensorFlow" in capsys.readouterr().err
