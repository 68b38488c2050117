"""The gates of packaging: what a zip must be before it takes its name, and what is said where it is not."""

import dataclasses
import json
from pathlib import Path

import packaged
import pytest
from packaged import RECIPE, card, judged, make

from build import package as packaging
from build.runs import Run
from build.score.outcome import Failure, Outcome

workplace, here = packaged.workplace, packaged.here


def test_a_hidden_set_that_a_job_has_no_time_for_misses_the_gate_of_time(here, monkeypatch, capsys):
    judged(monkeypatch, card())
    rehearse = packaging.rehearse

    def slow(*given, **options):
        rehearsal = rehearse(*given, **options)
        rehearsal.verdict.timing = {"hidden_fits": False, "hidden_seconds": 605.0, "hidden_images": 60_000}
        rehearsal.verdict.outcome.time_limit = 600.0
        return rehearsal

    monkeypatch.setattr(packaging, "rehearse", slow)
    assert make() == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "time: wanted at most 600 s, got 605 s for 60,000 images" in said


@pytest.mark.parametrize(
    ("facts", "gate", "came", "remedy"),
    [
        (card(clean=0.49), "held-out accuracy", "0.490", "train longer"),
        (card(clean=0.49996), "held-out accuracy", "0.49996", "train longer"),
        (card(perturbed=0.29), "perturbed accuracy", "0.290", "train longer"),
        (card(perturbed=None), "perturbed accuracy", "nothing", "train longer"),
        (
            card(seconds=61.0),
            "time",
            "61.0 s per 1,000 images",
            "train a smaller size",
        ),
    ],
)
def test_a_missed_gate_leaves_no_submission_and_says_which(here, monkeypatch, capsys, facts, gate, came, remedy):
    judged(monkeypatch, facts)
    assert make() == 1
    assert not Path("dist/submission.zip").exists()
    assert Path("dist/rejected-submission.zip").exists()
    written = json.loads(Path("dist/scorecard.json").read_text())
    assert written["gates"][0]["passed"]
    assert written["submission"]["file"] == "rejected-submission.zip"
    said = capsys.readouterr().err.replace("\n", " ")
    assert f"1 gate(s) missed. {gate}: wanted" in said
    assert f"got {came}" in said
    assert remedy in said
    assert f"`nox -s package -- {Run.open('latest').id} --force`, with the other options of this call." in said


def test_a_zip_that_would_fail_on_the_server_is_rejected(here, monkeypatch, capsys):
    outcome = Outcome().fail(Failure("prediction", "model.py, line 3, fails.", "Failed", "Correct it."))
    judged(monkeypatch, card(), outcome)
    assert make() == 1
    assert not Path("dist/submission.zip").exists()
    assert "model.py, line 3, fails." in capsys.readouterr().err


def test_a_zip_whose_unusual_calls_left_no_record_is_rejected(here, monkeypatch, capsys):
    judged(monkeypatch, card(), probed=False)
    assert make() == 1
    assert not Path("dist/submission.zip").exists()
    assert (
        "1 gate(s) missed. calls in other ways (order, batches, dtypes): wanted a record of them, got no record"
        in capsys.readouterr().err
    )


def test_a_zip_too_large_is_rejected(here, monkeypatch, capsys):
    judged(monkeypatch, card())
    monkeypatch.setattr(Run, "recipe", dataclasses.replace(RECIPE, maximum_zip_mb=0.001))
    assert make() == 1
    assert "`nox -s compress -- RUN --size-limit 0.001`" in " ".join(capsys.readouterr().err.split())


def test_a_zip_that_knows_drawn_cells_alone_is_not_called_ready(here, monkeypatch, capsys):
    for drawn in (True, False):
        judged(monkeypatch, card() | {"synthetic": drawn})
        assert make() == 0
        said = " ".join(capsys.readouterr().err.split())
        assert ("Train with --data before you upload" in said) == drawn
        assert ("submission.zip is ready." in said) != drawn


def test_force_keeps_the_zip_and_is_loud(here, monkeypatch, capsys):
    judged(monkeypatch, card(clean=0.1))
    assert make(force=True) == 0
    assert Path("dist/submission.zip").exists()
    said = capsys.readouterr().err
    assert "FORCED" in said
    assert "MISSES 1 GATE(S)" in said.replace("\n", " ")


def test_a_run_that_is_being_trained_is_told(here, monkeypatch, capsys):
    judged(monkeypatch, card())
    run = Run.open("latest")
    run.update(status="running")
    make()
    run.update(status="finished")
    assert "has not ended" in capsys.readouterr().err
