"""Near-duplicates: pictures of the same cell that differ in some pixels, in position, or by a flip or quarter turn.

Two kinds are found, each by a cheap search over all pairs and a check on the full images.
1. The same frame (saved again, brighter, blurred, noisy; flipped or turned): thumbnails correlate. The search is
exhaustive: averaging blocks of a thumbnail is an orthogonal projection, so distances between averaged thumbnails bound
the real ones from below and discard almost all pairs without losing one. 2. Another frame of the same place (shifted by
up to an eighth of the side; flipped or turned too): each image's nearest neighbours by spectrum are laid over it at the best
shift, and what remains without the low frequencies must agree. Fine texture tells one cell from another of its kind, which
colours and outlines do not.

Measured on copies altered by hand: JPEG of quality 30, noise, blur, half the resolution, grey, darker, flips and turns
are found always, brighter by 30 % (clipped) in 97 of 100, shifts by 7 pixels in 97, by 9 in 95, by 11 in 69, by 14
never. Not found either: small turns, other zooms, and copies with a patch painted over.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from build.data.features import FREQUENCIES, THUMBNAIL, Features

SAME_FRAME = 0.985
"""Least correlation of thumbnails. Re-encoding, noise of 15 grey levels, blur and light reach 0.995; the two most
similar different cells of 11,951 reach 0.971."""
SAME_TEXTURE = 0.4
"""Least agreement of fine texture in the same frame: keeps flat pictures apart that share only their colours."""
MOVED_TEXTURE = 0.88
"""Least agreement of fine texture at the best shift. The five pairs of the same cell found by eye among 11,951 reach
0.94 to 0.98, the most similar different cells 0.84."""
MOVED_SPECTRUM = 0.85
FINE = 256
"""Pictures whose fine texture is kept at hand."""
BLOCK_ELEMENTS = 1 << 23
"""Size of a block of the table of all pairs: 32 MiB of float32."""
TURNS = 8
MOST_FRAMES = 40
"""Pictures of one object. A larger group is alike by nature, as the pictures of a fixed camera are: what would be called copies of one
object are all objects."""
MOST_CHECKS = 20
"""Pairs a picture whose textures are compared in one frame; beyond, thumbnails say nothing about this data."""


class AlikeByNature(Exception):
    """Near-duplicates cannot be told from different objects in this data."""


class _Groups:
    """Which positions hang together so far; of a group larger than MOST_FRAMES no further pairs within it are wanted."""

    def __init__(self, count: int):
        self.of = np.arange(count)
        self.sizes = np.ones(count, np.int64)

    def join(self, first: int, second: int) -> None:
        """Note a pair."""
        a, b = sorted((int(self.of[first]), int(self.of[second])), key=lambda group: self.sizes[group])
        if a != b:
            self.of[self.of == a] = b
            self.sizes[b] += self.sizes[a]

    def settled(self, first: int, others: np.ndarray) -> np.ndarray:
        """Which of the positions `others` are in one large group with `first`."""
        group = self.of[first]
        return (self.of[others] == group) & (self.sizes[group] > MOST_FRAMES)


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

    Of a group larger than MOST_FRAMES only so many pairs are listed that it hangs together. `advance(n)` is told that n more positions
    are done, STAGES times `len(features)` in all. Raises AlikeByNature beyond MOST_CHECKS.
    """
    pairs: dict[tuple[int, int], Near] = {}
    joined = _Groups(len(features))

    @functools.lru_cache(FINE)
    def fine(position: int) -> np.ndarray:
        return _fine(image(position))

    def check(first: int, second: int, turn: int, least: float, how: tuple[str, str]) -> None:
        # Its fine texture turned is the fine texture of the turned picture.
        other = np.ascontiguousarray(turned(fine(second)[..., None], turn)[..., 0])
        if other.shape == fine(first).shape and (score := _agreement(fine(first), other)) >= least:
            pairs[first, second] = Near(first, second, score, how[turn > 0])
            joined.join(first, second)

    checks = 0
    for first, second, turn in _same_frame(features.thumbnails, joined.settled, advance):
        if (first, second) not in pairs:
            checks += 1
            if checks > MOST_CHECKS * len(features):
                raise AlikeByNature
            check(first, second, turn, SAME_TEXTURE, ("same frame", "same frame, turned or mirrored"))
    for turns, order, neighbours in SPECTRA_OF_TURNS:
        for first, second in _same_spectrum(features.spectra, order, neighbours, advance):
            for turn in turns:
                if (first, second) not in pairs and not joined.settled(first, np.array([second]))[0]:
                    check(first, second, turn, MOVED_TEXTURE, ("shifted", "shifted, turned or mirrored"))
    return [pairs[pair] for pair in sorted(pairs)]


def blocks(count: int, rows: int | None = None) -> Iterator[slice]:
    """Rows of a table of all pairs of `count` pictures, or of `rows` others with them, in parts of at most BLOCK_ELEMENTS numbers."""
    rows = count if rows is None else rows
    step = max(1, BLOCK_ELEMENTS // max(1, count))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _same_frame(
    thumbnails: np.ndarray, settled: Callable[[int, np.ndarray], np.ndarray], advance: Callable[[int], None]
) -> Iterator[tuple[int, int, int]]:
    """Pairs (first < second, turn) whose thumbnails correlate by SAME_FRAME after the second is turned.

    settled(first, others) tells which of the others need not come, asked when `first` is reached.
    """
    count = len(thumbnails)
    half = THUMBNAIL // 2
    # Halved sums of 2x2 blocks: the coefficients of an orthonormal (Haar) basis without its details.
    coarse = thumbnails.reshape(count, half, 2, half, 2, 3).sum((2, 4), dtype=np.float32) / 2
    energy = np.square(coarse).sum((1, 2, 3))[:, None] / 2
    energy[energy == 0] = 1  # flat images have no thumbnail to compare: nothing comes near
    ones = np.ones_like(energy)
    # One product gives minus half the squared distance, which for whole thumbnails is correlation - 1.
    columns = np.concatenate([coarse.reshape(count, -1), ones, -energy], 1)
    for block in blocks(count):
        for turn in range(TURNS):
            # Turning the first backwards is turning the second forwards; the block is the smaller of the two.
            rows = turned(coarse[block], _inverse(turn)).reshape(block.stop - block.start, -1)
            closeness = np.concatenate([rows, -energy[block], ones[block]], 1) @ columns[block.start :].T
            close = closeness >= SAME_FRAME - 1 - 1e-4
            for row in np.flatnonzero(close.any(1)).tolist():
                first = block.start + row
                others = first + 1 + np.flatnonzero(close[row, row + 1 :])
                for second in others[~settled(first, others)].tolist():
                    if _correlation(thumbnails, first, second, turn) >= SAME_FRAME:
                        yield first, second, turn
        advance(block.stop - block.start)


def _inverse(turn: int) -> int:
    """Mirrored turns undo themselves; the others are undone by the rest of a full turn."""
    return turn if turn >= 4 else (4 - turn) % 4


def _correlation(thumbnails: np.ndarray, first: int, second: int, turn: int) -> float:
    shape = (THUMBNAIL, THUMBNAIL, 3)
    return float(np.vdot(thumbnails[first].reshape(shape), turned(thumbnails[second].reshape(shape), turn)))


def _orders_of_turns() -> tuple[tuple[tuple[int, ...], np.ndarray, int], ...]:
    """For each order in which a turned picture has the amplitudes of its spectrum (features.py), the turns that give it, and neighbours.

    Half a turn leaves amplitudes where they are, so each order stands for two turns. neighbours: how many of the nearest are looked at.
    """
    same = np.arange((2 * FREQUENCIES - 1) * FREQUENCIES).reshape(-1, FREQUENCIES)
    middle = FREQUENCIES - 1
    swapped = np.empty_like(same)
    for u in range(-middle, FREQUENCIES):
        for v in range(FREQUENCIES):
            # Of a real picture the amplitude at (v, u) is the one at (-v, -u), and those with u < 0 are not held.
            swapped[middle + u, v] = same[middle + v, u] if u >= 0 else same[middle - v, -u]
    orders = ((0, 2), same, 2), ((4, 6), same[::-1], 1), ((5, 7), swapped, 1), ((1, 3), swapped[::-1], 1)
    return tuple((turns, order.ravel(), neighbours) for turns, order, neighbours in orders)


SPECTRA_OF_TURNS = _orders_of_turns()
STAGES = 1 + len(SPECTRA_OF_TURNS)


def _same_spectrum(
    spectra: np.ndarray, order: np.ndarray, neighbours: int, advance: Callable[[int], None]
) -> Iterator[tuple[int, int]]:
    """Pairs (first < second) of which one, in `order`, is among the nearest `neighbours` of the other, each pair once, sorted."""
    count = len(spectra)
    nearest = min(neighbours, count - 1)
    found: set[tuple[int, int]] = set()
    for block in blocks(count):
        products = spectra[block] @ spectra[:, order].T
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
    return _agreement(_fine(first), _fine(second))


def _fine(image: np.ndarray) -> np.ndarray:
    """The fine texture (H, W) float32 of an image (H, W, 3) uint8."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey - cv2.GaussianBlur(grey, (0, 0), min(grey.shape) / 32)


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """As `texture`, of two fine textures."""
    height, width = first.shape
    margin = min(first.shape) // 8
    middle = first[margin : height - margin, margin : width - margin]
    if min(middle.std(), second.std()) < 0.5:
        return 0.0
    return float(cv2.matchTemplate(second, middle, cv2.TM_CCOEFF_NORMED).max())


def groups(count: int, pairs: list[Near]) -> np.ndarray:
    """Group of each position, (count,) int64: pairs share one, also through others; numbered by first position."""
    joined = _Groups(count)
    for pair in pairs:
        joined.join(pair.row, pair.twin)
    return _numbered(joined.of)


def dissolved(group: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """`group` (n,) with groups of more than `most` members broken up, numbered by first position; and (n,) whose group was."""
    alike = np.bincount(group, minlength=1)[group] > most
    return _numbered(np.where(alike, len(group) + np.arange(len(group)), group)), alike


def _numbered(group: np.ndarray) -> np.ndarray:
    """The same groups with numbers from 0 on, by first position."""
    firsts, inverse = np.unique(group, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(firsts))[inverse].astype(np.int64)
