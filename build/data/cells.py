"""Cells: images and labels of one source, as every later step takes them.

from build.data.read import read
cells = read("training_set.npz", seed=0)
"""

from dataclasses import dataclass

import numpy as np

from submission import contract


@dataclass(frozen=True)
class Cells:
    """Images (N, H, W, 3) uint8 RGB (array or memory map, never written to) and labels (N,) int64 (class indices).

    `source` is what the user asked for, `sha256` the hash of pixels and labels in this order (not of the file that held
    them), `notes` are sentences on choices that the reader made and the user should see (a mapping of names, resized
    images). `files` names each row's file, relative to the source, where every image has one; else it is empty.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.labels)
        assert self.images.shape == (count, *contract.IMAGE_SHAPE), (self.images.shape, count)
        assert self.images.dtype == np.uint8, self.images.dtype
        assert self.labels.shape == (count,), self.labels.shape
        assert self.labels.dtype == np.int64, self.labels.dtype
        assert len(self.files) in (0, count), len(self.files)

    def __len__(self) -> int:
        return len(self.labels)


def class_counts(labels: np.ndarray) -> np.ndarray:
    """Number of rows of each class of the contract, (K,) int64."""
    return np.bincount(labels, minlength=len(contract.CLASSES))
