"""The judge asks for as many images in one job as the hidden set has: the division, what the jobs share, what one that fails leaves."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from containers import needs_bwrap
from submissions import GOOD, Cells, also, good, model, pack, source

from build.score import prediction, reports
from build.score.bundle import scoring_bundle
from build.score.bundle_data import divide
from build.score.judge import judge

IMAGES = 8


def sets(folder: Path, count: int = 5) -> list[Cells]:
    """`count` sets of 8 images of 4x4 pixels whose labels GOOD finds; "s0" is the first."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(count):
        images = rng.integers(0, 256, (IMAGES, 4, 4, 3), np.uint8)
        labels = images.reshape(IMAGES, -1).astype(np.int64).sum(axis=1) % 8
        path = folder / f"s{number}.npy"
        np.save(path, images)
        found.append(Cells(f"s{number}", f"suite{number % 2}", path, labels))
    return found


def judged(zip_path: Path, conditions: list[Cells], folder: Path, **options):
    return judge(zip_path, conditions, scratch=folder / "scratch", engine="plain", probes=False, **options)


@pytest.mark.parametrize(
    ("sizes", "most", "jobs"),
    [
        ([3, 3, 3, 3], 6, [[3, 3], [3, 3]]),
        ([3, 3, 3, 3], 8, [[3, 3], [3, 3]]),
        ([3, 3, 3, 3], 12, [[3, 3, 3, 3]]),
        ([9, 1, 1, 8, 2], 4, [[3], [3], [3, 1], [1], [4], [4], [2]]),
        ([2, 2, 9], 4, [[2, 2], [3], [3], [3]]),
        ([1], 1, [[1]]),
        ([3, 900], None, [[3, 900]]),
    ],
)
def test_jobs_are_as_few_as_hold_at_most_so_many_images(sizes, most, jobs):
    conditions = [Cells(str(i), "a", Path("x.npy"), np.zeros(size)) for i, size in enumerate(sizes)]
    divided = divide(conditions, most)
    assert [[len(part) for part in job] for job in divided] == jobs
    rows = [(part.condition.key, row) for job in divided for part in job for row in range(part.first, part.last)]
    assert rows == [(str(i), row) for i, size in enumerate(sizes) for row in range(size)]


@pytest.mark.parametrize("hidden", [2 * IMAGES, 3])
def test_a_divided_task_scores_what_an_undivided_one_does(tmp_path, hidden):
    zip_path, conditions = good(tmp_path / "s.zip"), sets(tmp_path)
    conditions[3].labels[:3] += 1
    conditions[3].labels[:] %= 8
    whole = judged(zip_path, conditions, tmp_path, keep=tmp_path / "whole").outcome
    parts = judged(zip_path, conditions, tmp_path, keep=tmp_path / "parts", hidden=hidden).outcome
    assert parts.status == "scored"
    assert parts.scores == whole.scores
    assert parts.scores["accuracy"] == pytest.approx(37 / 40)
    assert sorted(parts.predictions) == sorted(whole.predictions) == ["s0", "s1", "s2", "s3", "s4"]
    for key, path in parts.predictions.items():
        assert np.array_equal(np.load(path), np.load(whole.predictions[key]))
    assert parts.images == whole.images == {f"s{number}": IMAGES for number in range(5)}
    assert set(parts.condition_seconds) == set(whole.condition_seconds)


def test_a_zip_is_on_the_disk_once_and_not_once_a_job(tmp_path, monkeypatch):
    copies = []
    push = prediction.push_output

    def counted(job):
        copies.append(len(list(tmp_path.rglob("large.bin"))))
        return push(job)

    monkeypatch.setattr(prediction, "push_output", counted)
    zip_path, conditions = also({"large.bin": b"x" * 1000})(tmp_path / "s.zip"), sets(tmp_path)
    assert judged(zip_path, conditions, tmp_path, hidden=2 * IMAGES).outcome.status == "scored"
    assert len(copies) == 3
    assert max(copies) == copies[0]


def test_each_job_is_a_process_of_its_own_with_the_whole_limit(tmp_path):
    text = model(
        "time.sleep(len(X) / 4)\nprint('images', len(X), 'in', os.getpid())\nreturn X.astype(int).sum((1, 2, 3)) % 8"
    )
    zip_path, conditions = source(text)(tmp_path / "s.zip"), sets(tmp_path)
    assert "longer than its limit of 8 s" in judged(zip_path, conditions, tmp_path, time_limit=8).sentence
    outcome = judged(zip_path, conditions, tmp_path, hidden=2 * IMAGES, time_limit=8).outcome
    assert outcome.status == "scored", outcome.reason
    assert outcome.scores["accuracy"] == 1
    assert 4 <= outcome.seconds["prediction"] <= 8
    logs = {(log.step, log.source, log.stream): log.text for log in outcome.logs}
    said = logs["prediction", "ingestion", "stdout"].splitlines()
    assert [line for line in said if line.startswith("---")] == [f"--- job {number} of 3 ---" for number in (1, 2, 3)]
    asked = [line.split() for line in said if line.startswith("images")]
    assert [int(words[1]) for words in asked] == [2 * IMAGES, 2 * IMAGES, IMAGES]
    assert len({words[3] for words in asked}) == 3


def test_a_job_is_one_call_of_all_its_images_in_mixed_order(tmp_path):
    text = model("print('first', *X[:, 0, 0, 0])\nreturn X.astype(int).sum((1, 2, 3)) % 8")
    zip_path, conditions = source(text)(tmp_path / "s.zip"), sets(tmp_path)
    pixels = [np.load(one.images_path)[:, 0, 0, 0].tolist() for one in conditions]
    for one_call in (True, False):
        outcome = judged(zip_path, conditions, tmp_path, one_call=one_call).outcome
        assert outcome.scores["accuracy"] == 1
        assert outcome.images == {one.key: IMAGES for one in conditions}
        (said,) = (log.text for log in outcome.logs if (log.source, log.stream) == ("ingestion", "stdout"))
        calls = [list(map(int, line.split()[1:])) for line in said.splitlines() if line.startswith("first")]
        if one_call:
            assert len(calls) == 1
            assert sorted(calls[0]) == sorted(itertools.chain(*pixels))
            assert calls[0] != list(itertools.chain(*pixels))
            assert len(set(outcome.condition_seconds.values())) == 1
        else:
            assert calls == pixels


def test_a_model_that_answers_once_is_judged_on_one_call(tmp_path):
    once = model(
        "if hasattr(self, 'asked'): raise RuntimeError('again')\nself.asked = True\nreturn X.astype(int).sum((1, 2, 3)) % 8"
    )
    zip_path, conditions = source(once)(tmp_path / "s.zip"), sets(tmp_path)
    assert judged(zip_path, conditions, tmp_path).exit_code == 0
    assert "again" in judged(zip_path, conditions, tmp_path, one_call=False).sentence


def test_a_job_that_fails_is_the_last_and_says_why(tmp_path):
    text = model(
        "print('asked')\nif X[0, 0, 0, 0] == FIRST: raise ValueError('no such luck')\n" + "return X[:, 0, 0, 0] % 8"
    )
    conditions = sets(tmp_path)
    first = np.load(conditions[2].images_path)[0, 0, 0, 0]
    verdict = judged(source(text.replace("FIRST", str(first)))(tmp_path / "s.zip"), conditions, tmp_path, hidden=IMAGES)
    assert verdict.exit_code == 1
    assert "no such luck" in verdict.sentence
    logs = {(log.step, log.source, log.stream): log.text for log in verdict.outcome.logs}
    assert logs["prediction", "ingestion", "stdout"].count("asked") == 3
    assert "no such luck" in logs["prediction", "ingestion", "stderr"].split("--- job 3 of 5 ---")[1]


@needs_bwrap
def test_a_job_cannot_predict_for_another(tmp_path):
    forge = "        np.save('/app/output/predictions/s0.npy', np.full(8, 7))\n"
    forged = GOOD.replace("        return", f"{forge}        return")
    conditions = sets(tmp_path)
    options = {"scratch": tmp_path / "scratch", "probes": False, "hidden": IMAGES, "keep": tmp_path / "kept"}
    outcome = judge(pack(tmp_path / "s.zip", {"model.py": forged}), conditions, **options).outcome
    assert np.array_equal(np.load(outcome.predictions["s0"]), conditions[0].labels)


def test_what_is_no_labels_is_left_for_the_scoring_step_to_refuse(tmp_path):
    target = tmp_path / "s0.npy"
    for number, labels in enumerate(([1, 2], [3], [4, 5])):
        np.save(tmp_path / "job.npy", labels)
        reports.take_labels(tmp_path / "job.npy", target)
        assert np.load(target).tolist() == [[1, 2], [1, 2, 3], [1, 2, 3, 4, 5]][number]
    header = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(127) + b"\n"
    )
    for broken in (b"", b"nothing", b"PK\x03\x04nothing", header):
        (tmp_path / "job.npy").write_bytes(broken)
        reports.take_labels(tmp_path / "job.npy", target)
        assert target.read_bytes() == broken
    assert [path.name for path in tmp_path.iterdir()] == ["s0.npy"]


def test_a_bundle_names_its_jobs_and_no_folder_from_elsewhere(tmp_path):
    bundle = scoring_bundle(sets(tmp_path), tmp_path / "bundle", job_images=2 * IMAGES)
    data = bundle / "input_data"
    assert [path.name for path in reports.jobs(data)] == ["job-1", "job-2", "job-3"]
    assert [reports.conditions(path) for path in reports.jobs(data)] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    undivided = scoring_bundle(sets(tmp_path), tmp_path / "undivided") / "input_data"
    assert reports.jobs(undivided) == [undivided]
    assert reports.jobs(None) == [None]
    for names in (["../reference_data"], [], [3], "job-1", ["job-9"]):
        (data / "jobs.json").write_text(json.dumps({"jobs": names}))
        assert reports.jobs(data) == [data]
