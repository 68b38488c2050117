"""The bench of the corruptions: it measures every corruption, alone or beside medmnistc, and writes what it prints."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from build.bench import corruptions as bench
from build.score.corruptions import microscopy
from build.score.suites import generator

CORRUPTIONS = microscopy.SUITE.corruptions


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Run it on two images in one round; returns what it printed and what it wrote."""

    def run(theirs) -> tuple[str, dict]:
        text = io.StringIO()
        monkeypatch.setattr(bench, "console", Console(file=text, width=100, soft_wrap=True))
        monkeypatch.setattr(bench, "BATCH", 2)
        monkeypatch.setattr(bench, "ROUNDS", 1)
        monkeypatch.setattr(bench, "theirs", theirs)
        monkeypatch.chdir(tmp_path)
        bench.main()
        return text.getvalue(), json.loads((tmp_path / "runs/bench/corruptions.json").read_text())

    return run


def absent(_):
    raise ImportError("No module named 'medmnistc'")


def test_every_corruption_of_the_suite_has_its_counterpart():
    assert list(bench.THEIR_NAMES) == [one.name for one in CORRUPTIONS]


def test_ours_are_the_suites_own_pictures(rng):
    images = rng.integers(0, 256, (3, 24, 24, 3), np.uint8)
    made = bench.ours(CORRUPTIONS[3])(images)
    assert len(made) == 3 * 5
    expected = CORRUPTIONS[3](images[2], 5, rng=generator(0, "microscopy", CORRUPTIONS[3].name, 2))
    assert np.array_equal(made[-1], expected)


def test_without_medmnistc_ours_are_measured_alone(measured):
    text, facts = measured(absent)
    assert "medmnistc: not measured (No module named 'medmnistc')" in text
    assert set(facts["milliseconds"]) == {*(one.name for one in CORRUPTIONS), "all"}
    assert facts["images_a_second"]["ours"] > 100
    assert "times_ours" not in facts


@pytest.mark.parametrize(("times", "told"), [(12, "met"), (5, "met"), (1, "missed")])
def test_the_target_is_met_beside_a_contender_that_is_so_many_times_slower(measured, monkeypatch, times, told):
    spent = {"ours": np.array([5.0]), "medmnistc": np.array([5.0 * times])}
    monkeypatch.setattr(bench.turns, "take", lambda contenders, *_, **__: {name: spent[name] for name in contenders})
    text, facts = measured(bench.ours)
    assert facts["times_ours"] == times
    assert f"images/s: {told}" in text
