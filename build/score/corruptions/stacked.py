"""The suite `stacked`: several operations on every image, the best proxy known for this competition's hidden set.

Teams of the competition describe its hidden set as "generated through multiple layers of augmentation"; RandAugment(3,
0.4) of keras_cv on clean cells is the local score that lay closest to the server's (71.7/80.7/90.1 against 58/80/87).
Severities grow in the number of operations and in their strength. A level is (operations, strength 0..1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from build.score.corruptions import filters, geometric, noise, overlays, photometric
from build.score.corruptions.definition import Corruption, Suite


def sign(rng: np.random.Generator) -> int:
    """-1 or 1."""
    return int(rng.choice((-1, 1)))


def moved(kind: Callable, border: str, most: float) -> Callable:
    """The movement `kind` with `most` as its level at strength 1 (for scale: 1 + most)."""
    movement = geometric.Movement(kind, border)
    offset = 1 if kind is geometric.scale else 0
    return lambda image, strength, *, rng: movement(image, offset + most * strength, rng=rng)


def enhanced(function: Callable) -> Callable:
    """An enhancement whose factor is 1 +- 0.9 * strength (Cubuk et al. 2019, table 6)."""
    return lambda image, strength, *, rng: function(image, 1 + sign(rng) * 0.9 * strength, rng=rng)


OPERATIONS: dict[str, Callable] = {
    "autocontrast": photometric.autocontrast,
    "equalize": photometric.equalize,
    "posterize": lambda image, strength, *, rng: photometric.posterize(image, 8 - round(5 * strength), rng=rng),
    "solarize": lambda image, strength, *, rng: photometric.solarize(image, 256 - 256 * strength, rng=rng),
    "brightness": enhanced(photometric.scale_brightness),
    "contrast": enhanced(photometric.scale_contrast),
    "saturation": enhanced(photometric.scale_colour),
    "sharpness": enhanced(filters.sharpen),
    "rotation": moved(geometric.rotation, "black", 45),
    "translation": moved(geometric.translation, "black", 0.45),
    "shear": moved(geometric.shear, "black", 30),
    "scale": moved(geometric.scale, "any", 0.8),
    "perspective": moved(geometric.perspective, "any", 0.2),
    "hue": lambda image, strength, *, rng: photometric.turn_hue(image, 120 * strength, rng=rng),
    "channel shift": lambda image, strength, *, rng: photometric.shift_channels(image, 0.5 * strength, rng=rng),
    "channel shuffle": photometric.shuffle_channels,
    "occlusion": lambda image, strength, *, rng: overlays.occlude(image, 0.4 * strength, rng=rng),
    "grid mask": lambda image, strength, *, rng: overlays.mask_grid(image, 0.5 * strength, rng=rng),
    "blur": lambda image, strength, *, rng: filters.blur_gaussian_relative(image, 0.5 + 6 * strength, rng=rng),
    "defocus": lambda image, strength, *, rng: filters.blur_defocus_relative(image, (1 + 9 * strength, 0.5), rng=rng),
    "motion blur": lambda image, strength, *, rng: filters.blur_motion_relative(
        image, (5 + 15 * strength, 1 + 12 * strength), rng=rng
    ),
    "noise": lambda image, strength, *, rng: noise.add_gaussian(image, 0.3 * strength, rng=rng),
    "shot noise": lambda image, strength, *, rng: noise.add_shot(image, 60 * 0.05**strength, rng=rng),
    "jpeg": lambda image, strength, *, rng: filters.compress_jpeg(image, 60 - 54 * strength, rng=rng),
    "pixelate": lambda image, strength, *, rng: filters.pixelate(image, 1 - 0.75 * strength, rng=rng),
    "stain": lambda image, strength, *, rng: overlays.deposit_stain(
        image, (3, 0.15 * strength * min(image.shape[:2])), rng=rng
    ),
    "bubble": lambda image, strength, *, rng: overlays.add_bubbles(image, (3 + round(12 * strength), 12), rng=rng),
}
"""Every operation of this suite: (image, strength 0..1, *, rng) -> image."""

RANDAUGMENT = (
    *("autocontrast", "equalize", "posterize", "solarize", "brightness", "contrast", "saturation", "sharpness"),
    *("rotation", "translation", "shear"),
)
GEOMETRIC = ("rotation", "translation", "shear", "scale", "perspective")
COLOUR = ("hue", "channel shift", "channel shuffle", "solarize", "saturation", "brightness", "contrast")
HOLES = ("occlusion", "grid mask")
OPTICS = ("blur", "defocus", "motion blur")
SENSOR = ("noise", "shot noise", "jpeg", "pixelate")
SLIDE = ("stain", "bubble", "brightness", "contrast", "saturation")


@dataclass(frozen=True)
class Draws:
    """Operations drawn with replacement from one pool, as RandAugment draws them (Cubuk et al. 2020, algorithm 1)."""

    pool: tuple[str, ...]

    def __call__(self, image, level, *, rng):
        """Draw the operations, then apply them in order."""
        count, strength = level
        for name in rng.choice(self.pool, count):
            image = OPERATIONS[name](image, strength, rng=rng)
        return image


@dataclass(frozen=True)
class Layers:
    """One operation from each pool, in the order of the pools; a level of fewer operations leaves pools out."""

    pools: tuple[tuple[str, ...], ...]

    def __call__(self, image, level, *, rng):
        """Draw the pools and the operations, then apply them."""
        count, strength = level
        for position in np.sort(rng.permutation(len(self.pools))[:count]):
            name = self.pools[position][rng.integers(len(self.pools[position]))]
            image = OPERATIONS[name](image, strength, rng=rng)
        return image


def mix_chains(image, level, *, rng):
    """AugMix's form (Hendrycks et al. 2020, algorithm 1) with a harder blend: three chains, a fifth of the image.

    level = (operations a chain, strength); mixing weights are drawn from Dirichlet(1, 1, 1).
    """
    count, strength = level
    total = 0.2 * image.astype(np.float32)
    for weight in rng.dirichlet((1, 1, 1)):
        total += np.float32(0.8 * weight) * Draws(RANDAUGMENT)(image, (count, strength), rng=rng)
    return cv2.convertScaleAbs(total)


def operations_of(*pools: tuple[str, ...]) -> tuple[str, ...]:
    """The names in `pools`, each once, in order."""
    return tuple(dict.fromkeys(name for pool in pools for name in pool))


SUITE = Suite(
    "stacked",
    (
        Corruption(
            "keras-cv-randaugment",
            None,
            ((1, 0.3), (2, 0.3), (3, 0.4), (3, 0.5), (4, 0.6)),
            ("autocontrast", "equalize", "solarize", "saturation", "contrast", "brightness", "shear", "translation"),
            "keras_cv 0.9.0 RandAugment(augmentations_per_image, magnitude); severity 3 is (3, 0.4)",
            process="build.score.corruptions.keras_cv_randaugment",
            needs="keras_cv",
        ),
        Corruption(
            "randaugment",
            Draws(RANDAUGMENT),
            ((1, 0.3), (2, 0.4), (3, 0.5), (4, 0.6), (5, 0.7)),
            RANDAUGMENT,
            "Cubuk et al. 2020, RandAugment, algorithm 1; ranges of Cubuk et al. 2019, table 6",
        ),
        Corruption(
            "chains",
            mix_chains,
            ((1, 0.3), (2, 0.4), (3, 0.5), (3, 0.7), (4, 0.9)),
            RANDAUGMENT,
            "Hendrycks et al. 2020, AugMix, algorithm 1, deeper and without the final blend",
        ),
        Corruption(
            "move-colour-hole",
            Layers((GEOMETRIC, COLOUR, HOLES)),
            ((1, 0.25), (2, 0.25), (2, 0.4), (3, 0.4), (3, 0.6)),
            operations_of(GEOMETRIC, COLOUR, HOLES),
            "the chain that public teams describe: geometry, colour, cutout or grid mask",
        ),
        Corruption(
            "microscope-chain",
            Layers((SLIDE, OPTICS, SENSOR)),
            ((1, 0.25), (2, 0.25), (2, 0.4), (3, 0.45), (3, 0.6)),
            operations_of(SLIDE, OPTICS, SENSOR),
            "the order of a picture's making: slide, lens, sensor",
        ),
        Corruption(
            "everything",
            Draws(tuple(OPERATIONS)),
            ((2, 0.2), (3, 0.3), (4, 0.4), (5, 0.5), (6, 0.6)),
            tuple(OPERATIONS),
            "all operations of this suite",
        ),
    ),
    "Several operations on every image, the best proxy known for the hidden set.",
)
