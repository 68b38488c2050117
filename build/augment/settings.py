"""Which values the augmentation settings of a recipe may take."""

import dataclasses

from build.augment import augmix, geometry, randaugment
from build.errors import UserError
from build.recipe import DEFECTS, Recipe

_SHARES = (
    "geometry_probability",
    "surroundings_probability",
    "augmix_probability",
    "randaugment_probability",
    "randaugment_magnitude",
    "randaugment_spread",
    "stain_probability",
    "grey_probability",
    "channel_shuffle_probability",
    "channel_shift_probability",
    "channel_shift",
    "random_convolution_probability",
    "texture_probability",
    "texture_strength",
    "veil_probability",
    "veil_opacity",
    "degrade_probability",
    "degrade_strength",
    "cutout_probability",
    "cutout_size",
    "grid_probability",
    "mix_probability",
)
_PROBABILITIES = [name for name in _SHARES if name.endswith("_probability")]
LEAST_OF_KERAS_CV = 0.1
"""Severity of the paper's 0 to 10 below which keras_cv's AugMix cannot be made."""


def bare(recipe: Recipe, **fields) -> Recipe:
    """The recipe without balancing and without any step of the augmentation, but with `fields`: for a step looked at alone."""
    return dataclasses.replace(weakened(recipe, 0), **{"balance": "none", "flip": False} | fields)


def weakened(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with every step's probability times `factor`, 0..1; flips, and AugMix of copies and of a consistency loss, stay."""
    return dataclasses.replace(recipe, **{name: factor * getattr(recipe, name) for name in _PROBABILITIES})


def unmixed(recipe: Recipe) -> Recipe:
    """The recipe without what mixes labels or makes views of an image: one image, one label."""
    return dataclasses.replace(recipe, mixup_alpha=0.0, cutmix_alpha=0.0, jsd_weight=0.0)


def check(recipe: Recipe) -> None:
    """Raise UserError for a setting outside its range."""
    if recipe.augmenter not in ("podium", "keras_cv", "none"):
        raise UserError(
            f"Recipe field augmenter is podium, keras_cv or none, got {recipe.augmenter!r}; correct the recipe."
        )
    for name in _SHARES:
        if not 0 <= getattr(recipe, name) <= 1:
            raise UserError(
                f"Recipe field {name} must be from 0 to 1, got {getattr(recipe, name)}; correct the recipe."
            )
    for name in (
        "rotation",
        "zoom",
        "surroundings_zoom",
        "translation",
        "stain",
        "mixup_alpha",
        "cutmix_alpha",
        "jsd_weight",
        "randaugment_operations",
    ):
        if not getattr(recipe, name) >= 0:
            raise UserError(
                f"Recipe field {name} must not be negative, got {getattr(recipe, name)}; correct the recipe."
            )
    for name, most in (("zoom", 4), ("surroundings_zoom", 4), ("translation", 1), ("stain", 1)):
        if getattr(recipe, name) > most:
            raise UserError(
                f"Recipe field {name} must be from 0 to {most}, got {getattr(recipe, name):g}; it is a share, not a percentage."
            )
    if not 0 <= recipe.shear < 80:
        raise UserError(
            f"Recipe field shear is an angle from 0 to below 80 degrees, got {recipe.shear}; correct the recipe."
        )
    if recipe.border != "any" and recipe.border not in geometry.BORDERS:
        raise UserError(
            f"Recipe field border is any, {', '.join(geometry.BORDERS)}, got {recipe.border!r}; correct the recipe."
        )
    if unknown := [name for name in recipe.defects if name not in DEFECTS]:
        raise UserError(f"Recipe field defects names {unknown[0]!r}; known are {', '.join(DEFECTS)}.")
    if unknown := [name for name in recipe.randaugment_pool if name not in randaugment.POOL]:
        raise UserError(f"Recipe field randaugment_pool names {unknown[0]!r}; known are {', '.join(randaugment.POOL)}.")
    if recipe.randaugment_pool and recipe.augmenter == "keras_cv":
        raise UserError(
            "Recipe field randaugment_pool is for augmenter podium, keras_cv has a list of its own; leave one of them out."
        )
    for prefix, depth in (("copies", 0), ("augmix", recipe.augmix_depth)):
        settings = {name: getattr(recipe, f"{prefix}_{name}") for name in ("severity", "alpha", "width")}
        augmix.check(**settings, depth=depth, prefix=prefix)
        if recipe.augmenter == "keras_cv" and settings["severity"] < LEAST_OF_KERAS_CV:
            raise UserError(
                f"Recipe field {prefix}_severity is at least {LEAST_OF_KERAS_CV} with augmenter keras_cv, got "
                f"{settings['severity']}; correct the recipe."
            )
