"""Which of a suite's operations a recipe trained with: from the recipe's plain facts, without the trainer.

A suite whose operations were trained with says less about the unknown; the scorecard marks it.
"""

from collections.abc import Mapping, Sequence

ENHANCEMENTS = ("brightness", "contrast", "saturation", "sharpness")
AUGMIX = ("autocontrast", "equalize", "posterize", "solarize", "rotation", "shear", "translation")
"""Hendrycks et al. 2020, section 3: AugMix leaves out what ImageNet-C measures."""
DEGRADATIONS = ("blur", "defocus", "motion blur", "noise", "shot noise", "jpeg", "pixelate")
POOL_NAMES = {"rotate": "rotation", "solarize_add": "solarize", "brighten_solarize": "solarize"} | {
    f"{kind}_{axis}": word for kind, word in (("shear", "shear"), ("translate", "translation")) for axis in "xy"
}
"""Names of a recipe's `randaugment_pool` where they differ from the suites' words."""

TRAINED_WITH: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("geometry_probability", "rotation"), ("rotation",)),
    (("geometry_probability", "zoom"), ("scale",)),
    (("geometry_probability", "translation"), ("translation",)),
    (("geometry_probability", "shear"), ("shear",)),
    (("augmix_probability",), AUGMIX),
    (("jsd_weight",), AUGMIX),
    (("surroundings_probability",), ("surroundings",)),
    (("surroundings_probability", "surroundings_zoom"), ("scale",)),
    (("randaugment_probability", "randaugment_operations"), AUGMIX + ENHANCEMENTS),
    (("stain_probability", "stain"), ("hue", "saturation")),
    (("grey_probability",), ("saturation",)),
    (("channel_shuffle_probability",), ("channel shuffle",)),
    (("channel_shift_probability", "channel_shift"), ("channel shift",)),
    (("degrade_probability", "degrade_strength"), DEGRADATIONS),
    (("random_convolution_probability",), ("hue", "saturation")),
    (("texture_probability", "texture_strength"), ("sharpness", "noise")),
    (("veil_probability", "veil_opacity"), ("bubble", "stain")),
    (("cutout_probability", "cutout_size"), ("occlusion",)),
    (("grid_probability",), ("grid mask", "occlusion")),
)
"""(recipe fields that must all be above zero, operations that the training then uses)."""


def operations_trained_with(recipe: Mapping | None) -> tuple[str, ...] | None:
    """The operations that a recipe's training used, sorted; None where the recipe is not known."""
    if recipe is None:
        return None
    used: set[str] = set()
    strongest = max((factor for factor, _ in recipe.get("curriculum") or ()), default=1)
    if recipe.get("augmenter", "podium") != "none":
        for fields, operations in TRAINED_WITH:
            factor = strongest if fields[0].endswith("_probability") else 1
            if factor and all((recipe.get(field) or 0) > 0 for field in fields):
                pool = recipe.get("randaugment_pool") if fields[0] == "randaugment_probability" else ()
                used.update((POOL_NAMES.get(name, name) for name in pool) if pool else operations)
    if recipe.get("balance") in ("augment", "both"):
        used.update(AUGMIX)
    # A recipe may name more: a trainer with operations that this table does not know.
    used.update(recipe.get("operations", ()))
    return tuple(sorted(used))


def seen(operations: Sequence[str], trained_with: Sequence[str] | None) -> list[str] | None:
    """Those of a corruption's operations that were trained with; None where that is not known."""
    if trained_with is None:
        return None
    return [operation for operation in operations if operation in trained_with]
