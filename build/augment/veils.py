"""What lies over an object and lets some of it through: bubbles, drops, dust and marks are spots, haze, shadow and uneven light a field.

A hole (occlusion.py) takes a place away; a veil changes its contrast and colour and leaves its shape. One veil an image, drawn apart
from applying it. Like the degradations these stand for a kind of damage, not for any suite of the judge: shapes and strengths are
this file's own.
"""

from dataclasses import dataclass

import cv2
import numpy as np

MOST_SPOTS = 16
LARGEST = 0.35
"""Radius of a single spot as a share of the side; n of them have at most LARGEST / n**0.4, so that the object shows between them."""
SMALLEST = 0.02
_SHIFT = 4
"""Bits behind the point of cv2's coordinates."""


@dataclass(frozen=True)
class Spots:
    """Ellipses, the later over the earlier; lengths are shares of the side."""

    places: np.ndarray
    """(n, 5): x, y, the two radii, the angle in degrees."""
    opacities: np.ndarray
    """(n,) 0..1."""
    rim: tuple[float, float]
    """Width and opacity of a border about each; a width of 0 is none."""
    softness: float
    """Sigma of their edges."""


@dataclass(frozen=True)
class Veil:
    """A colour, and how much of it lies where: spots, or a coarse grid of opacities that is smoothed over the image."""

    colour: tuple[int, int, int]
    shape: Spots | np.ndarray


def draw_veils(count: int, *, opacity: float, rng: np.random.Generator) -> list[tuple[str, Veil]]:
    """Draw one veil an image, as a step of a program: two thirds spots, one third fields, of at most `opacity` 0..1."""
    return [("veil", _draw(opacity, rng)) for _ in range(count)]


def _draw(opacity: float, rng: np.random.Generator) -> Veil:
    kind, tone = rng.integers(0, 3, 2)
    if tone < 2:  # pale or dark, as light and dirt are; else any colour
        grey = int(rng.integers(0, 64))
        colour = (255 - grey,) * 3 if tone else (grey,) * 3
    else:
        colour = tuple(rng.integers(0, 256, 3).tolist())
    if kind == 2:
        field = rng.random(rng.integers(2, 6, 2), dtype=np.float32)
        field -= field.min()
        return Veil(colour, field * np.float32(opacity * rng.uniform(0.2, 1) / max(float(field.max()), 1e-3)))
    count = round(MOST_SPOTS ** float(rng.random()))
    places = rng.random((count, 5))
    places[:, 2] = SMALLEST * (LARGEST / count**0.4 / SMALLEST) ** places[:, 2]
    places[:, 3] = places[:, 2] * (0.5 + 0.5 * places[:, 3] if rng.random() < 0.5 else 1)
    places[:, 4] *= 180
    opacities = opacity * rng.uniform(0.2, 1, count)
    width, rim, softness = rng.uniform((0.01, 0.2 * opacity, 0), (0.04, opacity, 0.05))
    bordered, soft = rng.random(2) < 0.5
    return Veil(colour, Spots(places, opacities, (float(width * bordered), float(rim)), float(softness * soft)))


def veil(image: np.ndarray, parameter: Veil) -> np.ndarray:
    """Lay a veil over an (H, W, 3) uint8 image; a new array."""
    height, width = image.shape[:2]
    shape = parameter.shape
    if isinstance(shape, Spots):
        cover = _cover(shape, height, width)
    else:
        cover = np.clip(cv2.resize(shape, (width, height), interpolation=cv2.INTER_CUBIC), 0, float(shape.max()))
    return cv2.blendLinear(image, np.full_like(image, parameter.colour), 1 - cover, cover)


def _cover(spots: Spots, height: int, width: int) -> np.ndarray:
    """The opacity of each pixel, (H, W) float32."""
    cover = np.zeros((height, width), np.float32)
    side, one = min(height, width), 1 << _SHIFT
    rim, rim_opacity = spots.rim
    for (x, y, *radii, angle), opacity in zip(spots.places.tolist(), spots.opacities.tolist(), strict=True):
        centre = round(x * width * one), round(y * height * one)
        for more, value in ((rim, rim_opacity), (0.0, opacity)) if rim else ((0.0, opacity),):
            axes = tuple(round((radius + more) * side * one) for radius in radii)
            cv2.ellipse(cover, centre, axes, angle, 0, 360, value, cv2.FILLED, shift=_SHIFT)
    if spots.softness * side > 0.3:
        cover = cv2.GaussianBlur(cover, (0, 0), spots.softness * side)
    return cover
