"""Our own bundles: Codabench would take them, the same arguments give the same bytes, and their programs count right."""

import ast
import datetime
import hashlib
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import bundles
import cv2
import numpy as np
import pytest
import yaml
from sklearn.metrics import precision_recall_fscore_support

from build.errors import UserError
from build.score import bundle
from build.score.bundle import PROGRAMS, scoring_bundle, write_competition
from build.score.bundle_pages import logo
from build.score.competition import load
from build.score.programs.podium_labels import breach
from build.score.worker import run
from submission.contract import CLASSES

FIRST = """
import numpy as np
class Model:
    def predict(self, X):
        return X[:, 0, 0, 0].astype(np.int64)
"""
"""The label that the tests hide in the first pixel."""


@dataclass
class Condition:
    key: str
    suite: str
    images_path: Path
    labels: np.ndarray


def conditions(folder: Path, rng: np.random.Generator, *names: str, count: int = 12) -> list[Condition]:
    """Sets called "suite.key" whose first pixel is the label, right three times in four."""
    found = []
    for name in names:
        images = rng.integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)
        labels = rng.integers(0, len(CLASSES), count)
        images[:, 0, 0, 0] = np.where(rng.random(count) < 0.75, labels, rng.integers(0, len(CLASSES), count))
        path = folder / f"{name}.npy"
        np.save(path, images)
        found.append(Condition(name, name.split(".")[0], path, labels))
    return found


def competition(target: Path, folder: Path, rng: np.random.Generator, **settings) -> Path:
    sets = conditions(folder, rng, "clean.0", "noise.1", "blur.2")
    start = datetime.date(2024, 11, 8)
    return write_competition(target, development=sets[:2], final=sets, start=start, **settings)


@pytest.mark.parametrize("name", ["bundle.zip", "bundle"])
def test_a_bundle_that_was_stopped_midway_leaves_the_earlier_one_or_none(tmp_path, rng, monkeypatch, name):
    target = competition(tmp_path / "bundle.zip", tmp_path, rng)

    def stopped(*_):
        raise KeyboardInterrupt

    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr("build.score.bundle._write_yaml", stopped)
    with pytest.raises(KeyboardInterrupt):
        competition(tmp_path / name, tmp_path, rng, title="Another")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert load(target, tmp_path / "unpacked").findings == ()


def test_two_bundles_written_at_once_are_both_whole(tmp_path, rng, monkeypatch):
    write, inner = bundle._write_yaml, []

    def beside(folder, values):
        if not inner:
            inner.append(folder)
            competition(tmp_path / "bundle.zip", tmp_path, rng)
        write(folder, values)

    monkeypatch.setattr("build.score.bundle._write_yaml", beside)
    target = competition(tmp_path / "bundle.zip", tmp_path, rng)
    assert load(target, tmp_path / "unpacked").findings == ()


def test_the_bundle_for_scoring_at_home_breaks_no_rule(tmp_path, rng):
    folder = scoring_bundle(conditions(tmp_path, rng, "clean.0", "noise.1"), tmp_path / "bundle")
    found = load(folder, tmp_path)
    assert found.findings == ()
    assert found.columns == ("accuracy", "precision", "recall", "f1", "accuracy_clean", "accuracy_noise")
    assert (found.primary, found.detailed_results, found.phases[0].execution_time_limit) == ("accuracy", True, 600.0)


def test_the_competition_breaks_no_rule_and_has_a_development_and_a_final_phase(tmp_path, rng):
    target = competition(tmp_path / "competition.zip", tmp_path, rng, days=10, final_days=3, submissions_per_day=2)
    found = load(target, tmp_path / "scratch")
    assert found.findings == ()
    assert [phase.tasks for phase in found.phases] == [(0,), (1,)]
    with zipfile.ZipFile(target) as archive:
        development, final = yaml.safe_load(archive.read("competition.yaml"))["phases"]
    assert (development["name"], final["name"]) == ("Development", "Final")
    assert (development["start"], development["end"]) == ("2024-11-08 00:00:00", "2024-11-18 00:00:00")
    assert (final["start"], final["end"]) == ("2024-11-18 00:00:01", "2024-11-21 00:00:00")
    assert development["max_submissions_per_day"] == 2
    shown = [sorted(path.name for path in found.tasks[i].input_data.glob("*.npy")) for i in (0, 1)]
    assert shown == [["clean.0.npy", "noise.1.npy"], ["blur.2.npy", "clean.0.npy", "noise.1.npy"]]


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        target = competition(tmp_path / name / "c.zip", tmp_path / name, np.random.default_rng(3))
        digests.add(hashlib.sha256(target.read_bytes()).hexdigest())
        assert sorted(path.name for path in target.parent.iterdir()) == [
            "blur.2.npy",
            "c.zip",
            "clean.0.npy",
            "noise.1.npy",
        ]
    assert len(digests) == 1


def test_a_folder_holds_what_the_zip_holds(tmp_path, rng):
    zipped = competition(tmp_path / "c.zip", tmp_path, np.random.default_rng(3))
    folder = competition(tmp_path / "c", tmp_path, np.random.default_rng(3))
    with zipfile.ZipFile(zipped) as archive:
        assert "competition.yaml" in archive.namelist()
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }


def test_the_labels_are_only_in_the_reference_data(tmp_path, rng):
    sets = conditions(tmp_path, rng, "clean.0")
    folder = scoring_bundle(sets, tmp_path / "bundle")
    assert sorted(path.name for path in (folder / "input_data").iterdir()) == ["clean.0.npy", "conditions.json"]
    assert set(json.loads((folder / "input_data" / "conditions.json").read_text())["conditions"][0]) == {
        "key",
        "images",
    }
    assert np.array_equal(np.load(folder / "reference_data" / "clean.0.labels.npy"), sets[0].labels)


def test_the_pages_say_what_the_contract_is_and_the_logo_is_a_picture(tmp_path, rng):
    folder = scoring_bundle(conditions(tmp_path, rng, "clean.0"), tmp_path / "bundle")
    text = (folder / "overview.md").read_text()
    assert "X: (n, 8, 8, 3) numbers 0..255; returns (n,) integers 0..7" in text
    assert "7 Platelet" in text
    picture = cv2.imdecode(np.frombuffer(logo(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (64, 64, 3)
    assert tuple(picture[32, 30][::-1]) == (110, 62, 140)


def test_wrong_arguments_are_sentences(tmp_path, rng):
    with pytest.raises(UserError, match="at least one set of test images"):
        scoring_bundle([], tmp_path / "bundle")
    with pytest.raises(UserError, match="at least one day"):
        competition(tmp_path / "c.zip", tmp_path, rng, days=0)
    with pytest.raises(UserError, match="needs a title"):
        competition(tmp_path / "c.zip", tmp_path, rng, title=" ")
    for settings in ({"days": 999_999_999}, {"days": 10**30}, {"final_days": 3_000_000}):
        with pytest.raises(UserError, match="after the year 9999"):
            competition(tmp_path / "c.zip", tmp_path, rng, **settings)
    sets = conditions(tmp_path, rng, "s" * 40 + ".0", "clean.0")
    with pytest.raises(UserError, match="is too long"):
        scoring_bundle(sets, tmp_path / "bundle")
    assert not (tmp_path / "c.zip").exists()


def test_only_a_bundle_s_zip_or_an_empty_folder_is_replaced(tmp_path, rng):
    precious = tmp_path / "precious"
    precious.mkdir()
    competition(precious, tmp_path, rng)
    (precious / "competition.yaml").write_text("edited")
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "no.zip").write_text("x")
    with zipfile.ZipFile(tmp_path / "submission.zip", "w") as archive:
        archive.writestr("model.py", "x")
    competition(tmp_path / "c.zip", tmp_path, rng)
    competition(tmp_path / "c.zip", tmp_path, rng)
    files = (tmp_path / name for name in ("file", "folder.zip", "no.zip", "submission.zip"))
    for target in (precious, *files):
        with pytest.raises(UserError, match=r"holds something already, .* name a new folder"):
            competition(target, tmp_path, rng)
    assert (precious / "competition.yaml").read_text() == "edited"
    assert (tmp_path / "file").read_text() == "x"


def test_our_programs_count_as_sklearn_does(tmp_path, rng):
    sets = conditions(tmp_path, rng, "clean.0", "noise.1", "noise.2", count=40)
    bundle = scoring_bundle(sets, tmp_path / "bundle")
    outcome = run(bundles.submission(tmp_path / "s.zip", {"model.py": FIRST}), bundle, work=tmp_path / "work")
    assert outcome.status == "scored", outcome.reason
    said = {one.key: np.load(one.images_path)[:, 0, 0, 0] for one in sets}
    true, all_said = np.concatenate([one.labels for one in sets]), np.concatenate(list(said.values()))
    precision, recall, f1, _ = precision_recall_fscore_support(true, all_said, average="weighted", zero_division=0)
    single = {one.key: float((said[one.key] == one.labels).mean()) for one in sets}
    expected = {
        "accuracy": (true == all_said).mean(),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "accuracy_clean": single["clean.0"],
        "accuracy_noise": (single["noise.1"] + single["noise.2"]) / 2,
    }
    assert outcome.scores == pytest.approx(expected)
    assert set(outcome.predictions) == set(said)
    assert all(np.array_equal(np.load(outcome.predictions[key]), labels) for key, labels in said.items())
    assert outcome.images == dict.fromkeys(said, 40)
    assert all(0 < outcome.condition_seconds[key] < 5 for key in said)
    assert outcome.seconds["startup"] > 0
    assert "clean.0" in outcome.detailed_results
    assert not re.search(r"https?://|<script", outcome.detailed_results)


def test_each_phase_of_the_competition_scores_its_own_sets(tmp_path, rng):
    target = competition(tmp_path / "c.zip", tmp_path, rng)
    zip_path = bundles.submission(tmp_path / "s.zip", {"model.py": FIRST, "metadata": ""})
    for phase, count in ((0, 2), (1, 3)):
        outcome = run(zip_path, target, work=tmp_path / f"work-{phase}", phase=phase)
        assert outcome.status == "scored", outcome.reason
        assert len(outcome.predictions) == count


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("None", "returned None"),
        ("np.eye(8)[np.zeros(len(X), int)]", "shape (12, 8): one-hot rows or scores"),
        ("np.zeros((len(X), 1), int)", "shape (12, 1), a column"),
        ("np.zeros((2, 2, 2))", "shape (2, 2, 2) for 12 images"),
        ("np.zeros(len(X) - 1, int)", "11 labels for 12 images"),
        ("np.full(len(X), np.nan)", "NaN or infinity for 12 of 12"),
        ("np.zeros(len(X))", "float64 labels, not integers"),
        ("np.full(len(X), 8)", "labels 8..8; they must lie in 0..7"),
        ("np.full(len(X), -1)", "labels -1..-1"),
        ("['a'] * len(X)", "labels of dtype <U1, not integers"),
    ],
)
def test_a_breach_of_the_contract_is_one_sentence(answer, words, tmp_path, rng):
    namespace = {"np": np, "X": np.zeros((12, 8, 8, 3))}
    kind, sentence, remedy = breach(eval(answer, namespace), 12, 8)
    assert words in sentence
    assert kind
    assert remedy


def test_good_labels_breach_nothing():
    for labels in (np.arange(8), np.arange(8, dtype=np.uint8), list(range(8)), np.zeros(0, int)):
        assert breach(labels, len(labels), 8) is None


def test_a_breach_ends_the_rehearsal_with_its_sentence(tmp_path, rng):
    bundle = scoring_bundle(conditions(tmp_path, rng, "clean.0"), tmp_path / "bundle")
    model = FIRST.replace("X[:, 0, 0, 0].astype(np.int64)", "np.ones((len(X), 8))")
    outcome = run(bundles.submission(tmp_path / "s.zip", {"model.py": model}), bundle, work=tmp_path / "work")
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "one-hot rows or scores" in outcome.reason
    assert "argmax" in outcome.remedy


def test_the_programs_run_on_older_pythons_without_anything_but_numpy():
    for path in PROGRAMS.rglob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        names = {node.names[0].name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)}
        names |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert names <= sys.stdlib_module_names | {"numpy", "podium_labels", "podium_loading"}, path


def test_the_yaml_quotes_every_date_with_a_time(tmp_path, rng):
    folder = competition(tmp_path / "c", tmp_path, rng)
    values = yaml.safe_load((folder / "competition.yaml").read_text())
    assert all(isinstance(phase[key], str) for phase in values["phases"] for key in ("start", "end"))
