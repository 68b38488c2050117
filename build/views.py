"""How many test-time views a zip gets: as many as a slower server still has time for, from the speed measured here.

    recipe = dataclasses.replace(recipe, views=measured(zip_path, held, recipe=recipe, engine="auto"))

The zip is staged with one view first and judged on a few cells, in the sandbox that the rehearsal uses.
"""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from build.console import console
from build.recipe import Recipe
from build.score.held_out import HeldOut, Rows
from build.score.judge import judge
from build.score.outcome import Verdict
from build.score.suites import CACHE, choose_rows, materialise
from submission.contract import IMAGE_SHAPE
from submission.views import COUNTS, FEWER, SYMMETRIES

SHARE = 0.25
"""Of the phase's limit that the chosen views may take here: nobody has said how fast the server is."""
DEADLINE = 0.7
"""Of the phase's limit within which all predictions are to be ready: the predictor lowers the number of views so that they are."""
QUARTER = 90.0
"""Degrees."""
ROWS = 256
"""Cells that the speed is measured on."""


def settings(recipe: Recipe) -> dict:
    """What the weights file tells the predictor about views: "views"; where their number could fall, "seconds" and "images" too."""
    deadline = {"seconds": DEADLINE * recipe.time_limit, "images": recipe.hidden_images}
    return {"views": recipe.views} | (deadline if recipe.views > 1 else {})


def known(recipe: Recipe) -> list[int]:
    """The numbers of views whose flips and turns a network of this recipe has seen in training."""
    turns = IMAGE_SHAPE[0] == IMAGE_SHAPE[1] and recipe.rotation >= QUARTER and recipe.geometry_probability > 0
    flips = recipe.flip and recipe.augmenter != "none"
    # Without the second scale: a network that knows scales gains by it, one that does not loses up to four points.
    most = 1 if not flips else len(SYMMETRIES) if turns else len(SYMMETRIES) - 1
    return [count for count in COUNTS if count <= most]


def largest(
    seconds_per_1000: float, startup: float, *, images: int, limit: float, possible: Sequence[int] = COUNTS[:-1]
) -> int:
    """The largest of the `possible` numbers of views with which `images` take at most SHARE of `limit` seconds; at least 1.

    seconds_per_1000: of 1,000 images with one view; startup: seconds before the first image.
    """
    one = images / 1000 * seconds_per_1000
    return max((count for count in possible if startup + count * one <= SHARE * limit), default=1)


def measured(zip_path, held: HeldOut, *, recipe: Recipe, others: Collection[Recipe] = (), engine: str) -> int:
    """Judge a zip of one view on some held-out cells and return `largest` for the recipe's hidden images and limit; say so.

    Only views that the networks of `others` know too, and as many as the recipe's gate of time lets pass. 1 where the zip fails: the
    rehearsal that follows tells why.
    """
    possible = sorted(set(known(recipe)).intersection(*map(known, others)))
    images, limit = recipe.hidden_images, recipe.time_limit
    if possible == [1]:
        console.print("Views: 1. A network was trained without flips, so none are averaged.")
        return 1
    chosen = choose_rows(held.labels, ROWS, rng=np.random.default_rng(held.seed))
    (once,) = materialise(("held-out",), Rows(held.images, chosen), held.labels[chosen], seed=held.seed, cache=CACHE)
    # Twice, because the first call traces and allocates as well: of 256 images that doubles the time, of 5,000 it is nothing.
    twice = [once, dataclasses.replace(once, corruption="again")]
    verdict = judge(zip_path, twice, probes=False, engine=engine, time_limit=limit, one_call=False)
    spent = verdict.outcome.condition_seconds.values()
    if verdict.exit_code or len(spent) < len(twice):
        return 1
    rate = 1000 * min(spent) / len(chosen)
    startup = verdict.timing["startup_seconds"] + max(spent) - min(spent)
    possible = [count for count in possible if count * rate <= recipe.maximum_seconds_per_1000]
    count = largest(rate, startup, images=images, limit=limit, possible=possible)
    console.print(
        f"Views: {count}. One takes {rate:.2f} s per 1,000 images after {startup:.1f} s to start, so {images:,} hidden images "
        f"take about {startup + count * images / 1000 * rate:.0f} of the phase's {limit:g} s; more than one view "
        f"is taken only within {SHARE:.0%} of them and {recipe.maximum_seconds_per_1000:g} s per 1,000 images."
    )
    return count


def lowered(verdict: Verdict, recipe: Recipe, *, chosen: bool) -> str:
    """A sentence where a job of the rehearsal had no time for all views of its images; else "". chosen: their number, by `measured`."""
    # The probes' calls of few images take longer an image, and say nothing of a job.
    if not any(FEWER in log.text for log in verdict.outcome.logs if not log.source.startswith("probe-")):
        return ""
    return (
        f"A job of the rehearsal had no time for all {recipe.views} views within {DEADLINE * recipe.time_limit:.0f} s: many of its images "
        "had fewer, as they would have on a server of this speed. "
        + ("Package with a smaller --time-limit or a larger --hidden, or train" if chosen else "Train")
        + f" with --set views=N, N below {recipe.views}."
    )
