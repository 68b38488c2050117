"""Cells that a small network learns within seconds, for tests of the trainer: a class is a colour."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from build.data.cells import Cells
from build.data.prepare import Prepared
from build.data.split import Split
from build.recipes import find
from build.runs import Run
from submission import contract

CLASSES = len(contract.CLASSES)

RECIPE = dataclasses.replace(
    find("podium"),
    name="toy",
    # Mild: four epochs of few cells are to be learned whatever the default recipe's strength.
    zoom=0.25,
    translation=0.2,
    network="custom-cnn",
    filters=8,
    weights="none",
    minutes=0.0,
    epochs=4,
    batch=8,
    resolutions=((32, 1.0),),
    dropout=0.1,
    learning_rate=5e-3,
    weight_decay=0.01,
    warmup_epochs=0.5,
    label_smoothing=0.0,
    ema_momentum=0.5,
    surroundings_probability=0.0,
    augmix_probability=0.0,
    randaugment_probability=0.0,
    channel_shuffle_probability=0.0,
    channel_shift_probability=0.0,
    stain_probability=0.0,
    texture_probability=0.0,
    veil_probability=0.0,
    degrade_probability=0.0,
    cutout_probability=0.2,
    cutout_size=0.4,
    views=1,
)
"""A few epochs of a second each; geometry and holes only, which leave colours alone."""


SHALLOW = ((1, 0, 1, 0), (8, 16, 32, 64))
"""Blocks and channels that tests of the trainer put in the place of ConvNeXt atto's: tracing twelve blocks takes a minute."""


def runs(root: Path) -> list[Run]:
    """The runs of any training below `root`."""
    return [Run(path.parent) for path in root.glob("2*/run.json")]


def column(run: Run, name: str) -> list[float]:
    """A column of the run's history."""
    return [float(row[name]) for row in run.history]


def prepared(count: int = 96, *, seed: int = 0) -> Prepared:
    """`count` cells, those of a class in a row of eight: six to train with, one to validate and one to test."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    corners = np.array([[40, 40, 40], [215, 40, 40], [40, 215, 40], [40, 40, 215]], np.int64)
    colours = np.concatenate([corners, 255 - corners])[labels]
    images = colours[:, None, None, :] + rng.integers(-20, 21, (count, *contract.IMAGE_SHAPE))
    images = images.clip(0, 255).astype(np.uint8)
    labels = labels.astype(np.int64)
    sha256 = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    turn = np.arange(count) // CLASSES % 8
    sides = (np.flatnonzero(turn < 6), np.flatnonzero(turn == 6), np.flatnonzero(turn == 7))
    split = Split(*(side.astype(np.int64) for side in sides), (), seed, sha256)
    return Prepared(Cells(images, labels, "toy", sha256), None, split)


@pytest.fixture(scope="module")
def cells() -> Prepared:
    """`prepared()` once a module: a test file takes it as its own by `cells = toy_cells.cells`."""
    return prepared()
