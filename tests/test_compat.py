"""Version skew: every set answers in its own process, differences are found, what cannot be installed is told."""

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from submissions import GOOD, pack

from build.errors import UserError
from build.files import locked
from build.score.compat import command, compare, environments
from build.score.compat.compare import Answer, ask, difference, fixture
from build.score.compat.environments import NEWEST, Environment, VersionSet, choose, provide, version_sets
from build.score.environment import ServerEnvironment
from build.score.held_out import HeldOut, Rows
from submission.contract import IMAGE_SHAPE

SHOWS_LOGITS = """
import os
import numpy as np

class Predictor:
    def logits(self, X):
        X = np.asarray(X, np.float64)
        return np.stack([np.sin(k + X.mean(axis=(1, 2, 3))) for k in range(8)], axis=1)

class Model:
    def __init__(self):
        self.predictor = Predictor()
        open("beside.txt").close()  # the submission's folder is the working directory

    def predict(self, X):
        return self.predictor.logits(X).argmax(axis=1)
"""


@pytest.fixture(autouse=True)
def room(monkeypatch):
    """There is enough of it, whatever this machine's disk has."""
    monkeypatch.setattr(environments, "NEEDED_BYTES", 0)


@pytest.fixture
def images(rng, tmp_path) -> dict[str, Path]:
    """Two kinds of a few images."""
    paths = {"clean uint8": tmp_path / "a.npy", "clean float32": tmp_path / "b.npy"}
    np.save(paths["clean uint8"], rng.integers(0, 256, (5, *IMAGE_SHAPE), np.uint8))
    np.save(paths["clean float32"], rng.uniform(0, 255, (3, *IMAGE_SHAPE)).astype(np.float32))
    return paths


def answer(**changes) -> Answer:
    logits = np.linspace(-3, 3, 16).reshape(2, 8)
    facts = {"seconds": {"import": 0.1, "load": 1.0}, "labels": {"a": logits.argmax(1)}, "logits": {"a": logits}}
    return Answer(versions={"python": "3.11.7"}, **facts | changes)


def sets(*names: str) -> list[VersionSet]:
    return [VersionSet(name, (f"tensorflow=={name}.0",), (3, 11), name == "2.17") for name in names]


def verdicts(answers: dict) -> dict[str, str]:
    return {row.versions.name: row.verdict for row in command.compare(sets(*answers), answers)}


def test_the_sets_go_from_2_16_to_the_newest_and_the_servers_is_as_described():
    found = {one.name: one for one in version_sets()}
    assert list(found) == ["2.16", "2.17", "2.18", "2.19", "2.20", NEWEST]
    assert found["2.17"].requirements == ("tensorflow==2.17.0", "keras==3.4.1")
    assert [one.name for one in found.values() if one.server] == ["2.17"]
    assert {one.python for one in found.values() if one.name != NEWEST} == {ServerEnvironment.read().python}
    other = dataclasses.replace(ServerEnvironment.read(), certain={"tensorflow": "2.19.0", "keras": "3.8.0"})
    moved = {one.name: one for one in version_sets(other)}
    assert moved["2.19"].server
    assert moved["2.19"].requirements == ("tensorflow==2.19.0", "keras==3.8.0")
    with pytest.raises(UserError, match="gives no version"):
        version_sets(dataclasses.replace(other, certain={"tensorflow": "2.19.0"}))


def test_named_sets_are_compared_with_what_is_installed_here():
    assert [one.name for one in choose(version_sets(), ("2.18",), quick=False)] == ["2.18", NEWEST]
    assert [one.name for one in choose(version_sets(), (), quick=True)] == ["2.17", NEWEST]
    assert len(choose(version_sets(), (), quick=False)) == 6
    with pytest.raises(UserError, match=r"no version set 2\.15; choose among 2\.16, 2\.17"):
        choose(version_sets(), ("2.15",), quick=False)


def test_a_zip_answers_in_a_process_of_its_own(images, tmp_path):
    zip_path = pack(tmp_path / "s.zip", {"model.py": SHOWS_LOGITS, "beside.txt": ""})
    found = ask(zip_path, Path(sys.executable), images, tmp_path, rounds=2)
    assert found.problem == ""
    assert found.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found.versions["numpy"] == np.__version__
    assert set(found.seconds) == {"import", "load", "first", "predict"}
    assert found.cpu_ms > 0
    for kind, path in images.items():
        assert found.logits[kind].shape == (len(np.load(path)), 8)
        np.testing.assert_array_equal(found.labels[kind], found.logits[kind].argmax(axis=1))
    foreign = ask(pack(tmp_path / "f.zip", {"model.py": GOOD}), Path(sys.executable), images, tmp_path)
    assert foreign.logits == {}
    assert foreign.labels["clean uint8"].shape == (5,)
    assert foreign.cpu_ms is None


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("import seaborn_of_tomorrow\nclass Model: pass", "imports seaborn_of_tomorrow"),
        (
            "class Model:\n    def __init__(self):\n        raise ValueError('no weights')",
            "Model() raised ValueError: no",
        ),
        ("class Model:\n    def predict(self, X): return X.later()", "has no attribute 'later'"),
        ("class Model:\n    def predict(self, X): return 3", "returned shape () for 5 images, expected (5,)"),
        ("import os\nclass Model:\n    def __init__(self):\n        os._exit(3)", "ended with code 3"),
        ("import os\nos.write(2, b'\\x1b[2J\\xff' * 9)\nos._exit(3)\nclass Model: pass", "ended with code 3: ?[2J"),
    ],
)
def test_what_fails_is_told_in_one_sentence(model, sentence, images, tmp_path):
    found = ask(pack(tmp_path / "s.zip", {"model.py": model}), Path(sys.executable), images, tmp_path)
    assert sentence in found.problem
    assert found.problem.isprintable()
    assert "\n" not in found.problem
    assert str(tmp_path) not in found.problem
    assert found.labels == {}


def test_a_zip_that_cannot_be_unpacked_or_a_python_that_is_not_there_is_a_problem_too(images, tmp_path):
    (tmp_path / "s.zip").write_bytes(b"")
    assert ask(tmp_path / "s.zip", Path(sys.executable), images, tmp_path).problem == "The file is empty."
    zip_path = pack(tmp_path / "s.zip", {"model.py": GOOD})
    assert "cannot be run" in ask(zip_path, tmp_path / "python", images, tmp_path).problem


def test_a_label_a_logit_and_a_shape_can_differ():
    reference = answer()
    assert difference(answer(), reference).equal
    logits = reference.logits["a"]
    for change, equal in ((2e-4, True), (4e-4, False), (np.nan, False)):  # the largest logit is 3
        moved = logits.copy()
        moved[1, 2] += change
        assert difference(answer(logits={"a": moved}), reference).equal == equal
    broken = answer(logits={"a": logits, "b": np.full_like(logits, np.nan)})
    assert not difference(broken, answer(logits={"a": logits, "b": logits})).equal  # whichever kind of images has it
    other = difference(answer(labels={"a": np.array([7, 6])}), reference)
    assert (other.images, other.labels, other.equal) == (2, 1, False)
    assert difference(answer(labels={"a": np.array([7])}), reference).labels == 2
    shown = difference(answer(logits={}), reference)
    assert (shown.logits, shown.equal) == (None, True)


def test_every_set_is_judged_beside_the_servers():
    moved = answer(logits={"a": answer().logits["a"] + 1})
    broken = Answer(problem="It fails.")
    found = {"2.16": "no disk", "2.17": answer(), "2.18": moved, "2.19": broken, NEWEST: answer()}
    assert verdicts(found) == {
        "2.16": "not installed",
        "2.17": "reference",
        "2.18": "differs",
        "2.19": "fails",
        NEWEST: "equal",
    }
    without = found | {"2.17": "no disk"}
    assert verdicts(without)[NEWEST] == "reference"


@pytest.mark.parametrize(
    ("answers", "code", "sentence"),
    [
        ({"2.17": answer(), NEWEST: answer()}, 0, "The same answers under 2 version sets."),
        ({"2.16": "no disk", "2.17": answer(), NEWEST: answer()}, 0, "2 version sets. Not installed: 2.16."),
        (
            {"2.17": "no disk", "2.18": answer(), NEWEST: answer()},
            1,
            "The server's versions were not asked: their environment needs uv",
        ),
        ({"2.18": answer(), NEWEST: answer()}, 0, "2 version sets. The server's versions are NOT among them."),
        ({"2.17": answer(), NEWEST: Answer(problem="x")}, 1, "depend on the versions. Fails: newest."),
        ({"2.17": answer(labels={"a": np.array([0, 0])}), NEWEST: answer()}, 1, "Differs: newest."),
        ({"2.17": "no disk", NEWEST: Answer(problem="x")}, 1, "Fails: newest. Not installed: 2.17."),
        ({"2.17": Answer(problem="x"), NEWEST: Answer(problem="x")}, 1, "It answers under none of the versions"),
    ],
)
def test_the_exit_code_is_one_where_an_answer_differs_or_fails_or_the_server_s_is_missing(answers, code, sentence):
    rows = command.compare(sets(*answers), answers)
    assert command.exit_code(rows) == code
    assert sentence in command.verdict(rows)


def test_the_images_are_the_same_each_time_and_of_four_kinds(rng, tmp_path):
    labels = np.arange(24) % 8
    held = HeldOut(Rows(rng.integers(0, 256, (24, *IMAGE_SHAPE), np.uint8), np.arange(24)), labels, 3, "drawn")
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths = fixture(held, tmp_path / "cache", rows=8, folder=tmp_path / name)
        found.append({kind: np.load(path) for kind, path in paths.items()})
    assert {kind: array.dtype.name for kind, array in found[0].items()} == {
        f"{name} {dtype}": dtype for name in ("clean", "perturbed") for dtype in ("uint8", "float32")
    }
    for kind, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][kind])
        assert array.min() >= 0
        assert array.max() <= 255
    assert found[0]["clean uint8"].shape == (8, *IMAGE_SHAPE)
    assert len(found[0]["perturbed uint8"]) >= 32
    fractions = found[0]["clean float32"]
    assert (fractions != np.rint(fractions)).mean() > 0.5


def test_the_command_leaves_a_table_as_json_and_markdown(monkeypatch, tmp_path, rng, capsys):
    held = HeldOut(
        Rows(rng.integers(0, 256, (16, *IMAGE_SHAPE), np.uint8), np.arange(16)), np.arange(16) % 8, 0, "drawn"
    )
    monkeypatch.setattr(command.held_out, "default", lambda: held)
    known = {"2.17": Environment(None, "uv venv failed: no such Python"), NEWEST: Environment(Path(sys.executable))}
    monkeypatch.setattr(command, "provide", lambda versions, _: known[versions.name])
    zip_path = pack(tmp_path / "s.zip", {"model.py": SHOWS_LOGITS, "beside.txt": ""})
    options = {"environments": tmp_path, "dist": tmp_path / "dist", "cache": tmp_path / "cache"}
    assert command.compat(zip_path, quick=True, **options) == 1
    facts = json.loads((tmp_path / "dist" / "compat.json").read_text())
    assert [(one["set"], one["verdict"]) for one in facts["sets"]] == [("2.17", "not installed"), (NEWEST, "reference")]
    assert facts["sets"][0]["problem"] == "uv venv failed: no such Python"
    assert facts["sets"][1]["logit_difference"] == 0
    text = (tmp_path / "dist" / "compat.md").read_text()
    assert "| 2.17 (server) | 3.11 | 2.17.0 | 3.4.1 |  |  |  |  | not installed |" in text
    assert "2.17: uv venv failed: no such Python" in text
    with pytest.raises(UserError, match="There is no zip at"):
        command.compat(tmp_path / "none.zip", **options)


class Installer:
    """Stands in for uv: makes a `python`, or fails."""

    def __init__(self, fails: str = ""):
        self.fails, self.calls = fails, []

    def __call__(self, arguments, **options):
        self.calls.append(arguments)
        failed = self.fails and self.fails in arguments
        if "venv" in arguments:
            python = Path(arguments[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        return subprocess.CompletedProcess(arguments, int(bool(failed)), "", "first\nNo solution found.\n")


def test_an_environment_that_another_process_makes_is_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(environments.subprocess, "run", Installer())
    monkeypatch.setattr(environments.shutil, "which", lambda name: f"/bin/{name}")
    (versions,) = sets("2.17")
    made = threading.Thread(target=provide, args=(versions, tmp_path))
    with locked(tmp_path / ".compat-2.17.lock"):
        made.start()
        made.join(0.3)
        assert made.is_alive()
        assert not (tmp_path / "compat-2.17").exists()
    made.join(30)
    assert (tmp_path / "compat-2.17" / "bin" / "python").exists()


def test_an_environment_is_made_once_and_anew_for_other_requirements(monkeypatch, tmp_path):
    installer = Installer()
    monkeypatch.setattr(environments.subprocess, "run", installer)
    monkeypatch.setattr(environments.shutil, "which", lambda name: f"/bin/{name}")
    (old,) = sets("2.17")
    found = provide(old, tmp_path)
    assert found.python == tmp_path / "compat-2.17" / "bin" / "python"
    assert installer.calls[0][1:5] == ["venv", "--quiet", "--python", "3.11"]
    assert {"tensorflow==2.17.0", "scikit-learn"} <= set(
        installer.calls[1]
    )  # and what such servers usually have beside it
    assert provide(old, tmp_path) == found
    assert len(installer.calls) == 2
    provide(dataclasses.replace(old, requirements=("tensorflow==2.17.1",)), tmp_path)
    assert len(installer.calls) == 4
    provide(dataclasses.replace(old, requirements=("tensorflow==2.17.1",), python=(3, 12)), tmp_path)
    assert len(installer.calls) == 6
    assert provide(version_sets()[-1], tmp_path).python == Path(sys.executable)


def test_the_table_counts_the_labels_that_are_equal():
    answers = {"2.17": answer(), NEWEST: answer(labels={"a": np.array([7, 0])})}
    rows = command.compare(sets(*answers), answers)
    assert [row.cells()[command.COLUMNS.index("labels")] for row in rows] == ["2 of 2", "1 of 2"]


def test_what_cannot_be_installed_is_a_sentence_and_leaves_nothing(monkeypatch, tmp_path):
    (versions,) = sets("2.17")
    with monkeypatch.context() as patch:
        patch.setattr(environments.shutil, "which", lambda name: f"/bin/{name}")
        patch.setattr(environments.subprocess, "run", Installer(fails="install"))
        assert provide(versions, tmp_path) == Environment(None, "uv pip failed: No solution found.")
        assert [path.name for path in tmp_path.iterdir()] == [".compat-2.17.lock"]
        patch.setattr(environments, "NEEDED_BYTES", 1e18)
        assert "GB of disk are free" in provide(versions, tmp_path).problem
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    absent = dataclasses.replace(versions, python=(3, 99))
    assert "python3.99 cannot be run" in provide(absent, tmp_path).problem


def test_the_longest_wait_ends_in_a_sentence(monkeypatch, images, tmp_path):
    monkeypatch.setattr(compare, "LONGEST", 1)
    model = "import time\nclass Model:\n    def __init__(self):\n        time.sleep(30)"
    found = ask(pack(tmp_path / "s.zip", {"model.py": model}), Path(sys.executable), images, tmp_path)
    assert found.problem == "It did not answer within 1 s."
