"""Groups of pictures by the colour of their background: other microscopes, other stains, other light.

Groups are what a gap separates: backgrounds that a chain of others joins in steps of at most STEP belong together
(DBSCAN, Ester et al. 1996). The step has a meaning for the eye, a CIE76 colour difference of 2.3 being just noticeable; a
mixture of Gaussians, and HDBSCAN, cut the one large group of real cells into dozens that nobody could tell apart.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import DBSCAN

STEP = 2.0
"""Largest step within a group, in units of CIE L*a*b*."""
CELL = 0.5
"""Backgrounds are rounded to this first: real ones are so alike that the table of neighbours would hold everything."""
LEAST = 5
"""Pictures within a step that make a group's core, and the least size of a group."""
NOTICED = 5.0
"""A group is named by how it differs from the largest one in a coordinate, if by more than this."""


@dataclass(frozen=True)
class Group:
    """Positions (m,) int64 of the pictures with one background, its mean L*a*b*, and how it differs from the largest."""

    positions: np.ndarray
    lab: tuple[float, float, float]
    name: str


def groups(backgrounds: np.ndarray) -> tuple[list[Group], np.ndarray]:
    """Groups of backgrounds (n, 3) float32 L*a*b*, the largest first, and the positions that belong to none."""
    cells, inverse, weights = np.unique(np.round(backgrounds / CELL), axis=0, return_inverse=True, return_counts=True)
    found = DBSCAN(eps=STEP, min_samples=LEAST).fit_predict(cells * CELL, sample_weight=weights)[inverse.ravel()]
    members = [np.flatnonzero(found == index) for index in range(found.max() + 1)]
    members = sorted((m for m in members if len(m) >= LEAST), key=lambda m: (-len(m), m[0]))
    means = [backgrounds[m].mean(0, dtype=np.float64) for m in members]
    result = [
        Group(m, tuple(float(v) for v in mean), _name(mean - means[0]) if index else "usual")
        for index, (m, mean) in enumerate(zip(members, means, strict=True))
    ]
    taken = np.zeros(len(backgrounds), bool)
    for m in members:
        taken[m] = True
    return result, np.flatnonzero(~taken)


def _name(difference: np.ndarray) -> str:
    """A difference (3,) in L*a*b* in words: "bluer", "darker and redder"."""
    words = (("darker", "lighter"), ("greener", "redder"), ("bluer", "yellower"))
    order = np.argsort(-np.abs(difference), kind="stable")
    said = [words[axis][int(difference[axis] > 0)] for axis in order if abs(difference[axis]) > NOTICED]
    return " and ".join(said) or "slightly " + words[order[0]][int(difference[order[0]] > 0)]
