"""What our programs leave is read with suspicion: the submission could write there too."""

import json
import os
import threading
from pathlib import Path

import bundles
import numpy as np
import pytest

from build.score import reports
from build.score.judge import timing_of
from build.score.outcome import Outcome


def test_json_objects_come_back(tmp_path):
    reports.write_json(tmp_path / "a.json", {"key": [1]})
    assert reports.read_json(tmp_path / "a.json") == {"key": [1]}


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b"1", b"9" * 5000, b"\x00", b'{"a": ' * 50_000]
)
def test_what_is_no_json_object_is_empty(content, tmp_path):
    bundles.write(tmp_path / "o", {"a.json": content})
    assert reports.read_json(tmp_path / "o" / "a.json") == {}


def test_links_folders_and_large_files_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "real.json").write_text('{"a": 1}')
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert reports.read_json(tmp_path / "link.json") == {}
    before = sum(1 for _ in Path("/dev/fd").iterdir())
    assert reports.read_json(tmp_path) == {}
    assert (
        sum(1 for _ in Path("/dev/fd").iterdir()) == before
    )  # it is asked many times a second, and a folder opens too
    assert reports.read_json(tmp_path / "absent.json") == {}
    monkeypatch.setattr(reports, "MOST_BYTES", 7)
    assert reports.read_json(tmp_path / "real.json") == {}


def test_what_a_running_submission_swaps_for_a_pipe_keeps_nobody_waiting(tmp_path, monkeypatch):
    """It may do so at any moment; the worst is after the file was looked at."""
    path, pipe = tmp_path / "timing.json", tmp_path / "pipe"
    path.write_text("{}")
    os.mkfifo(pipe)

    def swapping(looked):
        def look(*arguments, **named):
            found = looked(*arguments, **named)
            if os.access(pipe, os.F_OK):
                pipe.rename(path)
            return found

        return look

    for name in ("stat", "lstat", "fstat"):
        monkeypatch.setattr(os, name, swapping(getattr(os, name)))
    asked = threading.Thread(target=reports.read_json, args=(path,), daemon=True)
    asked.start()
    asked.join(10)
    monkeypatch.undo()
    assert not asked.is_alive()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (0, 0.0), (2.5, 2.5), (-1, None), (True, None), ("1", None), (None, None), (float("nan"), None), (float("inf"), None)],
)  # fmt: skip
def test_numbers_are_finite_and_not_negative(value, expected):
    assert reports.number(value) == expected


def test_numbers_that_no_clock_gave_leave_times_finite(tmp_path):
    """A submission may write into the report of its own times, and the scorecard's JSON takes no infinity."""
    for seconds, images in ((1e308, 1), (1e-310, 1), (1, 1e308), (1e15, 1e15)):
        timing = {"conditions": dict.fromkeys("ab", seconds), "images": dict.fromkeys("ab", images)}
        outcome = Outcome(time_limit=600.0)
        reports.add_timing(bundles.write(tmp_path / "o", {"timing.json": json.dumps(timing)}), outcome)
        json.dumps(timing_of(outcome, 5000), allow_nan=False)


def test_a_number_too_large_for_a_float_is_none():
    assert reports.number(10**400) is None


def test_a_record_of_a_failure_needs_its_sentence(tmp_path):
    folder = bundles.write(tmp_path / "o", {"failure.json": json.dumps({"sentence": "It broke", "line": 3, "file": 5})})
    found = reports.failure(folder)
    assert (found["sentence"], found["line"], found["file"], found["remedy"]) == ("It broke", "3", "5", "")
    for bad in ({}, {"sentence": ""}, {"sentence": 3}):
        assert reports.failure(bundles.write(tmp_path / "o", {"failure.json": json.dumps(bad)})) == {}


def test_missing_predictions_are_those_that_the_plan_names(tmp_path):
    plan = {"conditions": [{"key": "a"}, {"key": "b"}, {"key": 3}, "c"]}
    data = bundles.write(tmp_path / "data", {"conditions.json": json.dumps(plan)})
    output = bundles.write(tmp_path / "output", {"predictions/a.npy": "", "predictions/x.txt": ""})
    (output / "predictions" / "b.npy").symlink_to(output / "predictions" / "a.npy")
    assert list(reports.predictions(output)) == ["a"]
    assert reports.missing(output, data) == ["b"]
    assert reports.missing(output, None) == []


def test_a_linked_folder_of_predictions_is_not_followed(tmp_path):
    bundles.write(tmp_path / "elsewhere", {"a.npy": ""})
    output = bundles.write(tmp_path / "output", {})
    (output / "predictions").symlink_to(tmp_path / "elsewhere")
    assert reports.predictions(output) == {}


def test_timing_is_taken_over_where_it_is_numbers(tmp_path):
    timing = {
        "startup": 1.5,
        "conditions": {"a": 2, "b": "fast", "c": -1},
        "images": {"a": 10.0, "b": None},
        "peak_mib": 300,
    }
    outcome = Outcome()
    reports.add_timing(bundles.write(tmp_path / "o", {"timing.json": json.dumps(timing)}), outcome)
    assert (outcome.seconds, outcome.condition_seconds, outcome.images) == ({"startup": 1.5}, {"a": 2.0}, {"a": 10})
    assert outcome.peak_mib == 300.0
    outcome.peak_mib = 250.0  # measured from outside
    reports.add_timing(tmp_path / "o", outcome)
    assert outcome.peak_mib == 250.0
    nonsense = Outcome()
    reports.add_timing(bundles.write(tmp_path / "o", {"timing.json": '{"conditions": [1], "images": 3}'}), nonsense)
    assert (nonsense.condition_seconds, nonsense.images, np.isnan(nonsense.peak_mib or 0)) == ({}, {}, False)
