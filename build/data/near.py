"""Near-duplicates: pictures of the same cell that differ in some pixels, in position, or by a flip or quarter turn.

Two kinds are found, each by a cheap search over all pairs and a check on the full images.
1. The same frame (saved again, brighter, blurred, noisy; flipped or turned): thumbnails correlate. The search is
exhaustive: averaging blocks of a thumbnail is an orthogonal projection, so distances between averaged thumbnails bound
the real ones from below and discard almost all pairs without losing one. 2. Another frame of the same place (shifted by
up to an eighth of the side): each image's nearest neighbours by spectrum are laid over it at the best shift, and what
remains without the low frequencies must agree. Fine texture tells one cell from another of its kind, which colours and
outlines do not.

Measured on copies altered by hand: JPEG of quality 30, noise, blur, half the resolution, grey, darker, flips and turns
are found always, brighter by 30 % (clipped) in 97 of 100, shifts by 7 pixels in 97, by 9 in 95, by 11 in 69, by 14
never. Not found either: small turns, other zooms, and copies with a patch painted over.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from build.data.features import THUMBNAIL, Features

SAME_FRAME = 0.985
"""Least correlation of thumbnails. Re-encoding, noise of 15 grey levels, blur and light reach 0.995; the two most
similar different cells of 11,951 reach 0.971."""
SAME_TEXTURE = 0.4
"""Least agreement of fine texture in the same frame: keeps flat pictures apart that share only their colours."""
MOVED_TEXTURE = 0.88
"""Least agreement of fine texture at the best shift. The five pairs of the same cell found by eye among 11,951 reach
0.94 to 0.98, the most similar different cells 0.84."""
MOVED_SPECTRUM = 0.85
NEIGHBOURS = 2
BLOCK_ELEMENTS = 1 << 23
"""Size of a block of the table of all pairs: 32 MiB of float32."""
TURNS = 8
MOST_PAIRS = 20
"""Pairs a picture. Where there are more, pictures are alike by nature, as those of a fixed camera are: what would be called copies of one
object are all objects. Twenty frames of each object, every one like all others, have half as many."""


class AlikeByNature(Exception):
    """Near-duplicates cannot be told from different objects in this data."""


@dataclass(frozen=True)
class Near:
    """Two rows that show the same thing, the agreement of their fine texture (0..1), and how they differ."""

    row: int
    twin: int
    score: float
    how: str


def turned(images: np.ndarray, turn: int) -> np.ndarray:
    """Images (..., H, W, 3) turned by `turn` % 4 quarter turns, after a mirror where `turn` >= 4."""
    mirrored = images[..., ::-1, :] if turn >= 4 else images
    return np.rot90(mirrored, turn % 4, axes=(-3, -2))


def find(features: Features, image: Callable[[int], np.ndarray], advance: Callable[[int], None]) -> list[Near]:
    """All near-duplicate pairs among `features`, as positions in it; `image(i)` gives (H, W, 3) uint8 of position i.

    `advance(n)` is told that n more positions are done, two times `len(features)` in all. Raises AlikeByNature beyond MOST_PAIRS.
    """
    pairs: dict[tuple[int, int], Near] = {}
    most = MOST_PAIRS * len(features.thumbnails)
    candidates = list(itertools.islice(_same_frame(features.thumbnails, advance), most + 1))
    if len(candidates) > most:
        raise AlikeByNature
    for first, second, turn in candidates:
        other = np.ascontiguousarray(turned(image(second), turn))
        if other.shape == image(first).shape and (score := texture(image(first), other)) >= SAME_TEXTURE:
            how = "same frame" if turn == 0 else "same frame, turned or mirrored"
            pairs.setdefault((first, second), Near(first, second, score, how))
    for first, second in _same_spectrum(features.spectra, advance):
        if (first, second) not in pairs and (score := texture(image(first), image(second))) >= MOVED_TEXTURE:
            pairs[first, second] = Near(first, second, score, "shifted")
    return [pairs[pair] for pair in sorted(pairs)]


def _blocks(count: int) -> Iterator[slice]:
    step = max(1, BLOCK_ELEMENTS // max(1, count))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _same_frame(thumbnails: np.ndarray, advance: Callable[[int], None]) -> Iterator[tuple[int, int, int]]:
    """Pairs (first < second, turn) whose thumbnails correlate by SAME_FRAME after the second is turned."""
    count = len(thumbnails)
    half = THUMBNAIL // 2
    # Halved sums of 2x2 blocks: the coefficients of an orthonormal (Haar) basis without its details.
    coarse = thumbnails.reshape(count, half, 2, half, 2, 3).sum((2, 4), dtype=np.float32) / 2
    energy = np.square(coarse).sum((1, 2, 3))[:, None] / 2
    energy[energy == 0] = 1  # flat images have no thumbnail to compare: nothing comes near
    ones = np.ones_like(energy)
    # One product gives minus half the squared distance, which for whole thumbnails is correlation - 1.
    columns = np.concatenate([coarse.reshape(count, -1), ones, -energy], 1)
    for block in _blocks(count):
        for turn in range(TURNS):
            # Turning the first backwards is turning the second forwards; the block is the smaller of the two.
            rows = turned(coarse[block], _inverse(turn)).reshape(block.stop - block.start, -1)
            closeness = np.concatenate([rows, -energy[block], ones[block]], 1) @ columns[block.start :].T
            for hit in np.flatnonzero(closeness >= SAME_FRAME - 1 - 1e-4).tolist():
                first, second = block.start + hit // closeness.shape[1], block.start + hit % closeness.shape[1]
                if first < second and _correlation(thumbnails, first, second, turn) >= SAME_FRAME:
                    yield first, second, turn
        advance(block.stop - block.start)


def _inverse(turn: int) -> int:
    """Mirrored turns undo themselves; the others are undone by the rest of a full turn."""
    return turn if turn >= 4 else (4 - turn) % 4


def _correlation(thumbnails: np.ndarray, first: int, second: int, turn: int) -> float:
    shape = (THUMBNAIL, THUMBNAIL, 3)
    return float(np.vdot(thumbnails[first].reshape(shape), turned(thumbnails[second].reshape(shape), turn)))


def _same_spectrum(spectra: np.ndarray, advance: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """Pairs (first < second) of which one is among the nearest of the other by spectrum, each pair once, sorted."""
    count = len(spectra)
    nearest = min(NEIGHBOURS, count - 1)
    found: set[tuple[int, int]] = set()
    for block in _blocks(count):
        products = spectra[block] @ spectra.T
        rows = np.arange(block.stop - block.start)
        products[rows, rows + block.start] = -2
        for _ in range(nearest):
            best = products.argmax(1)
            score = products[rows, best]
            products[rows, best] = -2
            close = score >= MOVED_SPECTRUM
            near_by = zip((rows[close] + block.start).tolist(), best[close].tolist(), strict=True)
            found.update((min(pair), max(pair)) for pair in near_by)
        advance(block.stop - block.start)
    yield from sorted(found)


def texture(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation (-1..1) of the fine texture of two images (H, W, 3) uint8 at the best shift up to an eighth of the
    side.

    The middle of the first, without what a Gaussian of a 32nd of the side keeps, is laid over the second (Lewis, Fast
    Normalized Cross-Correlation, 1995). 0 where one of them has no texture.
    """
    side = min(first.shape[:2])
    margin = side // 8
    fine = []
    for image in (first, second):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        fine.append(grey - cv2.GaussianBlur(grey, (0, 0), side / 32))
    middle = fine[0][margin : first.shape[0] - margin, margin : first.shape[1] - margin]
    if min(middle.std(), fine[1].std()) < 0.5:
        return 0.0
    return float(cv2.matchTemplate(fine[1], middle, cv2.TM_CCOEFF_NORMED).max())


def groups(count: int, pairs: list[Near]) -> np.ndarray:
    """Group of each position, (count,) int64: pairs share one, also through others; numbered by first position."""
    parent = np.arange(count)

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = position = parent[parent[position]]
        return int(position)

    for pair in pairs:
        a, b = sorted((root(pair.row), root(pair.twin)))
        parent[b] = a
    return np.unique([root(position) for position in range(count)], return_inverse=True)[1].astype(np.int64)
