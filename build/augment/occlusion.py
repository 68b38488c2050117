"""Holes: cutout (DeVries and Taylor 2017), one hole an image, and GridMask (Chen et al. 2020)."""

from dataclasses import dataclass

import numpy as np

from build.augment.degradations import noise_bank


@dataclass(frozen=True)
class Holes:
    """What to blank in one image: boxes (top, bottom, left, right) in pixels, and with what: a colour, or noise from a
    place 0..1.
    """

    boxes: list[tuple[int, int, int, int]]
    fill: tuple[int, int, int] | float


def draw_cutout(count: int, height: int, width: int, *, size: float, rng: np.random.Generator) -> list[Holes]:
    """One box an image, anywhere in it, sides from a quarter of `size` to `size` (a share of the image's), cut at the
    image's edge.
    """
    extent = rng.uniform(size / 4, size, (2, count))
    centre = rng.random((2, count))
    half = extent / 2
    tops, lefts = np.rint(np.maximum(0, centre - half) * [[height], [width]]).astype(int)
    bottoms, rights = np.rint(np.minimum(1, centre + half) * [[height], [width]]).astype(int)
    boxes = zip(tops.tolist(), bottoms.tolist(), lefts.tolist(), rights.tolist(), strict=True)
    return [Holes([box], fill) for box, fill in zip(boxes, _draw_fills(count, rng), strict=True)]


def draw_grid(count: int, height: int, width: int, *, rng: np.random.Generator) -> list[Holes]:
    """A grid of square holes an image: period 1/6 to 1/2 of the side, holes of a quarter to half of it, phase drawn."""
    periods = rng.uniform(1 / 6, 1 / 2, count) * min(height, width)
    sides = periods * 0.5 * rng.uniform(0.5, 1, count)
    phases = rng.random((2, count)) * periods
    grids = []
    for period, side, top, left, fill in zip(periods, sides, *phases, _draw_fills(count, rng), strict=True):
        rows = np.arange(top - period, height, period)
        columns = np.arange(left - period, width, period)
        boxes = [
            (max(0, round(y)), max(0, round(y + side)), max(0, round(x)), max(0, round(x + side)))
            for y in rows
            for x in columns
        ]
        grids.append(Holes(boxes, fill))
    return grids


def _draw_fills(count: int, rng: np.random.Generator) -> list[tuple[int, int, int] | float]:
    """A third each: black, any colour, noise."""
    kinds = rng.integers(0, 3, count).tolist()
    colours = rng.integers(0, 256, (count, 3)).tolist()
    places = rng.random(count).tolist()
    return [
        (0, 0, 0) if kind == 0 else tuple(colour) if kind == 1 else place
        for kind, colour, place in zip(kinds, colours, places, strict=True)
    ]


def cut(image: np.ndarray, holes: Holes) -> None:
    """Blank the holes of an (H, W, 3) uint8 image, in place."""
    for top, bottom, left, right in holes.boxes:
        hole = image[top:bottom, left:right]
        if isinstance(holes.fill, tuple):
            hole[:] = holes.fill
        else:
            bank = noise_bank()
            start = int(holes.fill * (len(bank) - hole.size)) if hole.size < len(bank) else 0
            hole[:] = np.clip(128 + 64 * np.resize(bank[start : start + hole.size], hole.size), 0, 255).reshape(
                hole.shape
            )
