"""How much of a network's attention lies at the edges, where no cell is: measured, per class, on clean and perturbed images.

    found = measure(explainer(run.weights_path), conditions, seed=0)     # conditions: build/score/suites.py
    show(found)

The share is that of the Grad-CAM's mass, for the class that the network calls an image, outside the central disc of half
the image's area (an ellipse where sides differ). A map without preference gives 0.5. Perturbations that move a cell move
the attention with it: look at the difference between wrong and right answers of the same condition.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.markup import escape
from rich.table import Table

from build.console import bar, console
from build.score.metrics import CONFIDENCE, DRAWS, bootstrap, redrawn
from build.score.suites import Condition
from submission.contract import CLASSES

SUITES = ("held-out", "stacked")
FINE = 512
"""Points along a map's side, at least, by which each element's part outside the disc is found."""
LEAST = 10
"""Images with wrong answers, and with right ones, below which nothing is said of their difference: intervals of fewer are too narrow."""
EXAMPLES = 2
"""Images of each class, right and wrong ones each, that are kept to be shown."""
BLOCK = 256
Look = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""look(images (n, H, W, 3) uint8) -> heat maps (n, h, w) 0..1, classes that they were called (n,)."""


@dataclass(frozen=True)
class Looked:
    """What came of one condition's images, in their order."""

    condition: Condition
    places: np.ndarray
    """(n,) int64: which of the condition's images."""
    called: np.ndarray
    """(n,) int64."""
    share: np.ndarray
    """(n,) float64 in 0..1; not a number where the map is 0 throughout."""

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64: what the images are."""
        return self.condition.labels[self.places]

    @property
    def rows(self) -> np.ndarray:
        """(n,) int64: which of the test images they are."""
        return self.condition.rows[self.places]


def outside(shape: tuple[int, int]) -> np.ndarray:
    """The part of each element of a map (h, w) that lies outside the central disc of half the area, (h, w) in 0..1."""
    points = -(-FINE // min(shape))  # along an element's side
    down, right = ((np.arange(side * points) + 0.5) / (side * points) - 0.5 for side in shape)
    beyond = down[:, None] ** 2 + right**2 > 1 / (2 * np.pi)  # pi r^2 = 1/2 in units of the sides
    return beyond.reshape(shape[0], points, shape[1], points).mean(axis=(1, 3))


def outside_share(heat: np.ndarray) -> np.ndarray:
    """Heat maps (n, h, w), at least 0 -> the share of each one's mass outside the disc, (n,) float64; nan where it is 0."""
    mass = heat.sum(axis=(1, 2), dtype=np.float64)
    away = (heat * outside(heat.shape[1:])).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(away, mass, out=np.full(len(heat), np.nan), where=mass > 0)


def measure(
    look: Look,
    conditions: Sequence[Condition],
    *,
    seed: int,
    limit: int | None = None,
    classes: Sequence[str] = CLASSES,
) -> dict:
    """The shares of every set (suite) among the conditions, as a JSON-able dict; see `summary` for a set's part.

    look: what the network calls images and where it looked. limit: images a set at most, evenly from its conditions
    (None: all). Intervals are percentile bootstraps over images (an image that is asked about at several severities counts
    once, by its mean); same seed, same intervals.
    """
    sets: dict[str, list[Looked]] = {}
    members: dict[str, int] = {}
    for condition in conditions:
        members[condition.suite] = members.get(condition.suite, 0) + 1
    counts = {
        condition.key: min(len(condition.labels), max(1, limit // members[condition.suite]))
        if limit
        else len(condition.labels)
        for condition in conditions
    }
    with bar("class activation maps", sum(counts.values())) as advance:
        for condition in conditions:
            places = np.linspace(0, len(condition.labels) - 1, counts[condition.key]).round().astype(np.int64)
            images = np.load(condition.images_path, mmap_mode="r")
            called, share = [np.zeros(0, np.int64)], [np.zeros(0)]
            for start in range(0, len(places), BLOCK):
                heat, names = look(images[places[start : start + BLOCK]])
                called.append(names)
                share.append(outside_share(heat))
                advance(len(names))
            looked = Looked(condition, places, np.concatenate(called), np.concatenate(share))
            sets.setdefault(condition.suite, []).append(looked)
    return {
        "uniform": 0.5,
        "classes": list(classes),
        "sets": {name: summary(parts, classes, seed=seed) for name, parts in sets.items()},
        "examples": [example for parts in sets.values() for example in examples(parts, len(classes))],
    }


def summary(parts: Sequence[Looked], classes: Sequence[str], *, seed: int) -> dict:
    """One set: images, blank (maps without evidence, left out), all and classes (right, wrong), wrong_minus_right.

    right and wrong are {images, share, low, high}; share is None without images, the interval None with fewer than two.
    """
    rows, labels, called, share = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "labels", "called", "share")
    )
    seen = ~np.isnan(share)
    rng = np.random.default_rng(seed)

    def of(chosen: np.ndarray) -> dict:
        means = by_image(rows[chosen], share[chosen])
        low, high = interval(means, rng=rng)
        return {"images": len(means), "share": float(means.mean()) if len(means) else None, "low": low, "high": high}

    right = called == labels
    condition = np.repeat(np.arange(len(parts)), [len(part.share) for part in parts])
    return {
        "images": len(np.unique(rows)),
        "answers": len(rows),
        "blank": int(np.count_nonzero(~seen)),
        "all": {"right": of(seen & right), "wrong": of(seen & ~right)},
        "wrong_minus_right": difference(rows[seen], condition[seen], share[seen], ~right[seen], rng=rng),
        "classes": [
            {
                "name": name,
                "right": of(seen & right & (labels == label)),
                "wrong": of(seen & ~right & (labels == label)),
            }
            for label, name in enumerate(classes)
        ],
    }


def by_image(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of the values of each distinct row."""
    _, index, counts = np.unique(rows, return_inverse=True, return_counts=True)
    return np.bincount(index, weights=values, minlength=len(counts)) / counts


def interval(values: np.ndarray, *, rng: np.random.Generator) -> tuple[float | None, float | None]:
    """Percentile bootstrap of a mean; (None, None) below two values."""
    if len(values) < 2:
        return None, None
    return bootstrap(np.arange(len(values)), values, rng=rng)


def difference(
    rows: np.ndarray, condition: np.ndarray, share: np.ndarray, wrong: np.ndarray, *, rng: np.random.Generator
) -> dict:
    """Mean share of wrong answers less that of right ones within the same condition: {share, low, high}, None each where it cannot be said.

    Every condition (n,) counts by its wrong answers: over conditions together severe ones, which move the attention as they make answers
    wrong, would pass for a difference. Percentile bootstrap over images, drawn as wholes; None below LEAST images of either kind.
    """
    nothing = {"share": None, "low": None, "high": None}
    images, image = np.unique(rows, return_inverse=True)
    if min(len(np.unique(rows[wrong])), len(np.unique(rows[~wrong]))) < LEAST:
        return nothing
    shape = 2, len(images), int(condition.max()) + 1
    place = np.ravel_multi_index((wrong.astype(int), image, condition), shape)
    count = np.bincount(place, minlength=np.prod(shape)).reshape(shape).astype(float)
    total = np.bincount(place, share, minlength=np.prod(shape)).reshape(shape)

    def estimate(times: np.ndarray) -> np.ndarray:
        """How often each image is drawn (d, images) -> (d,) differences."""
        n, sums = times @ count, times @ total  # (2, d, conditions)
        means = np.divide(sums, n, out=np.zeros_like(sums), where=n > 0)
        weight = n[1] * (n > 0).all(0)
        with np.errstate(invalid="ignore"):
            return ((means[1] - means[0]) * weight).sum(1) / weight.sum(1)

    (share_found,) = estimate(np.ones((1, len(images))))
    if np.isnan(share_found):
        return nothing
    tail = 50 * (1 - CONFIDENCE)
    drawn = np.concatenate([estimate(times) for times in redrawn(len(images), draws=DRAWS, rng=rng)])
    low, high = np.nanpercentile(drawn, (tail, 100 - tail))
    return {"share": float(share_found), "low": float(low), "high": float(high)}


def examples(parts: Sequence[Looked], classes: int) -> list[dict]:
    """For each class some right and wrong answers, spread over the conditions.

    Each: suite, key and place of the image, its row, label, called and share.
    """
    chosen = []
    for label in range(classes):
        for right in (True, False):
            fit = [
                (part, index)
                for part in parts
                for index in np.flatnonzero(
                    (part.labels == label) & ((part.called == label) == right) & ~np.isnan(part.share)
                )
            ]
            picked = np.unique(np.linspace(0, len(fit) - 1, EXAMPLES).round().astype(int)) if fit else ()
            for part, index in (fit[number] for number in picked):
                chosen.append(
                    {
                        "suite": part.condition.suite,
                        "key": part.condition.key,
                        "place": int(part.places[index]),
                        "row": int(part.rows[index]),
                        "label": label,
                        "called": int(part.called[index]),
                        "share": float(part.share[index]),
                    }
                )
    return chosen


def show(found: Mapping) -> None:
    """Print a table a set, and what differs between wrong and right answers."""
    for name, part in found["sets"].items():
        table = Table(
            title=f"Share of attention at the edges, {name} (0.5: no preference)", title_justify="left", min_width=60
        )
        for column, justify in (
            ("class", "left"),
            ("right", "right"),
            ("n", "right"),
            ("wrong", "right"),
            ("n", "right"),
        ):
            table.add_column(column, justify=justify, no_wrap=True)
        for row in (*part["classes"], {"name": "all", **part["all"]}):
            style = "bold" if row["name"] == "all" else ""
            cells = [cell for kind in ("right", "wrong") for cell in (told(row[kind]), f"{row[kind]['images']:,}")]
            table.add_row(escape(row["name"]), *cells, style=style)
        console.print(table)
        console.print(sentence(name, part), markup=False)


def told(value: Mapping) -> str:
    """0.41 (0.38..0.44), or a dash."""
    if value["share"] is None:
        return "–"
    return f"{value['share']:.2f}" + ("" if value["low"] is None else f" ({value['low']:.2f}..{value['high']:.2f})")


def sentence(name: str, part: Mapping) -> str:
    """Whether wrong answers look more at the edges than right ones, in words."""
    difference = part["wrong_minus_right"]
    if difference["low"] is None:
        return f"{name}: too few right or wrong answers to compare."
    low, high = difference["low"], difference["high"]
    verdict = (
        "look more at the edges than right ones"
        if low > 0
        else "look less at the edges than right ones"
        if high < 0
        else "do not differ from right ones beyond chance"
    )
    blank = f" {part['blank']} maps showed no evidence and are left out." if part["blank"] else ""
    return (
        f"{name}: wrong answers {verdict} ({difference['share']:+.3f}, 95 % interval {low:+.3f}..{high:+.3f}).{blank}"
    )
