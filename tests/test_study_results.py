"""A study's table, plot and page: means and spreads over seeds, the report's figures, failures, escaping."""

import dataclasses
import json
from pathlib import Path

import browser
import cv2
import numpy as np
import pytest

from build.recipes import find as recipe_named
from build.study import page, results
from build.study.catalogue import Row, Study
from build.study.execute import Result, Task, facts_of
from build.study.reported import MOBILENET_V3

BASE = recipe_named("report-convnext")
OTHER = dataclasses.replace(BASE, dropout=0.5)
STUDY = Study("try", "A <try>", "What | it is about.", (Row("first & best", BASE, MOBILENET_V3), Row("second", OTHER)))


def measures(accuracy: float, device: str = "a judge") -> dict:
    held = {"n": 9, "accuracy": accuracy, "low": 0.1, "high": 0.9, "precision": 0.5, "recall": accuracy, "f1": 0.25}
    suites = {name: {"accuracy": accuracy / 2} for name in ("stacked", "microscopy")}
    return {"held_out": held, "suites": suites, "randaugment": None, "device": device}


def result(recipe, seed: int, accuracy: float | None = None, failure: str = "") -> Result:
    facts = facts_of(None) | {"minutes": 10.0 + seed, "parameters": 2_500_000, "network": "convnext", "epochs": 3}
    return Result(
        Task(recipe, seed, "d.npz"),
        f"run-{seed}",
        facts | {"weights": "none", "commit": "0123456789ab", "device": "CPU"},
        None if accuracy is None else measures(accuracy),
        failure,
    )


def lines(study: Study, *rows) -> list[results.Line]:
    return [
        results.Line(row, row.recipe, {one.task.seed: one for one in done})
        for row, done in zip(study.rows, rows, strict=True)
    ]


def made(*rows) -> dict:
    about = {"data": {"source": "d.npz", "sha256": "ab" * 32}, "device": "a test", "test_rows": 9}
    return results.assemble(STUDY, lines(STUDY, *rows), scale="small", protocol="Three epochs.", seeds=2, **about)


@pytest.fixture
def table() -> dict:
    return made(
        [result(BASE, 0, 0.8), result(BASE, 1, 0.9)], [result(OTHER, 0, 0.5), result(OTHER, 1, failure="It <broke>.")]
    )


def test_every_commit_and_device_that_a_figure_comes_from_is_named():
    first, second = result(BASE, 0, failure="It broke."), result(BASE, 1, 0.9)
    first.facts.update(network=None, parameters=None, commit="aaaaaaaaaa")
    second.facts.update(device="GPU")
    second.measures["device"] = "another judge"
    table = made([first, second], [result(OTHER, 0, 0.5)])
    told = results.provenance(table)
    for word in ("aaaaaaaaa", "012345678", "CPU, GPU", "judged on a judge, another judge"):
        assert word in told
    assert table["rows"][0]["facts"]["network"] == "convnext"
    assert "judged on a test" in results.provenance(made([result(BASE, 0)], [result(OTHER, 0)]))


def test_means_and_spreads_are_over_the_seeds_that_have_figures(table):
    first, second = table["rows"]
    assert first["mean"]["accuracy"] == pytest.approx(0.85)
    assert first["spread"]["accuracy"] == pytest.approx(0.0707, abs=1e-4)  # of a sample
    assert (second["mean"]["accuracy"], second["spread"]["accuracy"], second["seeds"]) == (0.5, None, 1)
    assert first["mean"]["randaugment"] is None
    assert (first["minutes"], first["differs"], second["differs"]) == (10.5, {}, {"dropout": 0.5})
    assert second["failures"] == ["It <broke>."]


def test_a_table_is_json(table):
    text = json.dumps(table, allow_nan=False)
    assert json.loads(text)["rows"][0]["mean"] == table["rows"][0]["mean"]


def test_markdown_has_our_figures_beside_the_reports(table):
    lines = results.markdown(table).splitlines()
    (row,) = [line for line in lines if line.startswith("| first & best")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    heads = [cell.strip() for cell in next(line for line in lines if line.startswith("| model")).strip("|").split("|")]
    assert len(cells) == len(heads)
    figures = dict(zip(heads, cells, strict=True))
    assert figures["Accuracy (local test)"] == "85.0 ± 7.1"
    assert cells[heads.index("Accuracy (local test)") + 1] == "97.66"
    assert (figures["Perturbed: stacked"], figures["report: Codabench"]) == ("42.5 ± 3.5", "65")
    assert (figures["minutes"], figures["parameters"], figures["run"]) == ("10.5", "2.50 M", "run-0, run-1")
    assert "- second: It <broke>." in lines
    assert any("table 2" in line for line in lines)


def test_without_a_reported_row_there_are_no_columns_for_the_report():
    study = dataclasses.replace(STUDY, rows=STUDY.rows[1:])
    table = results.assemble(
        study, lines(study, [result(OTHER, 0, 0.5)]), scale="small", protocol="", seeds=1,
        data={"source": "d", "sha256": "a" * 64}, device="", test_rows=9,
    )  # fmt: skip
    assert not [head for head in results.columns(table) if "report" in head]
    assert "report" not in results.markdown(table)


def test_the_page_is_whole_in_itself_escapes_and_shows_what_failed(table, tmp_path):
    path = Path(tmp_path / "t.html")
    page.write_html(table, path, page.plot(table))
    html = path.read_text(encoding="utf-8")
    assert browser.outside(html) == []
    assert "A &lt;try&gt;" in html
    assert "It &lt;broke&gt;." in html
    assert "85.0" in html
    assert "97.66" in html
    assert "dropout = 0.5" in html
    assert "Small scale" in html
    assert html.count("1 of 2 seeds</span>") == 1


def test_a_row_whose_training_has_not_ended_has_no_number_of_epochs(tmp_path):
    begun = result(BASE, 0, 0.7)
    begun.facts["epochs"] = None
    page.write_html(made([begun], []), tmp_path / "t.html", b"")
    assert "None epoch" not in (tmp_path / "t.html").read_text()


def test_a_study_of_which_nothing_is_done_has_its_files_too(tmp_path):
    table = made([], [])
    page.write_html(table, tmp_path / "t.html", page.plot(table))
    assert "0 of 4" in (tmp_path / "t.html").read_text()
    assert "first & best" in results.markdown(table)
    results.console_table(table)


def test_the_plot_is_a_picture_that_grows_with_the_rows(table):
    plots = [page.plot(table | {"rows": table["rows"][:count]}) for count in (1, 2)]
    assert all(plot.startswith(b"\x89PNG") for plot in plots)
    one, two = (cv2.imdecode(np.frombuffer(plot, np.uint8), cv2.IMREAD_COLOR) for plot in plots)
    assert one.shape[0] < two.shape[0]
    assert one.shape[1] == two.shape[1]


def test_the_best_row_is_named_on_the_seeds_that_all_rows_have(table):
    """A row that has its lucky seed only is not ahead of one that is better there and has others, too."""
    one = made([result(BASE, 0, 0.7), result(BASE, 1, 0.95)], [result(OTHER, 1, 0.94)])
    best = {tile["name"]: tile for tile in page.tiles(one)}["Best on the local test"]
    assert (best["value"], best["range"]) == ("95.0 %", f"{one['rows'][0]['label']}, 1 of 2 seeds")
    apart = made([result(BASE, 0, 0.7)], [result(OTHER, 1, 0.94)])
    assert not [tile for tile in page.tiles(apart) if tile["name"].startswith("Best")]
