"""Which of several entries to submit: everyone's chance of ranking first, then the two likeliest side by side.

sentences = choose({name: store.predictions(name) for name in names}, rng=np.random.default_rng(0))
"""

from collections.abc import Mapping

import numpy as np

from build.errors import UserError
from build.score.leaderboard.compare import HIDDEN, OTHER_SEEDS, align, chances_of_first, compare, named
from build.score.leaderboard.predictions import Predictions


def _alike(answered: Mapping[str, Predictions], wanted: set[str]) -> tuple[list[str], dict[str, set[str]]]:
    """(the first entry and those that share all the suites `wanted` with it, each other one -> those suites that it would cost)."""
    names, lost = list(answered)[:1], {}
    for name in list(answered)[1:]:
        try:
            shared = {suite.name for suite in align([answered[one] for one in (*names, name)], (names[0], name))}
        except UserError:
            shared = set()
        if wanted <= shared:
            names.append(name)
        else:
            lost[name] = wanted - shared
    return names, lost


def choose(
    answered: Mapping[str, Predictions],
    *,
    rng: np.random.Generator,
    hidden: int = HIDDEN,
    scored: Mapping[str, float] | None = None,
) -> list[str]:
    """Which of several entries to submit: everyone's chance of ranking first, then the two likeliest side by side.

    answered: entry -> its answers, the best entry first; entries that were not judged on the first one's images, or not on those
    of all its suites, are named and passed over. scored: entry -> the server's score, of those that need no slot any more. Returns
    sentences for the terminal and the page.
    """
    first = next(iter(answered))
    wanted = {suite.name for suite in align([answered[first]], [first])}
    names, lost = _alike(answered, wanted)
    partly = [name for name in lost if lost[name] != wanted]
    if len(names) == 1 and partly:
        # Nobody answered to all of the first one's suites: what it shares with the next best has to do.
        wanted = wanted - lost[partly[0]]
        names, lost = _alike(answered, wanted)
    sentences = []
    for name, suites in lost.items():
        images = "images" if suites == wanted else f"images of {', '.join(sorted(suites))}"
        sentences.append(f"{name} was judged on other {images} than {first} and is not compared.")
    if len(names) == 1:
        return [*sentences, f"Judge both zips with the same data and suites to compare them; {OTHER_SEEDS}."]
    if len(names) > 2:
        suites = align([answered[name] for name in names], names)
        chances = chances_of_first(suites, rng=rng, hidden=hidden)
        # Those without a chance stand in the order of their answers.
        order = np.lexsort((-sum(suite.right.mean(axis=0) for suite in suites), -chances))
        shown = ", ".join(f"{names[i]} {chances[i]:.0%}" for i in order)
        chance = f"Chance of ranking first on a resampled hidden set of {hidden:,} images: {shown} {named(suites)}."
        sentences.append(chance)
        names = [names[i] for i in order[:2]]
    first, second = names
    result = compare(answered[first], answered[second], names=(first, second), rng=rng, hidden=hidden, scored=scored)
    return [*sentences, *result.lines()]
