"""The judge's door: a verdict for any zip, a scorecard and a leaderboard entry from a rehearsal, and what is printed of them."""

import dataclasses
import datetime
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from submissions import GOOD, LABELS, also, cells, good, model, pack, small_bundle, source

from build.errors import UserError
from build.score import transcript
from build.score.bundle import write_competition
from build.score.held_out import HeldOut, Rows
from build.score.judge import _server_only, judge, timing_of
from build.score.leaderboard.forecast import Forecaster
from build.score.leaderboard.store import Store
from build.score.outcome import Finding, Outcome, Verdict
from build.score.rehearsal import rehearse
from submission.contract import IMAGE_SHAPE


@pytest.fixture
def held() -> HeldOut:
    """40 random images, which the good submission labels right in 30 cases."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (40, *IMAGE_SHAPE), np.uint8)
    labels = images.reshape(40, -1).astype(np.int64).sum(axis=1) % 8
    labels[:10] = (labels[:10] + 1) % 8
    return HeldOut(Rows(images, np.arange(40)), labels, 0, "random images")


def rehearsed(zip_path: Path, held: HeldOut, folder: Path, **options):
    places = {"store": Store(folder / "store"), "cache": folder / "suites", "scratch": folder / "scratch"}
    return rehearse(
        zip_path, held, submission={"team": "us"}, rows=16, suites=("held-out", "basic"), **places, **options
    )


def printed(verdict, card=None) -> str:
    console = Console(record=True, width=160, soft_wrap=True, file=io.StringIO())
    transcript.show(verdict, console, card)
    return console.export_text()


def test_a_good_zip_would_score_and_leaves_no_scratch(tmp_path):
    verdict = judge(good(tmp_path / "s.zip"), [cells(tmp_path)], scratch=tmp_path / "scratch")
    assert verdict.exit_code == 0
    assert verdict.probed
    assert verdict.outcome.scores["accuracy"] == pytest.approx(7 / 12)
    assert "would get a score; on this rehearsal's images, all suites together: accuracy 0.5833" in verdict.sentence
    assert list((tmp_path / "scratch").iterdir()) == []
    assert verdict.timing["largest_set"] > 12
    assert json.loads(json.dumps(verdict.to_dict()))["exit_code"] == 0


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_the_probes_run_where_the_scratch_is_a_relative_folder(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zip_path = source(model(f"assert len(X) == 12\nreturn {LABELS}"))(tmp_path / "s.zip")
    verdict = judge(zip_path, [cells(tmp_path)], scratch=Path("scratch"), engine=engine)
    assert verdict.exit_code == 1
    assert "AssertionError" in verdict.sentence
    assert any(log.source == "probe-ingestion" and "AssertionError" in log.text for log in verdict.outcome.logs)


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_modules_of_a_submission_may_bear_any_name(engine, tmp_path):
    own = dict.fromkeys(("labels.py", "loading.py"), "NAMES = list(range(8))\n")
    top = "import numpy as np\nfrom labels import NAMES\nfrom loading import NAMES as OTHERS"
    writer = also(own, model(f"assert OTHERS == NAMES\nreturn {LABELS}", top=top))
    verdict = judge(writer(tmp_path / "s.zip"), [cells(tmp_path)], scratch=tmp_path / "scratch", engine=engine)
    assert verdict.exit_code == 0, verdict.sentence
    assert [finding.rule for finding in verdict.findings] == []


def test_a_bundle_of_one_s_own_is_rehearsed_without_test_images(tmp_path):
    verdict = judge(good(tmp_path / "s.zip"), bundle=small_bundle(tmp_path), scratch=tmp_path / "scratch")
    assert verdict.outcome.scores["accuracy"] == pytest.approx(7 / 12)


def test_the_last_line_of_a_failure_says_why_and_what_to_change(tmp_path):
    zip_path = source(model("return 1 / 0"))(tmp_path / "s.zip")
    verdict = judge(zip_path, [cells(tmp_path)], scratch=tmp_path / "scratch")
    assert verdict.exit_code == 1
    assert not verdict.probed
    lines = printed(verdict).strip().splitlines()
    assert lines[-1].startswith("It would fail: ")
    assert "ZeroDivisionError" in lines[-1]
    assert any("The server would show" in line for line in lines)


def test_the_time_of_a_hidden_set_is_that_of_prediction_scaled_and_that_of_the_start_as_it_is():
    def timed(startup: float, seconds: dict, images: dict, hidden: int | None = 5000) -> dict:
        times = {"seconds": {"startup": startup}, "condition_seconds": seconds, "images": images}
        return timing_of(Outcome(**times, time_limit=600.0), hidden)

    assert timed(10.0, {"a": 20.0, "b": 20.0}, {"a": 100, "b": 300}) == {
        "startup_seconds": 10.0, "seconds_per_1000": 100.0, "largest_set": 5900,
        "hidden_images": 5000, "hidden_seconds": 510.0, "hidden_fits": True,
    }  # fmt: skip
    assert timed(10.0, {"a": 20.0}, {"a": 100})["hidden_fits"] is False
    assert timed(700.0, {"a": 20.0}, {"a": 100}, None)["largest_set"] == 0
    assert timed(1.0, {}, {})["seconds_per_1000"] is None


def test_the_memory_of_a_hidden_set_is_forecast(tmp_path):
    once = cells(tmp_path)
    asked = [once, dataclasses.replace(once, key="again")]  # one call of both, as of all that fit a job
    verdict = judge(good(tmp_path / "s.zip"), asked, scratch=tmp_path / "scratch", hidden=5000)
    further = (5000 - 24) * (96 * 96 * 3 + verdict.growth_bytes_per_image) / 2**20
    assert verdict.timing["hidden_mib"] == pytest.approx(verdict.outcome.peak_mib + further)
    assert any(line.startswith("5,000 images in one call would take about") for line in printed(verdict).splitlines())


def test_many_classes_fit_a_terminal():
    names = [f"kind {index}" for index in range(20)]
    rows = [{"name": name, "n": 10, "precision": 0.123, "recall": 0.9, "f1": 0.5} for name in names]
    confusion = (9 * np.eye(20, dtype=int) + np.roll(np.eye(20, dtype=int), 3, axis=1)).tolist()
    held = {"precision": 0.1, "recall": 0.2, "f1": 0.3, "classes": rows, "confusion": confusion}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(transcript.classes({"held_out": held, "classes": names}))
    said = console.export_text()
    assert said.count("0.123") == 20
    assert "3 kind 3, 1 times" in said


def test_a_full_disk_here_is_no_verdict_on_the_zip(tmp_path, monkeypatch):
    failing = source(model('raise OSError(28, "No space left on device")'))(tmp_path / "s.zip")
    verdict = judge(failing, [cells(tmp_path)], scratch=tmp_path / "scratch")
    assert "No space left" in verdict.sentence  # there is room here, so it met a limit of its own
    monkeypatch.setattr("build.score.judge.LEAST_FREE", 2**60)
    with pytest.raises(UserError, match="was full while the zip was judged"):
        judge(failing, [cells(tmp_path)], scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_hidden_set_that_a_job_has_no_time_for_is_a_warning(tmp_path):
    slow = source(model(f"import time\ntime.sleep(0.1)\nreturn {LABELS}"))(tmp_path / "s.zip")
    verdicts = [
        judge(slow, [cells(tmp_path)], scratch=tmp_path / "scratch", hidden=hidden, time_limit=30, probes=False)
        for hidden in (12, 1_000_000)
    ]
    assert [[f.severity for f in verdict.findings if f.rule == "too-slow"] for verdict in verdicts] == [[], ["warning"]]
    assert "The hidden set's 1,000,000 images would take" in printed(verdicts[1])
    assert "a job may take 30 s" in printed(verdicts[1])


def test_the_log_of_a_prediction_step_that_failed_is_shown_although_the_zip_scored(tmp_path):
    members = {"metadata": "command: python3 -c print(1/0)"}
    verdict = judge(also(members)(tmp_path / "s.zip"), [cells(tmp_path)], scratch=tmp_path / "scratch", probes=False)
    text = printed(verdict)
    assert verdict.exit_code == 0
    assert "The zip scored although its prediction step failed" in text
    assert "ZeroDivisionError" in text.split("program stderr")[1]


def test_a_log_is_shown_without_a_terminal_s_escapes_and_without_endless_lines(tmp_path):
    text = r"print('\x1b]0;title\x07\x1b[2J', 'a\tb', 'x' * 190_000, file=sys.stderr)" + "\nreturn 1 / 0"
    verdict = judge(source(model(text))(tmp_path / "s.zip"), [cells(tmp_path)], scratch=tmp_path / "scratch")
    console = Console(width=160, soft_wrap=True, file=io.StringIO())
    transcript.show(verdict, console)
    said = console.file.getvalue()
    assert "?]0;title??[2J a" in said
    assert not set("\x1b\x07\t") & set(said)
    assert max(map(len, said.splitlines())) <= 1500
    assert "    return 1 / 0" in said  # a traceback keeps its form


HACK = "import numpy as np\nold = np.load\nnp.load = lambda *a, **k: old(*a, allow_pickle=True, **k)"
VENDORED = """import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent / "lib" / "site-packages"))
import tinylib"""
STALE = {"stage": "predict", "error": "ValueError", "sentence": "Model.predict raised ValueError"}


@pytest.mark.parametrize("engine", ["auto", "plain"])
@pytest.mark.parametrize(
    ("members", "top", "rules"),
    [
        ({}, HACK, set()),
        ({"failure.json": json.dumps(STALE)}, "", set()),
        ({}, "import importlib.util\nassert importlib.util.find_spec('torch') is None", set()),
        ({"lib/site-packages/tinylib.py": "x = 1"}, VENDORED, set()),
        (
            {},
            "import numpy as np\nif __name__ == '__main__':\n    np.load('/content/training_set.npz')",
            {"absolute-path"},
        ),
    ],
    ids=[
        "np.load replaced",
        "failure.json in the zip",
        "a look for a package",
        "site-packages in the zip",
        "a notebook's last lines",
    ],
)
def test_what_does_no_harm_on_the_server_does_none_here(members, top, rules, engine, tmp_path):
    zip_path = also(members, model(top=top))(tmp_path / "s.zip")
    verdict = judge(zip_path, [cells(tmp_path)], scratch=tmp_path / "scratch", engine=engine, probes=False)
    assert verdict.exit_code == 0, verdict.sentence
    assert {finding.rule for finding in verdict.findings} == rules


def test_a_bundle_s_later_phase_is_rehearsed(tmp_path):
    first, zip_path = cells(tmp_path), good(tmp_path / "s.zip")
    second = dataclasses.replace(first, labels=np.r_[(first.labels[:5] - 1) % 8, first.labels[5:]])  # all are right
    asked = {"development": [first], "final": [second], "start": datetime.date(2026, 1, 5)}
    given = {"bundle": write_competition(tmp_path / "bundle", **asked), "scratch": tmp_path / "scratch"}
    accuracies = [judge(zip_path, **given, phase=phase).outcome.scores["accuracy"] for phase in (0, 1)]
    assert accuracies == pytest.approx([7 / 12, 1])
    with pytest.raises(UserError, match="there is no phase 2"):
        judge(zip_path, **given, phase=2)


def test_a_model_that_draws_lots_scores_with_a_warning(tmp_path):
    zip_path = source(model("return np.random.default_rng().integers(0, 8, len(X))"))(tmp_path / "s.zip")
    verdict = judge(zip_path, [cells(tmp_path)], scratch=tmp_path / "scratch")
    assert verdict.exit_code == 0
    assert "nondeterministic" in {finding.rule for finding in verdict.findings}
    quick = judge(zip_path, [cells(tmp_path)], scratch=tmp_path / "scratch", probes=False)
    assert "nondeterministic" not in {finding.rule for finding in quick.findings}


def test_what_a_recipe_declares_is_no_warning(tmp_path):
    predict = f"shift = int(np.asarray(X).astype(np.int64).sum() % 8); return ({LABELS} + shift) % 8"
    zip_path = source(model(predict))(tmp_path / "s.zip")
    declared = judge(zip_path, [cells(tmp_path)], scratch=tmp_path / "scratch", adapts=True)
    silent = judge(zip_path, [cells(tmp_path)], scratch=tmp_path / "scratch")
    assert {f.severity for f in silent.findings if f.rule == "batch-dependent"} == {"warning"}
    assert {f.severity for f in declared.findings if f.rule == "batch-dependent"} == {"note"}


def test_the_judge_wants_images_or_a_bundle(tmp_path):
    zip_path = good(tmp_path / "s.zip")
    with pytest.raises(UserError, match="either test images or a competition bundle"):
        judge(zip_path, scratch=tmp_path)
    with pytest.raises(UserError, match="There is no zip at"):
        judge(tmp_path / "none.zip", [cells(tmp_path)], scratch=tmp_path)


def test_a_rehearsal_gives_a_scorecard_an_entry_and_pages(tmp_path, held):
    rehearsal = rehearsed(good(tmp_path / "s.zip"), held, tmp_path, probes=False)
    assert rehearsal.card["suites"]["held-out"]["accuracy"] == pytest.approx(0.75)
    assert rehearsal.card["perturbed_accuracy"] == pytest.approx(
        np.mean([row["accuracy"] for row in rehearsal.card["suites"]["basic"]["conditions"]])
    )
    assert rehearsal.card["submission"]["zip_bytes"] == (tmp_path / "s.zip").stat().st_size
    assert rehearsal.verdict.to_dict()["outcome"]["predictions"] == {}  # their files went with the judge's folder
    entry = Store(tmp_path / "store").find(rehearsal.entry)
    assert entry.suites["held-out"] == pytest.approx(0.75)
    rehearsal.write(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "scorecard.json").read_text())["seed"] == 0
    assert "<html" in (tmp_path / "out" / "scorecard.html").read_text()
    text = printed(rehearsal.verdict, rehearsal.card)
    assert "0.750" in text
    assert "Immature granulocytes" in text


def test_a_bundle_names_its_own_image(tmp_path, monkeypatch):
    folder, asked = small_bundle(tmp_path), []
    yaml = folder / "competition.yaml"
    yaml.write_text(
        "docker_image: my/own:1\n"
        + "".join(line for line in yaml.read_text().splitlines(keepends=True) if not line.startswith("docker_image"))
    )

    def engine(name, *, image=""):
        asked.append((name, image))
        raise UserError("Enough.")

    monkeypatch.setattr("build.score.worker.engine_called", engine)
    monkeypatch.setattr("build.score.sandbox.engine", engine)
    zip_path = good(tmp_path / "s.zip")
    for image, expected in (("", "my/own:1"), ("other:2", "other:2")):
        with pytest.raises(UserError, match="Enough"):
            judge(zip_path, bundle=folder, scratch=tmp_path / "scratch", engine="docker", image=image)
        assert asked.pop() == ("docker", expected)


def test_what_ran_in_the_server_s_image_is_not_failed_by_a_guess_about_its_versions():
    for own, code in ((True, 0), (False, 1)):
        verdict = Verdict(Outcome(engine="docker", status="scored"), [Finding("newer-api", "error", "It is newer.")])
        _server_only(verdict, own_image=own)
        assert verdict.exit_code == code


def test_of_a_bundle_s_own_image_nothing_is_claimed(tmp_path):
    folder, zip_path = small_bundle(tmp_path), pack(tmp_path / "s.zip", {"model.py": "import pyflakes\n" + GOOD})
    judged = judge(zip_path, bundle=folder, scratch=tmp_path / "scratch", engine="plain")
    assert judged.exit_code == 1
    assert "pyflakes" in judged.sentence
    yaml = folder / "competition.yaml"
    lines = [line for line in yaml.read_text().splitlines() if not line.startswith("docker_image")]
    yaml.write_text("\n".join(["docker_image: my/own:1", *lines]) + "\n")
    judged = judge(zip_path, bundle=folder, scratch=tmp_path / "scratch", engine="plain")
    assert judged.exit_code == 0, judged.sentence
    (told,) = [finding for finding in judged.findings if finding.rule == "unknown-image"]
    assert "my/own:1" in told.message
    assert not [finding for finding in judged.findings if "import" in finding.rule]


def test_memory_beyond_the_limit_is_forecast_with_a_warning(tmp_path):
    verdict = judge(
        good(tmp_path / "s.zip"), [cells(tmp_path)], scratch=tmp_path / "scratch", hidden=10**6, memory_limit=4000
    )
    (told,) = [finding for finding in verdict.findings if finding.rule == "too-large"]
    assert told.severity == "warning"
    assert "a job may take 4,000 MiB" in told.message


def test_the_scorecard_says_which_cells_and_forecasts_nothing_from_drawn_ones(tmp_path, held, monkeypatch):
    monkeypatch.setattr("build.score.suites.run_process", lambda *_: "keras_cv's operations have tests of their own")
    for drawn in (False, True):
        cells_of = dataclasses.replace(held, synthetic=drawn)
        places = {"store": Store(tmp_path / "store"), "cache": tmp_path / "suites", "scratch": tmp_path / "scratch"}
        given = {"submission": {"team": "us"}, "rows": 16, "suites": ("held-out", "stacked"), "probes": False}
        rehearsal = rehearse(good(tmp_path / "s.zip"), cells_of, **given, **places)
        assert (rehearsal.card["forecast"] is None) == drawn
        assert rehearsal.card["source"] == "random images"
        assert ("synthetic cells say nothing about real ones" in printed(rehearsal.verdict, rehearsal.card)) == drawn
        rehearsal.write(tmp_path / "out")
        page = (tmp_path / "out" / "scorecard.html").read_text()
        assert ("synthetic cells say nothing about real ones" in page) == drawn
        assert "random images" in page


def test_a_failing_zip_has_a_scorecard_without_scores(tmp_path, held):
    rehearsal = rehearsed(source(model("return None"))(tmp_path / "s.zip"), held, tmp_path)
    assert rehearsal.verdict.exit_code == 1
    assert rehearsal.card["suites"] == {}
    assert Store(tmp_path / "store").find(rehearsal.entry).facts["status"] == "Failed"
    rehearsal.write(tmp_path / "out")
    assert "It would fail" in printed(rehearsal.verdict, rehearsal.card).strip().splitlines()[-1]


def test_rows_are_read_when_they_are_asked_for():
    images = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    rows = Rows(images, np.array([4, 1, 3]))
    assert rows.shape == (3, 2, 2, 3)
    np.testing.assert_array_equal(rows[0], images[4])
    np.testing.assert_array_equal(rows[1:], images[[1, 3]])
    np.testing.assert_array_equal(rows[np.array([2, 0])], images[[3, 4]])
    np.testing.assert_array_equal(Rows(rows, np.array([2]))[0], images[3])
    np.testing.assert_array_equal(np.stack(list(rows)), images[[4, 1, 3]])


def test_the_next_scorecard_s_forecast_learns_from_a_recorded_score(tmp_path, held, monkeypatch):
    taught = []
    monkeypatch.setattr("build.score.scorecard.why_not", lambda card: "")  # though the suite `stacked` was not asked
    monkeypatch.setattr("build.score.scorecard.Forecaster", lambda own: taught.append(list(own)) or Forecaster(own))
    first = rehearsed(good(tmp_path / "s.zip"), held, tmp_path, probes=False)
    Store(tmp_path / "store").record(first.entry, 0.6)
    rehearsed(good(tmp_path / "t.zip"), held, tmp_path, probes=False)
    assert [[score for _, score in own] for own in taught] == [[], [0.6]]
