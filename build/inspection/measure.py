"""One pass over the images: which are copies, and of each different picture its perceptual hash, background and colours.

    measures = measure(cells, cache=Path("data"))

Kept under the cache by the hash of the cells and of the code that measures: a second call reads a file.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from build import files
from build.console import bar
from build.data import features, foreign
from build.data.cells import Cells

CHUNK = 256
"""Images measured at a time."""
HASH_SIDE, HASH_LOW = 32, 8
RING = 8
"""The border that is looked at for the background: this part of the side."""
LIGHT = 0.6
"""Quantile of lightness in the border above which pixels count as background: cells and their neighbours are darker."""


@dataclass(frozen=True)
class Measures:
    """Of `n` rows, `m` different pictures.

    first: (n,) int64, the first row with the same pixels. rows: (m,) int64, the first rows, ascending. Of each of them:
    hashes (m,) uint64; backgrounds (m, 3) float32, CIE L*a*b* (L* 0..100); isolation (m,) float32, distance (0..1.42)
    of the colour histogram to its fifth neighbour's, see build/data/foreign.py.
    """

    first: np.ndarray
    rows: np.ndarray
    hashes: np.ndarray
    backgrounds: np.ndarray
    isolation: np.ndarray


def perceptual_hash(image: np.ndarray) -> np.uint64:
    """64 bits of an image (H, W, 3) uint8: which low frequencies of its 32x32 grey version exceed their median.

    The "pHash" of Zauner (2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1) as
    the library imagehash has it, in OpenCV: a quarter of the time, and 0.4 of 64 bits differ for want of its resize.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:HASH_LOW, :HASH_LOW].ravel()
    return np.packbits(low > np.median(low)).view(np.uint64)[0]


def background(image: np.ndarray) -> np.ndarray:
    """The colour (3,) float32 in L*a*b* of the lighter pixels along the border of an image (H, W, 3) uint8: the plasma."""
    width = max(1, min(image.shape[:2]) // RING)
    middle = image[width:-width]
    ring = np.concatenate(
        [part.reshape(-1, 3) for part in (image[:width], image[-width:], middle[:, :width], middle[:, -width:])]
    )
    lab = cv2.cvtColor(ring[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return np.median(lab[lab[:, 0] >= np.quantile(lab[:, 0], LIGHT)], axis=0)


def measure(cells: Cells, *, cache: Path) -> Measures:
    """Measure every picture of `cells`, or read from `cache` what a former call measured. About 1 cpu-ms an image."""
    digest = hashlib.sha256(cells.sha256.encode())
    for module in (__file__, features.__file__, foreign.__file__):
        digest.update(Path(module).read_bytes())
    path = Path(cache) / f"measures-{digest.hexdigest()[:20]}.npz"
    if path.exists():
        try:
            return Measures(**files.arrays(path))
        except (OSError, ValueError, TypeError):
            path.unlink()  # damaged: measured again below
    found = _measure(cells.images)
    with files.atomic(path) as file:
        np.savez_compressed(file, **vars(found))
    return found


def _measure(images: np.ndarray) -> Measures:
    firsts: dict[bytes, int] = {}
    first = np.empty(len(images), np.int64)
    hashes, backgrounds, colours = [], [], []
    with bar("Measuring pictures", len(images)) as advance:
        for start in range(0, len(images), CHUNK):
            fresh = []
            for row, image in enumerate(images[start : start + CHUNK], start):
                image = np.ascontiguousarray(image)
                first[row] = firsts.setdefault(hashlib.blake2b(image, digest_size=16).digest(), row)
                if first[row] == row:
                    fresh.append(image)
            if fresh:
                held = features.empty(len(fresh))
                features.fill(held, 0, fresh)
                colours.append(held.colours)
                hashes += [perceptual_hash(image) for image in fresh]
                backgrounds += [background(image) for image in fresh]
            advance(min(CHUNK, len(images) - start))
    isolation = foreign.distances(np.concatenate(colours), lambda _: None)
    rows = np.fromiter(firsts.values(), np.int64)
    assert len(rows) == len(hashes) == len(isolation)
    return Measures(first, rows, np.array(hashes, np.uint64), np.array(backgrounds, np.float32), isolation)
