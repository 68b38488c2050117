"""Pairs of alike pictures: by bits of a hash, and by the cosine of feature vectors, in blocks (never n x n in memory)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from build.data.near import blocks

MOST_PAIRS = 1_000_000
"""Pairs that are listed; where there are more, the less alike are left out (20 MB of arrays, whatever the number of pictures)."""
BINS = 100
"""Bins of the distribution of cosines, from -1 to 1."""


@dataclass(frozen=True)
class Cosines:
    """Alike vectors of n.

    neighbours, closeness: (n, k) int64 and float32, the nearest others and their cosines, nearest first. counts: (BINS,)
    int64, all pairs by their cosine. first, second, cosine: the pairs at `least` and above, first < second, most alike
    first; least: as asked, or higher where there were more than MOST_PAIRS.
    """

    neighbours: np.ndarray
    closeness: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray
    cosine: np.ndarray
    least: float


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, d) float32, each divided by its length; zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def cosines(units: np.ndarray, *, neighbours: int, least: float, advance: Callable[[int], None]) -> Cosines:
    """Compare all pairs of `units` (n, d), vectors of length 1. `advance(rows)` is told of every block that is done."""
    count = len(units)
    k = min(neighbours, count - 1)
    nearest, closeness = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
    counts = np.zeros(BINS, np.int64)
    pairs = []
    for block in blocks(count):
        products = units[block] @ units.T
        size = block.stop - block.start
        products[np.arange(size), np.arange(block.start, block.stop)] = -2  # not its own neighbour
        if k:
            near = np.argpartition(-products, k - 1, axis=1)[:, :k]
            near.sort(1)  # ties by position, whatever the partition did
            order = np.argsort(-np.take_along_axis(products, near, 1), axis=1, kind="stable")
            nearest[block] = np.take_along_axis(near, order, 1)
            closeness[block] = np.take_along_axis(products, nearest[block], 1)
        # np.histogram takes five times as long. The place of a picture with itself, -2, falls out below 0.
        bins = ((products + 1) * (BINS / 2)).astype(np.int16).clip(max=BINS - 1)
        counts += np.bincount(bins[products >= -1], minlength=BINS)
        rows, columns = np.nonzero(products >= least)
        ahead = rows + block.start < columns
        rows, columns = rows[ahead], columns[ahead]
        pairs.append((rows + block.start, columns, products[rows, columns]))
        if sum(len(part[0]) for part in pairs) > 2 * MOST_PAIRS or block.stop == count:
            first, second, cosine = (np.concatenate(part) for part in zip(*pairs, strict=True))
            if len(cosine) > MOST_PAIRS:
                # All above the first that is left out, so that what is listed is complete.
                least = float(np.nextafter(np.partition(cosine, -MOST_PAIRS - 1)[-MOST_PAIRS - 1], np.float32(2)))
            listed = cosine >= least
            pairs = [(first[listed], second[listed], cosine[listed])]
        advance(size)
    first, second, cosine = pairs[0]
    order = np.lexsort((second, first, -cosine))
    return Cosines(nearest, closeness, counts // 2, first[order], second[order], cosine[order], least)


def closeness_of(others: np.ndarray, units: np.ndarray, *, rank: int) -> np.ndarray:
    """(m,) float32: of each of `others` (m, d) the cosine of the `rank`-th nearest of `units` (n, d), of the last where n < rank."""
    found, place = np.empty(len(others), np.float32), max(0, len(units) - rank)
    for block in blocks(len(units), len(others)):
        found[block] = np.partition(others[block] @ units.T, place, axis=1)[:, place]
    return found


def hash_pairs(hashes: np.ndarray, *, at_most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Pairs of hashes (n,) uint64 that differ in at most `at_most` bits: first, second (first < second), bits; and `at_most`.

    That is as asked, or lower where there were more than MOST_PAIRS; of equal hashes the first 2 * MOST_PAIRS are listed.
    """
    found = []
    for block in blocks(len(hashes)):
        bits = np.bitwise_count(hashes[block, None] ^ hashes[None, block.start :])
        rows, columns = np.nonzero(bits <= at_most)
        ahead = rows < columns
        rows, columns = rows[ahead], columns[ahead]
        found.append((rows + block.start, columns + block.start, bits[rows, columns].astype(np.int64)))
        if sum(len(part[0]) for part in found) > 2 * MOST_PAIRS or block.stop == len(hashes):
            first, second, bits = (np.concatenate(part) for part in zip(*found, strict=True))
            while at_most and (bits <= at_most).sum() > MOST_PAIRS:
                at_most -= 1
            listed = np.flatnonzero(bits <= at_most)[: 2 * MOST_PAIRS]
            found = [(first[listed], second[listed], bits[listed])]
    first, second, bits = found[0]
    order = np.lexsort((second, first, bits))
    return first[order], second[order], bits[order], at_most
