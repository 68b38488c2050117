"""Pictures that are no cells: far from everything else by colour, with copies under different labels as further
evidence.

How far a picture is from the rest is its distance to its fifth neighbour among colour histograms (Ramaswamy et al.,
Efficient algorithms for mining outliers, SIGMOD 2000), against what is usual in this data. A neighbour's distance, not
that to a centre: a few hundred cells under another light are each other's neighbours and stay, where a fit of the whole
would call them outliers.

Not found: foreign pictures of which more than five different ones look alike, and those in the colours of the
background (an empty field), unless their copies bear different labels. A cell in other colours, grey for example, is a
near-duplicate where its original is there too, and foreign where not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from build.data.near import blocks

NEIGHBOUR = 5
USUAL_SHARE = 0.95
"""The usual distance is the one that this share of the pictures does not exceed."""
RARE = 0.01
"""Where a larger share is isolated, colours say nothing about this data, and none is dropped for them alone."""


FAR, FAR_TIMES = 0.75, 1.8
"""Distances end at 1.42, so that few pictures, which have no near neighbours, could never have a foreign one at 3.5
times the usual distance. Of 80 to 2400 cells, real or drawn, the most isolated is at 0.63, photographs at 0.80 and more."""


@dataclass(frozen=True)
class Evidence:
    """How far away a picture with such copies is foreign: beyond `times` the usual distance and beyond `least`."""

    copies: int
    disagree: bool
    times: float
    least: float

    def limit(self, usual: float) -> float:
        """The distance beyond which it is; `usual` is large where the data is small, hence the second bound."""
        return min(max(self.times * usual, self.least), max(FAR_TIMES * usual, FAR))


RULES = (
    Evidence(copies=3, disagree=True, times=1.5, least=0.2),
    Evidence(copies=1, disagree=False, times=3.5, least=0.35),
)
"""Of the competition's 11,951 cells the most isolated is at 2.6 times the usual distance (0.39), the nearer of the two
planted pictures at 5.8 (0.87); nine other pictures (photographs, logos, noise, black), one copy each, lie at 3.9 and
more (0.60)."""


@dataclass(frozen=True)
class Verdict:
    """Whether a picture is foreign, and the numbers behind it."""

    foreign: bool
    times: float
    distance: float
    limit: float


def distances(colours: np.ndarray, advance: Callable[[int], None]) -> np.ndarray:
    """Distance (0..1.42) of each root histogram (n, 64) to its fifth neighbour, (n,) float32; 0 without neighbours."""
    count = len(colours)
    if count <= NEIGHBOUR:
        advance(count)
        return np.zeros(count, np.float32)
    found = np.empty(count, np.float32)
    energy = np.square(colours).sum(1)
    for part in blocks(count):
        squared = energy[part, None] + energy - 2 * (colours[part] @ colours.T)
        squared.partition(NEIGHBOUR, axis=1)
        # The nearest is the picture itself.
        found[part] = np.sqrt(np.maximum(squared[:, NEIGHBOUR], 0))
        advance(part.stop - part.start)
    return found


def judge(distance: np.ndarray, copies: np.ndarray, disagree: np.ndarray) -> list[Verdict]:
    """A verdict for each picture from its distance, its number of copies (1 and up) and whether their labels differ."""
    usual = float(np.quantile(distance, USUAL_SHARE)) if len(distance) else 0.0
    colours_tell = np.count_nonzero(distance > RULES[-1].limit(usual)) <= RARE * len(distance) + 1
    verdicts = []
    for d, n, mixed in zip(distance.tolist(), copies.tolist(), disagree.tolist(), strict=True):
        usable = [rule for rule in RULES if n >= rule.copies and (mixed if rule.disagree else colours_tell)]
        limit = min((rule.limit(usual) for rule in usable), default=float("inf"))
        verdicts.append(Verdict(d > limit, d / usual if usual else 0.0, d, limit))
    return verdicts
