"""The protocol of a study: every row on the same cells, split, seeds and number of epochs, at one of two scales.

    scale = choose("auto", gpu=False)
    recipe = at_scale(find("report-convnext"), scale, epochs=6)

`report`: the recipes as they stand; they need published weights and a GPU. `small`: no GPU and no network needed; what would be
fine-tuned is trained from scratch at a width that two cores carry, for a few epochs, without a time budget, so that no figure depends on
what else the machine does. Figures of the two scales do not compare with each other.
"""

import dataclasses

from build.errors import UserError
from build.recipe import Recipe

SCALES = ("report", "small")
SMALL_EPOCHS = 6
SMALL_SIZES = {"convnext": "atto", "efficientnet-lite": "lite2"}
"""Sizes at the small scale. EfficientNet-Lite2's ImageNet weights come as a package, without a download: it keeps them."""
SMALL_WIDTHS = {
    "resnet50": 0.25,
    "xception": 0.25,
    "inception-v3": 0.25,
    "efficientnet-b0": 0.5,
    "efficientnet-b4": 0.25,
}
"""Widths at the small scale: a training step then costs about as much as ConvNeXt atto's."""
WITH_WEIGHTS = ("efficientnet-lite",)
"""Networks whose ImageNet weights are at hand wherever the kit is installed."""
SCRATCH = {
    "adamw": {"learning_rate": 2e-3, "weight_decay": 0.05},
    # Chen et al. 2023, section 5: a learning rate 3 to 10 times smaller than AdamW's, and a decay as much larger.
    "lion": {"learning_rate": 3e-4, "weight_decay": 0.3},
}
"""Settings of a training from scratch, by optimizer; recipes that fine-tune have rates a hundred times smaller."""


def choose(scale: str, *, gpu: bool) -> str:
    """The scale that is meant: as named, or for "auto" `report` where there is a GPU, else `small`."""
    if scale == "auto":
        return "report" if gpu else "small"
    if scale not in SCALES:
        raise UserError(f"Expected the scale auto, {' or '.join(SCALES)}, got {scale!r}.")
    return scale


def at_scale(recipe: Recipe, scale: str, *, epochs: int | None = None) -> Recipe:
    """The recipe as a row of that scale trains it. `epochs` overrides the number of epochs (small scale: SMALL_EPOCHS)."""
    if scale == "report":
        return recipe if epochs is None else dataclasses.replace(recipe, epochs=epochs)
    changes = {
        "epochs": epochs or SMALL_EPOCHS,
        "minutes": 0.0,
        "warmup_epochs": min(1.0, recipe.warmup_epochs),
        "size": SMALL_SIZES.get(recipe.network, recipe.size),
        "width": SMALL_WIDTHS.get(recipe.network, recipe.width),
    }
    if recipe.weights == "drawn":
        changes |= {"head_epochs": min(1, recipe.head_epochs)}
    elif recipe.network in WITH_WEIGHTS:
        changes |= {"weights": "imagenet", "head_epochs": min(1, recipe.head_epochs)}
    elif recipe.weights != "none":
        changes |= {"weights": "none", "head_epochs": 0, "fine_tune_layers": 0, "stochastic_depth": 0.0}
        changes |= SCRATCH[recipe.optimizer]
        # An Adam among the rows is AdamW without decay, and stays one.
        changes |= {"weight_decay": 0.0} if not recipe.weight_decay else {}
        # ConvNeXt's branches begin at 1e-6, which takes longer than a few epochs to grow.
        changes |= {"layer_scale": 0.1} if recipe.network == "convnext" else {}
    return dataclasses.replace(recipe, **changes)


def describe(scale: str, *, epochs: int | None, seeds: int) -> str:
    """One sentence for people."""
    count = epochs or (SMALL_EPOCHS if scale == "small" else 0)
    length = f"{count} epoch{'s' if count > 1 else ''}" if count else "the recipes' epochs"
    what = {
        "report": "the recipes as they stand, with the weights that they begin from",
        "small": "from scratch at a size that two cores carry (networks whose weights come with the kit keep them)",
    }[scale]
    return f"Scale {scale}: {what}; {length}, {seeds} seed{'s' if seeds > 1 else ''}."
