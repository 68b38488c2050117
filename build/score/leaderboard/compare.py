"""Two (or more) entries on the same images: is one better, by how much, and which one to submit.

    result = compare(store.predictions(a), store.predictions(b), names=(a, b), rng=np.random.default_rng(0))
    print("\n".join(result.lines()))

Differences are paired: both entries answered about the same images. On the held-out images, one answer each, McNemar's
exact test holds; over a suite, where an image is asked about several times, images are resampled as wholes. Not
covered: training again with another seed, which often moves a score more than the choice of images does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from build.errors import UserError
from build.recipe import Recipe
from build.score.leaderboard.predictions import Predictions
from build.score.metrics import bootstrap

HIDDEN = Recipe.hidden_images
"""Images in a hidden set, for the chances: a recipe's default; the real number is not public."""
DRAWS = 2000
SURE, LIKELY = 0.95, 0.8
OTHER_SEEDS = (
    "zips of different --seed were trained on each other's test cells, so train again with one --seed and tell the runs apart by recipe or "
    "--member"
)


@dataclass(frozen=True)
class Suite:
    """Answers of several entries to one suite: row (m,) the image, right (m, entries) bool."""

    name: str
    row: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Difference:
    """First entry minus second on one suite; shares."""

    suite: str
    n: int
    images: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    """95 % bootstrap interval over images."""
    only_first: int
    """Answers that only the first entry got right."""
    only_second: int
    p: float | None
    """McNemar's exact test, two-sided; None where an image is asked about more than once."""


@dataclass(frozen=True)
class Comparison:
    """The outcome for two entries."""

    names: tuple[str, str]
    suites: tuple[Difference, ...]
    chances: tuple[float, float]
    """Probability of each to rank first on a resampled hidden set of `hidden` images."""
    hidden: int
    advice: str
    decided: str
    """The suites that chances and advice are made of (`named`)."""

    def lines(self) -> list[str]:
        """For the terminal."""
        first, second = self.names
        width = max(len(one.suite) for one in self.suites)
        rows = [f"{first} against {second}, on the same images:"]
        for one in self.suites:
            test = "" if one.p is None else f", McNemar p = {one.p:.2g} ({one.only_first} against {one.only_second})"
            rows.append(
                f"  {one.suite:<{width}}  {100 * one.first:5.1f} - {100 * one.second:5.1f} = "
                f"{100 * one.difference:+5.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f}){test}"
            )
        rows.append(
            f"  first of the two on a resampled hidden set of {self.hidden:,} images: "
            f"{first} {self.chances[0]:.0%}, {second} {self.chances[1]:.0%} {self.decided}"
        )
        return [*rows, self.advice]


def align(entries: Sequence[Predictions], names: Sequence[str]) -> list[Suite]:
    """The conditions that all entries answered under one definition, by suite; UserError where there are none."""
    tables = []
    for entry in entries:
        starts = np.searchsorted(entry.condition, np.arange(len(entry.keys) + 1))
        tables.append(
            {
                (key, definition): slice(starts[i], starts[i + 1])
                for i, (key, definition) in enumerate(zip(entry.keys, entry.definitions, strict=True))
            }
        )
    shared = [key for key in tables[0] if all(key in table for table in tables)]
    if not shared:
        raise UserError(
            f"{' and '.join(names)} were not judged on the same images (another split, seed or suite definition); "
            f"judge both zips again with the same data; {OTHER_SEEDS}."
        )
    groups: dict[str, list] = {}
    for key in shared:
        groups.setdefault(key[0].split(".")[0], []).append(key)
    suites = []
    for suite, keys in groups.items():
        rows = np.concatenate([entries[0].row[tables[0][key]] for key in keys])
        right = [
            np.concatenate([entry.called[table[key]] == entry.label[table[key]] for key in keys])
            for entry, table in zip(entries, tables, strict=True)
        ]
        assert all(len(one) == len(rows) for one in right)
        suites.append(Suite(suite, rows, np.stack(right, axis=1)))
    return suites


def differences(suites: Sequence[Suite], *, rng: np.random.Generator) -> tuple[Difference, ...]:
    """First minus second entry on every suite."""
    rows = []
    for suite in suites:
        first, second = suite.right[:, 0], suite.right[:, 1]
        only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
        images = len(np.unique(suite.row))
        disagreed = only_first + only_second
        exact = binomtest(only_first, disagreed, 0.5).pvalue if disagreed else 1.0
        low, high = bootstrap(suite.row, first.astype(float) - second, rng=rng)
        rows.append(
            Difference(
                suite.name,
                len(first),
                images,
                float(first.mean()),
                float(second.mean()),
                float(first.mean() - second.mean()),
                low,
                high,
                only_first,
                only_second,
                float(exact) if images == len(first) else None,
            )
        )
    return tuple(rows)


def deciding(suites: Sequence[Suite]) -> list[Suite]:
    """The suites that chances and advice are made of: the perturbed ones, the images as they are only where there are no others."""
    return [suite for suite in suites if suite.name != "held-out"] or list(suites)


def named(suites: Sequence[Suite]) -> str:
    """The deciding suites by name, as the end of a sentence about chances."""
    return f"(by {', '.join(suite.name for suite in deciding(suites))})"


def chances_of_first(
    suites: Sequence[Suite], *, rng: np.random.Generator, hidden: int = HIDDEN, draws: int = DRAWS
) -> np.ndarray:
    """Probability (entries,) that each entry ranks first on a hidden set that is drawn anew; ties are shared.

    Every draw makes up what the hidden set is: the suites' shares in it (Dirichlet, all mixtures equally likely; images
    as they are take no part where there are perturbed ones), which cells it holds (Bayesian bootstrap over our images,
    Rubin 1981), and its `hidden` images.
    """
    perturbed = deciding(suites)
    images = 1 + max(int(suite.row.max()) for suite in perturbed)
    wins = np.zeros(perturbed[0].right.shape[1])
    for _ in range(draws):
        weight = rng.exponential(size=images)
        shares = rng.dirichlet(np.ones(len(perturbed)))
        score = np.zeros(len(wins), int)
        for suite, count in zip(perturbed, rng.multinomial(hidden, shares), strict=True):
            ladder = np.cumsum(weight[suite.row])
            drawn = np.searchsorted(ladder, rng.random(count) * ladder[-1])
            score += suite.right[np.minimum(drawn, len(ladder) - 1)].sum(axis=0)
        best = score == score.max()
        wins += best / best.sum()
    return wins / draws


def _deviation(suite: Suite) -> float:
    """Standard error of the mean difference of the first two entries on a suite, a share; an image's answers hang together."""
    gain = suite.right[:, 0].astype(float) - suite.right[:, 1]
    rest = np.bincount(np.unique(suite.row, return_inverse=True)[1], gain - gain.mean())
    return float(np.sqrt(np.square(rest).sum()) / len(gain))


def advise(
    names: tuple[str, str],
    suites: Sequence[Suite],
    chances: np.ndarray,
    hidden: int,
    scored: Mapping[str, float] | None = None,
) -> str:
    """One plain sentence: which entry is worth a slot, or that the images cannot tell.

    scored: entry -> the server's score, of those that have it already.
    """
    perturbed, scored = deciding(suites), scored or {}
    # Suites count alike, as in the chances, however many conditions each has.
    gaps = [float(suite.right[:, 0].mean() - suite.right[:, 1].mean()) for suite in perturbed]
    gap = float(np.mean(gaps))
    disagreement = float(np.mean([(suite.right[:, 0] != suite.right[:, 1]).mean() for suite in perturbed]))
    better = int(chances[1] > chances[0])
    known = next(
        (f"{name} scored {scored[name]:.4g} already" for name in (names[better], *names) if name in scored), ""
    )
    if disagreement == 0:
        use = f"{known}, so save the slot" if known else "submit either"
        return f"No difference at all: {names[0]} and {names[1]} give the same answers; {use}."
    # Images at which a gap of this size would stand out of its own noise (two standard errors of a paired difference).
    spread = max(disagreement - gap**2, 1e-9)
    needed = int(np.ceil(4 * spread / gap**2)) if gap else None
    visible = 2 * np.sqrt(spread / hidden)
    # Beyond what a hidden set shows, and beyond the noise of our own images.
    certain = [
        gap for gap, suite in zip(gaps, perturbed, strict=True) if abs(gap) > max(visible, 2 * _deviation(suite))
    ]
    disagree = len({gap > 0 for gap in certain}) == 2
    leads = ", ".join(f"{100 * one:+.1f} on {suite.name}" for one, suite in zip(gaps, perturbed, strict=True))
    if chances[better] >= SURE:
        but = f" The suites disagree, though: {names[0]} against {names[1]} is {leads} (points)." if disagree else ""
        first = f"ranks first in {chances[better]:.0%} of the resampled hidden sets."
        if names[better] in scored:
            return f"Save the slot: {known}, and it {first}{but}"
        return f"Submit {names[better]}: it {first}{but}"
    if chances[better] >= LIKELY and not disagree:
        use = f"{known}, so save the slot" if names[better] in scored else "worth a slot if you have one to spare"
        return (
            f"{names[better]} is probably better ({chances[better]:.0%}), not surely: {use}; "
            f"{hidden:,} images show differences from about {100 * visible:.1f} points on."
        )
    if disagree:
        return (
            f"The suites disagree: {names[0]} against {names[1]} is {leads} (points), so it depends on what the hidden set is like; "
            f"{names[better]} is ahead in {chances[better]:.0%} of the mixtures."
        )
    if abs(gap) >= visible:
        more = "on perturbed suites too (--suites)" if perturbed[0].name == "held-out" else "with more --rows"
        return (
            f"The test images here are too few to tell: {100 * gap:+.1f} points, which {hidden:,} images would show (from "
            f"{100 * visible:.1f} on), rest on a few of them; judge both {more}, or save the slot."
        )
    told = (
        f"about {needed:,} images would be needed"
        if needed and needed < 10_000_000
        else "no number of images would tell"
    )
    return (
        f"No difference that {hidden:,} images could show ({100 * gap:+.1f} points, visible from "
        f"{100 * visible:.1f} on; {told}): choose the smaller or faster one, or save the slot."
    )


def compare(
    first: Predictions,
    second: Predictions,
    *,
    names: tuple[str, str],
    rng: np.random.Generator,
    hidden: int = HIDDEN,
    draws: int = DRAWS,
    scored: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare two entries; UserError where they share no condition. scored: as `advise` takes it."""
    suites = align((first, second), names)
    chances = chances_of_first(suites, rng=rng, hidden=hidden, draws=draws)
    return Comparison(
        names,
        differences(suites, rng=rng),
        (float(chances[0]), float(chances[1])),
        hidden,
        advise(names, suites, chances, hidden, scored),
        named(suites),
    )
