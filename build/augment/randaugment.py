"""RandAugment (Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", NeurIPS
2020).

Each image gets a number of operations drawn with replacement, all of one magnitude. The magnitude is on keras_cv's
scale 0..1 with its spread: each operation draws its own from a normal distribution about it, cut to 0..1. The ranges at
magnitude 1 are keras_cv's where it has the operation (shear of one pixel a pixel, shifts by the whole side, brightness
by the whole range), else the paper's, but for posterize (to 3 bits, the paper 4), saturation (to both sides) and sharpness (0..3, the paper
0.1..1.9). What keras_cv calls solarize is `brighten_solarize`; `solarize` and `solarize_add` are the paper's. `POOL` says for each
operation how a magnitude becomes its parameter; directions are drawn, and brightness, contrast and shifts are uniform up to the
magnitude as in keras_cv.
"""

# ruff: noqa: ARG005 - the lambdas of POOL share one signature
from collections.abc import Callable

import numpy as np

from build.augment.operations import OPERATIONS
from build.augment.program import Step

# (magnitude 0..1, sign -1 or 1, u uniform in -1..1) -> parameter of the operation
POOL: dict[str, Callable[[float, float, float], object]] = {
    "autocontrast": lambda m, sign, u: 0,
    "equalize": lambda m, sign, u: 0,
    "posterize": lambda m, sign, u: round(8 - 5 * m),
    "solarize": lambda m, sign, u: 256 - 256 * m,
    "solarize_add": lambda m, sign, u: 110 * m,
    "brighten_solarize": lambda m, sign, u: (110 * m, 256 - 256 * m),
    "brightness": lambda m, sign, u: 255 * m * u,
    "contrast": lambda m, sign, u: 1 + m * u,
    "saturation": lambda m, sign, u: 1 + sign * m,
    "sharpness": lambda m, sign, u: 1 + (2 * m if sign > 0 else -m),
    "rotate": lambda m, sign, u: 30 * m * sign,
    "shear_x": lambda m, sign, u: (m * sign, u),
    "shear_y": lambda m, sign, u: (m * sign, u),
    "translate_x": lambda m, sign, u: m * u,
    "translate_y": lambda m, sign, u: m * u,
    "hue": lambda m, sign, u: np.pi * m * u,
    "invert": lambda m, sign, u: 0,
}
DEFAULT = (
    "autocontrast", "equalize", "posterize", "solarize", "solarize_add", "brightness", "contrast", "saturation", "sharpness",
    "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
"""What the recipe draws from unless it says otherwise, by name, so that POOL can grow: the paper's list, with its code's solarize_add for
the identity. Blood cells are told apart by colour too, so hue stays out; invert and brighten_solarize gave back elsewhere what they
gained (docs/recipe.md).
"""
assert set(POOL) <= set(OPERATIONS)


def draw_randaugment(
    count: int,
    *,
    operations: int,
    magnitude: float,
    spread: float = 0.15,
    pool: tuple[str, ...] = DEFAULT,
    rng: np.random.Generator,
) -> list[list[Step]]:
    """Decide `operations` steps for each of `count` images; `program.run` applies them."""
    shape = (count, operations)
    chosen = rng.integers(0, len(pool), shape).tolist()
    magnitudes = np.clip(rng.normal(magnitude, spread, shape), 0, 1).tolist()
    signs = np.where(rng.random(shape) < 0.5, -1, 1).tolist()
    places = rng.uniform(-1, 1, shape).tolist()
    return [
        [(pool[k], POOL[pool[k]](m, sign, u)) for k, m, sign, u in zip(*image, strict=True)]
        for image in zip(chosen, magnitudes, signs, places, strict=True)
    ]
