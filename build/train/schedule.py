"""When what is learned: phases, resolutions and the learning rate as functions of the epoch and of the total.

All of it depends on the total number of epochs, which a time budget may change after any epoch: so these are functions, not lists.

    phases = phases_of(recipe, pretrained=True, total=40)
    stage_of(3, 40, recipe.resolutions), multiplier(step, total_steps, warmup_steps)
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from keras import ops

from build.recipe import Recipe

HEAD = "head"
BODY = "fine-tune"
ALL = "all"


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs with one set of learning layers and one optimizer."""

    name: str
    first: int
    """Its first epoch, counted from 0."""
    epochs: int
    learning_rate: float
    warmup_epochs: float

    @property
    def end(self) -> int:
        """The epoch after its last one."""
        return self.first + self.epochs


def phases_of(recipe: Recipe, *, pretrained: bool, total: int) -> tuple[Phase, ...]:
    """The phases of `total` epochs: head and fine-tuning where the weights are pretrained, else one.

    The head gets recipe.head_epochs, but never more than a third of the epochs: a short run must still fine-tune.
    """
    if not pretrained:
        return (Phase(ALL, 0, total, recipe.learning_rate, recipe.warmup_epochs),)
    head = min(recipe.head_epochs, total // 3)
    body = Phase(BODY, head, total - head, recipe.learning_rate, recipe.warmup_epochs)
    if not head:
        return (body,)
    return (Phase(HEAD, 0, head, recipe.head_learning_rate, 0.0), body)


def phase_at(epoch: int, phases: tuple[Phase, ...]) -> Phase:
    """The phase that an epoch belongs to."""
    return next(phase for phase in phases if phase.first <= epoch < phase.end)


Stages = Sequence[tuple[float, float]]
"""What changes over the epochs, in order: (value, share of the epochs)."""


def ends_of_stages(total: int, stages: Stages) -> list[int]:
    """Of each stage the epoch after its last one. The last epoch is always of the last stage."""
    passed = itertools.accumulate(share for _, share in stages[:-1])
    return [*(min(round(share * total), total - 1) for share in passed), total]


def number_of_stage(epoch: int, total: int, stages: Stages) -> int:
    """Which of the stages an epoch belongs to, counted from 0. Two of them may have one value."""
    ends = ends_of_stages(total, stages)
    return next((number for number, end in enumerate(ends) if epoch < end), len(ends) - 1)


def stage_of(epoch: int, total: int, stages: Stages) -> float:
    """The value of an epoch: its image side in pixels, or the augmentation's factor."""
    return stages[number_of_stage(epoch, total, stages)][0]


def multiplier(step, total_steps, warmup_steps):
    """Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017, equation 5), as a share of the learning rate.

    step: steps done, counted from 0; total_steps, warmup_steps: floats or tensors, in steps. The warm-up takes at most a fifth.
    Backend-free; with numbers it returns a tensor of one number in 0..1.
    """
    step = ops.cast(step, "float32")
    total_steps = ops.maximum(ops.cast(total_steps, "float32"), 1.0)
    warmup_steps = ops.minimum(ops.cast(warmup_steps, "float32"), 0.2 * total_steps)
    rising = (step + 1.0) / ops.maximum(warmup_steps, 1.0)
    progress = ops.clip((step - warmup_steps) / ops.maximum(total_steps - warmup_steps, 1.0), 0.0, 1.0)
    falling = 0.5 * (1.0 + ops.cos(3.14159265 * progress))
    return ops.where(step < warmup_steps, ops.minimum(rising, 1.0), falling)
