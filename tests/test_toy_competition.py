"""Another competition of the same kind needs one file changed, the contract: here 3 classes of shapes at 32x32."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = {
    'COMPETITION = "blood-cells"': 'COMPETITION = "shapes"',
    "IMAGE_SHAPE = (96, 96, 3)": "IMAGE_SHAPE = (32, 32, 3)",
}
CLASSES = ("Circle", "Cross", "Square")


def shape(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A (32, 32, 3) uint8 picture of one bright shape on a dark noisy background."""
    image = rng.integers(0, 60, (32, 32, 3), np.uint8)
    x, y, r = (int(value) for value in (*rng.integers(12, 20, 2), rng.integers(6, 10)))
    colour = [int(value) for value in rng.integers(160, 256, 3)]
    if kind == "Circle":
        cv2.circle(image, (x, y), r, colour, 2)
    elif kind == "Square":
        cv2.rectangle(image, (x - r, y - r), (x + r, y + r), colour, 2)
    else:
        cv2.line(image, (x - r, y), (x + r, y), colour, 2)
        cv2.line(image, (x, y - r), (x, y + r), colour, 2)
    return image


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    """A copy of the kit with another contract, and a folder of images a class beside it."""
    folder = tmp_path_factory.mktemp("toy")
    for name in ("build", "submission"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("model.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    path = folder / "submission" / "contract.py"
    text = path.read_text()
    for old, new in CONTRACT.items():
        assert old in text
        text = text.replace(old, new)
    before, rest = text.split("CLASSES = (", 1)
    path.write_text(before + f"CLASSES = {CLASSES!r}" + rest.split(")", 1)[1])
    rng = np.random.default_rng(5)
    for name in CLASSES:
        (folder / "shapes" / name).mkdir(parents=True)
        for index in range(160):
            assert cv2.imwrite(str(folder / "shapes" / name / f"{index}.png"), shape(name, rng))
    return folder


def podium(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "build", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_another_competition_needs_only_another_contract(toy):
    small = ("--set", "network=custom-cnn", "--set", "filters=16")
    trained = podium(toy, "train", "--data", "shapes", "--recipe", "smoke", "--epochs", "24", "--minutes", "0", *small)
    assert trained.returncode == 0, trained.stderr
    packaged = podium(toy, "package", "--rows", "24", "--force", "--suites", "microscopy")
    assert packaged.returncode == 0, packaged.stderr
    card = json.loads((toy / "dist" / "scorecard.json").read_text())
    assert card["competition"] == "shapes"
    assert card["classes"] == list(CLASSES)
    assert card["suites"]["held-out"]["n"] == 48
    assert card["held_out"]["accuracy"] > 0.5  # by chance 1/3
    with zipfile.ZipFile(toy / "dist" / "submission.zip") as archive:
        assert "model.py" in archive.namelist()
        archive.extractall(toy / "elsewhere")
    code = "import numpy as np; from model import Model; print(Model().predict(np.zeros((2, 32, 32, 3))).shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=toy / "elsewhere", capture_output=True, text=True)
    assert done.stdout.strip() == "(2,)", done.stderr
