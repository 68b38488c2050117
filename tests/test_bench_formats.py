"""Formats side by side: every file answers as ours does, and what does not load is told."""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from build.bench import formats
from build.score.compat.compare import Answer
from build.score.compat.environments import NEWEST
from submission.network import build, complete, variables


def answer(labels, **facts) -> Answer:
    return Answer(labels={"squares": np.array(labels)}, **facts)


def test_the_figures_say_size_speed_and_where_a_file_loads(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(bytes(20_000))
    answers = {
        formats.OURS: {NEWEST: answer([1, 2])},
        ".keras": {
            "2.17": Answer(problem="It cannot be read."),
            "2.20": answer([1, 3]),
            NEWEST: answer([1, 2], seconds={"first": 4.26}, cpu_ms=2.3456),
        },
        formats.HALF: {NEWEST: answer([1, 3]), "2.17": answer([7, 7])},
    }
    facts = formats.facts_of(".keras", path, answers)
    assert facts == {
        "zip_mb": 0.02,
        "first_s": 4.3,
        "cpu_ms": 2.35,
        "loads": [NEWEST],
        "problems": {"2.17": "It cannot be read.", "2.20": "1 labels are others."},
    }
    # Half the digits may give another label to an image between two classes: that is no fault of the version.
    assert formats.facts_of(formats.HALF, path, answers)["loads"] == [NEWEST]


def test_every_model_file_is_python(tmp_path):
    for _, imports, load in formats.FORMATS.values():
        compile(formats.MODEL.format(imports=imports, load=load), "model.py", "exec")


def test_only_environments_that_are_there_are_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(formats, "ENVIRONMENTS", tmp_path)
    assert formats.environments() == {NEWEST: Path(sys.executable)}


@pytest.fixture(scope="module")
def tiny() -> tuple[dict, dict[str, np.ndarray], str]:
    """Spec, arrays and title of a small network."""
    spec = complete({"network": "custom-cnn", "filters": 4, "classes": 8, "image_shape": [96, 96, 3]})
    return spec, {name: np.asarray(value) for name, value in variables(build(spec)).items()}, "a tiny one"


def without_its_package(model, folder):
    raise ModuleNotFoundError("No module named 'strange'", name="strange")


def test_every_format_that_can_be_written_becomes_a_zip(monkeypatch, tiny, tmp_path):
    monkeypatch.setitem(formats.FORMATS, "strange", (without_its_package, "", ""))
    monkeypatch.setattr(
        formats, "FORMATS", {name: formats.FORMATS[name] for name in (".keras", "strange")}
    )  # the others take tens of seconds
    monkeypatch.setattr("build.package.SHIPPED", ("model.py", "submission/contract.py"))
    zips, missing = formats.write(*tiny[:2], tmp_path)
    assert missing == ["strange is left out: strange is not installed here."]
    assert list(zips) == [formats.OURS, formats.HALF, ".keras"]
    held = {name: set(zipfile.ZipFile(path).namelist()) for name, path in zips.items()}
    assert held[".keras"] == {"model.py", "network.keras"}
    assert held[formats.OURS] == held[formats.HALF] == {"model.py", "submission/contract.py", "weights.npz"}
    assert zips[formats.HALF].stat().st_size < 0.8 * zips[formats.OURS].stat().st_size


def test_the_table_and_the_file_hold_every_format(monkeypatch, tiny, tmp_path, capfd):
    (tmp_path / "a.zip").write_bytes(bytes(3_000_000))
    here = answer([1, 2], seconds={"first": 4.2}, cpu_ms=2.3)
    answers = {
        formats.OURS: {NEWEST: here, "2.17": answer([1, 2])},
        "ONNX": {NEWEST: Answer(problem="There is no onnxruntime."), "2.17": Answer(problem="Nor here.")},
    }
    monkeypatch.setattr(formats, "network", lambda: tiny)
    monkeypatch.setattr(formats, "environments", lambda: {"2.17": Path("p"), NEWEST: Path("q")})
    monkeypatch.setattr(
        formats, "write", lambda *_: (dict.fromkeys(answers, tmp_path / "a.zip"), ["LiteRT is absent."])
    )
    monkeypatch.setattr(formats, "ask_all", lambda *_: answers)
    monkeypatch.chdir(tmp_path)
    formats.main()
    facts = json.loads((tmp_path / "runs" / "bench" / "formats.json").read_text())
    assert facts["network"] == "a tiny one"
    assert facts["formats"][formats.OURS]["loads"] == [NEWEST, "2.17"]
    assert facts["formats"]["ONNX"]["loads"] == []
    printed = capfd.readouterr().err
    for text in ("3.00 MB", "4.2 s", "2.30", "none", "ONNX under 2.17: Nor here.", "LiteRT is absent."):
        assert text in printed
