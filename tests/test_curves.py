"""Learning curves: a picture after any number of epochs."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from build.train import curves

ROOT = Path(__file__).resolve().parent.parent


def history(count):
    return [
        {
            "epoch": number,
            "phase": "head" if number <= 2 else "fine-tune",
            "side": 64 if number < 5 else 96,
            "loss": 2 / number,
            "validation_loss": 1.5 / number,
            "accuracy": 1 - 0.9 / number,
            "validation_accuracy": 1 - 0.5 / number,
            "perturbed_accuracy": 1 - 0.7 / number,
            "score": number,
            "learning_rate": 0.001 / number,
        }
        for number in range(1, count + 1)
    ]


def colours(path):
    """How many pixels of the picture have a strong colour: lines, not text and grid."""
    picture = cv2.imread(str(path)).astype(int)
    return int((np.ptp(picture, axis=-1) > 100).sum())


@pytest.mark.parametrize("count", [1, 2, 6, 80])
def test_a_picture_after_any_number_of_epochs(tmp_path, count):
    curves.draw(history(count), tmp_path / "curves.png", "run: finished", best=count)
    assert cv2.imread(str(tmp_path / "curves.png")).shape == (418, 1320, 3)
    assert colours(tmp_path / "curves.png") > (100 if count == 1 else 1000)


def test_before_the_first_epoch_there_is_none(tmp_path):
    curves.draw([], tmp_path / "curves.png", "run: interrupted", best=0)
    assert not (tmp_path / "curves.png").exists()


def test_a_loss_that_is_no_number_is_left_out_and_a_name_is_no_mathematics(tmp_path):
    rows = history(6)
    rows[3]["validation_loss"] = float("nan")
    curves.draw(rows, tmp_path / "curves.png", "run of the recipe a$^$b", best=2)
    assert colours(tmp_path / "curves.png") > 1000


def test_the_epoch_marked_as_best_is_the_one_whose_weights_are_kept(tmp_path):
    pictures = []
    for best in (2, 5):
        curves.draw(history(6), tmp_path / "curves.png", "run", best=best)
        pictures.append(cv2.imread(str(tmp_path / "curves.png")))
    assert (pictures[0] != pictures[1]).any()


def test_the_backend_that_a_notebook_names_stops_nothing(tmp_path):
    where = f"Path({str(tmp_path / 'c.png')!r})"
    code = (
        f"from pathlib import Path; from build.train import curves; curves.draw({history(2)!r}, {where}, 'run', best=1)"
    )
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # as Jupyter's processes inherit it
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ | inline)
    assert (tmp_path / "c.png").is_file()
