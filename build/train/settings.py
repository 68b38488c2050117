"""Which values the training and packaging settings of a recipe may take. Said before the training, not after it."""

import dataclasses

from build.errors import UserError
from build.recipe import Recipe
from build.runs import Run
from submission.contract import IMAGE_SHAPE
from submission.views import COUNTS, SYMMETRIES
from submission.weights import STORAGES

_POSITIVE = (
    "teacher_temperature",
    "time_limit",
    "hidden_images",
    "maximum_zip_mb",
    "maximum_seconds_per_1000",
)
_NOT_NEGATIVE = (
    "learning_rate",
    "head_learning_rate",
    "weight_decay",
    "warmup_epochs",
    "minutes",
    "patience",
    "head_epochs",
    "fine_tune_layers",
    "l1",
    "l2",
    "size_limit_mb",
    "accuracy_budget",
)
_SHARES = ("ema_momentum", "label_smoothing", "teacher_weight", "minimum_held_out", "minimum_perturbed")
_STAGES = (
    ("resolutions", "side in pixels", lambda side: side >= 1),
    ("curriculum", "factor from 0 to 1", lambda factor: 0 <= factor <= 1),
)
"""Fields whose value changes over the epochs: name, what a value is, whether one can be."""

MEMBERS = 4001
"""Of one seed: with the strides between their seeds (build/train/fit.py) these stay below keras' 2**32."""
LONGEST_NAME = 100
"""Characters of a recipe's name."""


def check(recipe: Recipe, seed: int) -> None:
    """Raise UserError for a setting outside its range."""
    if recipe.epochs < 1 or recipe.batch < 1 or seed < 0:
        raise UserError(
            f"Training needs at least 1 epoch, 1 image a batch and a seed from 0 up, got {recipe.epochs}, {recipe.batch} and {seed}."
        )
    if not 0 < len(recipe.name) <= LONGEST_NAME or "/" in recipe.name:
        raise UserError(
            f"Recipe field name is part of a folder's name: expected 1 to {LONGEST_NAME} characters without a slash, got "
            f"{recipe.name[:LONGEST_NAME]!r}."
        )
    for names, fits, expected in (
        (_POSITIVE, lambda value: value > 0, "above 0"),
        (_NOT_NEGATIVE, lambda value: value >= 0, "at least 0"),
        (("member",), range(MEMBERS).__contains__, f"from 0 to {MEMBERS - 1}"),
        (_SHARES, lambda value: 0 <= value <= 1, "from 0 to 1"),
        (("storage",), STORAGES.__contains__, f"one of {', '.join(STORAGES)}"),
        (("views",), (0, *COUNTS).__contains__, f"0 (chosen by speed) or one of {', '.join(map(str, COUNTS))}"),
    ):
        for name in names:
            value = getattr(recipe, name)
            if not fits(value):
                raise UserError(f"Recipe field {name} must be {expected}, got {value}; correct the recipe.")
    for name, meaning, fits in _STAGES:
        stages = getattr(recipe, name)
        shares = [share for _, share in stages]
        adds_up = stages and min(shares) > 0 and abs(sum(shares) - 1) <= 1e-6
        if not adds_up or not all(fits(value) for value, _ in stages):
            raise UserError(
                f"Recipe field {name} is ({meaning}, share of the epochs) with shares that add up to 1, got {stages}."
            )
    height, width, _ = IMAGE_SHAPE
    if recipe.views >= len(SYMMETRIES) and height != width:
        raise UserError(
            f"Recipe field views is {recipe.views}, and quarter turns need square images, not {height} x {width} pixels; take at most 4."
        )
    if any(character.isspace() for character in recipe.name):
        raise UserError(f"Recipe field name is part of commands: expected a name without spaces, got {recipe.name!r}.")
    if recipe.teachers and not recipe.teacher_weight:
        raise UserError(
            f"Recipe field teacher_weight is 0, so {', '.join(recipe.teachers)} would teach nothing; set it above 0 or name no teacher."
        )


def with_epochs(recipe: Recipe, epochs: int | None, resume: Run | None) -> Recipe:
    """The recipe with another number of epochs, where one is given; UserError for a run that has begun."""
    if epochs is None:
        return recipe
    if resume is not None:
        raise UserError(
            f"The schedule of run {resume.id} is fixed; leave --epochs out with --resume, or train a new run."
        )
    return dataclasses.replace(recipe, epochs=epochs)
