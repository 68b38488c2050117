"""How long a training takes on this machine, and how many epochs fit into a time budget.

An epoch's cost is modelled from what was measured here: seconds an image for each kind (phase, side), a fixed part (validation,
checkpoint) and the time until a new kind's graphs are compiled. The number of epochs is decided after the first epoch; it is lowered
when the machine has become too slow for it, and raised in the first half, should more fit than was foreseen. One slow epoch says little
(another program, a machine that was asleep), so what counts is the median of the last three, until the end is too near to wait for more.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from build.recipe import Recipe
from build.train import schedule

SHARE = 0.97
"""Of the remaining time that the decision hands out."""
RECENT = 3
"""Epochs whose median is taken."""
NEAR = 2
"""The last epochs, before which the newest measure counts: what they cost too much is not made up for any more."""
Kind = tuple[str, int]
"""What an epoch's cost depends on: the name of its phase, and the side of its images in pixels."""


@dataclass(frozen=True)
class Costs:
    """Measured times in seconds."""

    rates: dict[Kind, float] = field(default_factory=dict)
    """Seconds an image by kind of epoch."""
    fixed: float = 0.0
    """Seconds of an epoch that do not depend on its kind."""
    start: float = 0.0
    """Seconds that a new kind's graph, and its phase's graph of validation, take to be traced and compiled."""
    recent: tuple[tuple[Kind, float, float], ...] = ()
    """Of the last epochs, each one's kind, seconds an image and fixed seconds."""

    def learn(self, kind: Kind, rate: float, *, fixed: float, start: float | None) -> "Costs":
        """Take in a measured epoch."""
        recent = (*self.recent, (kind, rate, fixed))[-RECENT:]
        costs = dataclasses.replace(self, recent=recent, start=self.start if start is None else start)
        return costs.at(
            kind,
            statistics.median(rate for other, rate, _ in recent if other == kind),
            statistics.median(fixed for _, _, fixed in recent),
        )

    @property
    def newest(self) -> "Costs":
        """As if every epoch to come cost what the last one did."""
        return self.at(*self.recent[-1]) if self.recent else self

    def at(self, kind: Kind, rate: float, fixed: float | None = None) -> "Costs":
        """The costs with a rate of one kind; the other kinds' are scaled by how far it is off the known one."""
        off = rate / self.rates.get(kind, rate)
        rates = {other: seconds * off for other, seconds in self.rates.items()} | {kind: rate}
        return dataclasses.replace(self, rates=rates, fixed=self.fixed if fixed is None else fixed)


class Timetable:
    """The kinds of a recipe's epochs and what they cost. All of it depends on the total number of epochs."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        pretrained: bool,
        image_side: int,
        images: int,
        knows: Callable[[Kind], bool] = lambda _: False,
    ):
        """For a recipe with `images` an epoch, each at most `image_side` pixels high and wide; `knows` tells whose graph is at hand."""
        self.knows = knows
        self.recipe, self.pretrained, self.image_side, self.images = recipe, pretrained, image_side, images
        self.costs = Costs()

    def phase(self, epoch: int, total: int, history: Sequence[dict] = ()) -> schedule.Phase:
        """The phase that an epoch belongs to.

        history: the rows of what was trained. The phase then begins where it really did: the total may have been another one.
        """
        phase = schedule.phase_at(epoch, schedule.phases_of(self.recipe, pretrained=self.pretrained, total=total))
        first = epoch if history else phase.first
        while history and first and history[first - 1]["phase"] == phase.name:
            first -= 1
        return dataclasses.replace(phase, first=first, epochs=phase.end - first)

    def kind(self, epoch: int, total: int) -> Kind:
        """Phase and side of an epoch. A recipe's sides above the image's own mean the image's own."""
        side = min(schedule.stage_of(epoch, total, self.recipe.resolutions), self.image_side)
        return self.phase(epoch, total).name, side

    def kinds(self, total: int) -> list[Kind]:
        """The kinds of all epochs, each once, in order."""
        return list(dict.fromkeys(kind for kind, _ in self._stretches(0, total)))

    def last_begins(self, total: int) -> int:
        """The first epoch of the last phase's last stage, of resolutions and of the curriculum."""
        phases = schedule.phases_of(self.recipe, pretrained=self.pretrained, total=total)
        stages = self.recipe.resolutions, self.recipe.curriculum
        return max([phases[-1].first, *(end for those in stages for end in schedule.ends_of_stages(total, those)[:-1])])

    def learn(self, kind: Kind, rate: float, *, seconds: float, start: float | None, judged: bool = True) -> None:
        """Take in an epoch of so many `seconds`.

        rate: seconds an image. start: what its first call took longer than that; None where the graph was known, as what it then takes
        longer, filling the pipeline, every epoch does. judged: whether the graph of validation was known; else what the epoch took
        longer than usual counts as a part of the start.
        """
        fixed = max(0.0, seconds - self.images * rate - (start or 0.0))
        if start is not None and not judged and self.costs.recent:
            usual = min(fixed, self.costs.fixed)
            start, fixed = start + fixed - usual, usual
        self.costs = self.costs.learn(kind, rate, fixed=fixed, start=start)

    def remaining(self, done: int, total: int, costs: Costs | None = None) -> float:
        """Estimated seconds of the epochs after the first `done`, by other costs than the timetable's if they are given."""
        costs = costs or self.costs
        # Before a kind was ever tried, its images are taken to cost what any image cost.
        unknown = next(iter(costs.rates.values()), 0.0)
        known = {self.kind(done - 1, total)} if done else set()
        seconds = 0.0
        for kind, epochs in self._stretches(done, total):
            seconds += epochs * (self.images * costs.rates.get(kind, unknown) + costs.fixed)
            seconds += 0.0 if kind in known or self.knows(kind) else costs.start
            known.add(kind)
        return seconds

    def _stretches(self, done: int, total: int) -> Iterator[tuple[Kind, int]]:
        """The epochs after the first `done` as (kind, how many in a row): asked after every step, whatever the number of epochs."""
        phases = schedule.phases_of(self.recipe, pretrained=self.pretrained, total=total)
        ends = {phase.end for phase in phases} | set(schedule.ends_of_stages(total, self.recipe.resolutions))
        for first, end in itertools.pairwise([done, *sorted(end for end in ends if end > done)]):
            yield self.kind(first, total), end - first

    def fitting(self, done: int, most: int, left: float, costs: Costs | None = None) -> int:
        """The largest total number of epochs, `done` to `most`, whose rest takes at most `left` seconds."""
        known = costs or self.costs
        cheapest = self.images * min(known.rates.values(), default=0.0) + known.fixed
        if cheapest > 0:  # no epoch costs less, so a recipe of a million epochs is not asked about each
            most = min(most, done + max(0, int(left / cheapest) + 1))
        return next((total for total in range(most, done, -1) if self.remaining(done, total, costs) <= left), done)

    def decide(self, done: int, total: int, left: float, *, decided: bool) -> int:
        """The total number of epochs to go on with after `done`, in `left` seconds.

        decided: whether `total` is an earlier decision; else it is the recipe's.
        """
        most = self.fitting(done, self.recipe.epochs, left * SHARE)
        if not decided:
            return most
        if self.remaining(done, total) > left:
            return self.fitting(done, total, left)
        newest = self.costs.newest
        after = self.remaining(min(done + NEAR, total), total, newest)
        if self.remaining(done, total, newest) - after > left:
            return self.fitting(done, total, left, newest)
        # Past its half the cosine falls fast: an epoch more would raise a learning rate that has begun to anneal. And what comes
        # next stays what it was: more epochs must not lead back to smaller images or another strength.
        raises = most > total >= 2 * done and self._stage(done, most) == self._stage(done, total)
        return most if raises else total

    def _stage(self, epoch: int, total: int) -> tuple[str, int, int]:
        # By their numbers: a side or a strength may come again after another one.
        stages = self.recipe.resolutions, self.recipe.curriculum
        return self.phase(epoch, total).name, *(schedule.number_of_stage(epoch, total, those) for those in stages)

    def facts(self) -> dict:
        """The costs as JSON-able values."""
        return dataclasses.asdict(self.costs) | {"rates": [[*kind, rate] for kind, rate in self.costs.rates.items()]}

    def recall(self, facts: dict) -> None:
        """The inverse of `facts`."""
        rates = {(name, side): rate for name, side, rate in facts["rates"]}
        recent = tuple((tuple(kind), rate, fixed) for kind, rate, fixed in facts.get("recent", ()))
        self.costs = Costs(**facts | {"rates": rates, "recent": recent})
