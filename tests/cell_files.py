"""What the reading tests write to disk: small npz files, folders of pictures, and the check that a message is one sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from submission import contract

K = len(contract.CLASSES)
ABBREVIATED = ("BASOPHILS", "eosino", "erythro", "ig", "Lymphocytes", "mono", "neutrophil", "plate")


def some_images(count: int, side: int = 96, seed: int = 0) -> np.ndarray:
    """Noise, (count, side, side, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def some_labels(count: int) -> np.ndarray:
    """Classes in turn, (count,) int64."""
    return np.arange(count) % K


def npz(folder: Path, name: str = "set.npz", *, save=np.savez, **arrays) -> Path:
    """An npz of 16 images and labels, or of what is given instead."""
    path = folder / name
    save(path, **({"images": some_images(16), "labels": some_labels(16)} | arrays))
    return path


def smooth(side: tuple[int, int], seed: int) -> Image.Image:
    """A colourful picture (height, width) without fine texture."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(side[::-1], Image.Resampling.BICUBIC)


def folder_of(root: Path, given: tuple[str, ...], per_class: int = 2, side: tuple[int, int] = (96, 96)) -> Path:
    """One folder a name with `per_class` different PNG files."""
    for index, name in enumerate(given):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            smooth(side, 100 * index + i).save(root / name / f"cell_{i}.png")
    return root


def sentence(caught: pytest.ExceptionInfo) -> str:
    """The message, after checking that it is one sentence of one line."""
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) > 30
    return text
