"""The suite `laboratory`: what another laboratory changes in a picture of the same cell, one thing at a time and all at once.

Cells of other laboratories are the hardest of all: other dyes, another light and camera, another magnification. These
are formulas and no pictures from elsewhere, so the suite says whether a network bears such differences, not how it
would do in a certain laboratory. Magnitudes are drawn from [3/4, 1] of the level with a random direction.
"""

import cv2
import numpy as np

from build.score.corruptions import geometric, photometric
from build.score.corruptions.definition import Corruption, Suite


def stain_otherwise(image, level, *, rng):
    """Other statistics of the colours in CIE L*a*b*: level = (shift of the means, change of the spreads as a share).

    Reinhard et al. 2001, "Color transfer between images", brings one picture's means and spreads to another's; here
    they are drawn.
    """
    shift, stretch = level
    colours = cv2.cvtColor(image.astype(np.float32) * (1 / 255), cv2.COLOR_RGB2Lab)
    means = colours.mean(axis=(0, 1))
    factors = np.exp([geometric.draw(np.log1p(stretch), rng) for _ in range(3)])
    shifts = [geometric.draw(shift, rng) for _ in range(3)]
    colours = ((colours - means) * factors + means + shifts).astype(np.float32)
    colours[..., 0] = np.clip(colours[..., 0], 0, 100)
    return cv2.convertScaleAbs(np.maximum(cv2.cvtColor(colours, cv2.COLOR_Lab2RGB), 0), alpha=255)


def expose(image, gamma, *, rng):
    """255 * (x / 255) ** g with g between 1 / gamma and gamma: a longer or a shorter exposure, black and white stay."""
    power = np.exp(geometric.draw(np.log(gamma), rng))
    return photometric.look_up(image, photometric.table(255 * (photometric.RAMP / 255) ** power))


def balance_white(image, gain, *, rng):
    """Each channel times a factor of its own between 1 / gain and gain: another lamp, another white point."""
    gains = np.exp([geometric.draw(np.log(gain), rng) for _ in range(3)])
    return photometric.look_up(image, photometric.table(photometric.RAMP[:, None] * gains))


def resolve(image, share, *, rng):
    """Through a sensor with `share` of the pixels a side: averaged, then enlarged smoothly."""
    del rng
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, round(width * share)), max(1, round(height * share))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


PARTS = (
    Corruption(
        "dyes",
        stain_otherwise,
        ((2.5, 0.08), (5, 0.16), (7.5, 0.24), (10, 0.32), (12.5, 0.4)),
        ("hue", "saturation", "brightness", "contrast"),
        "Reinhard et al. 2001, equations 10 and 11; there in l-alpha-beta",
    ),
    Corruption("exposure", expose, (1.15, 1.3, 1.5, 1.75, 2), ("brightness", "contrast")),
    Corruption("white-balance", balance_white, (1.05, 1.1, 1.15, 1.21, 1.28), ("hue", "brightness")),
    Corruption("resolution", resolve, (0.7, 0.55, 0.45, 0.37, 0.3), ("blur",)),
    Corruption(
        "magnification", geometric.Movement(geometric.scale, "reflect"), (1.1, 1.25, 1.4, 1.55, 1.7), ("scale",)
    ),
)
"""In the order of a picture's making: dye, light, camera, how the cell is cut out."""


def show_elsewhere(image, severity, *, rng):
    """All PARTS at the same severity, 1..5."""
    for part in PARTS:
        image = part(image, severity, rng=rng)
    return image


SUITE = Suite(
    "laboratory",
    (
        *PARTS,
        Corruption(
            "all-at-once",
            show_elsewhere,
            (1, 2, 3, 4, 5),
            tuple(dict.fromkeys(operation for part in PARTS for operation in part.operations)),
        ),
    ),
    "The same cells as another laboratory might show them: dyes, light, camera and magnification.",
)
