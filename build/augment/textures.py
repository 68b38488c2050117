"""What a filter does to the fine structure of a picture: median, growing dark or bright parts, sharpening, relief, missing pixels.

Blur, noise, JPEG and coarse pixels (degradations.py) are an instrument's; these are what programs of image processing do, and each
leaves the shape of a cell and changes its grain. One an image, drawn apart from applying it. They stand for a kind of change, not for
any suite of the judge: shapes and strengths are this file's own.
"""

import cv2
import numpy as np

KINDS = ("median", "dark", "bright", "sharpen", "relief", "missing")
REACH = 0.04
"""Largest reach of a median, or of growing parts, as a share of the side."""
WIDEST = 0.25
NARROWEST = 0.01
"""Reach of the surroundings that a sharpened pixel is compared with, shares of the side: from edges to uneven light."""
MOST_MISSING = 0.4
COARSEST = 3
"""Side of the largest block of missing pixels."""

Texture = tuple[str, float, float, int]
"""Kind, strength 0..1, a place 0..1 in the kind's second range (width, angle or colour), and a seed."""


def draw_textures(count: int, *, strength: float, rng: np.random.Generator) -> list[tuple[str, Texture]]:
    """Draw one texture an image, as a step of a program: every kind alike, of a tenth of `strength` 0..1 up to it."""
    kinds = rng.integers(0, len(KINDS), count).tolist()
    levels = (strength * rng.uniform(0.1, 1.0, count)).tolist()
    places = rng.random(count).tolist()
    seeds = rng.integers(0, 1 << 32, count).tolist()
    return [("texture", (KINDS[kind], *rest)) for kind, *rest in zip(kinds, levels, places, seeds, strict=True)]


def texture(image: np.ndarray, parameter: Texture) -> np.ndarray:
    """Apply a drawn texture to an (H, W, 3) uint8 image; a new array of its shape."""
    kind, strength, place, seed = parameter
    reach = max(1, round(REACH * strength * max(image.shape[:2])))
    if kind == "median":
        return cv2.medianBlur(image, 2 * reach + 1)
    if kind in ("dark", "bright"):
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1))
        return (cv2.erode if kind == "dark" else cv2.dilate)(image, element)
    if kind == "sharpen":
        return _sharpen(image, 1 + 3 * strength, NARROWEST * (WIDEST / NARROWEST) ** place)
    if kind == "relief":
        return _relief(image, 2 * strength, 2 * np.pi * place)
    return _lose(image, MOST_MISSING * strength, place, np.random.default_rng(seed))


def _sharpen(image: np.ndarray, gain: float, width: float) -> np.ndarray:
    """Unsharp mask: differences from the surroundings times `gain`; wide surroundings make it local contrast."""
    side = 2 * max(1, round(width * max(image.shape[:2]))) + 1
    around = cv2.blur(cv2.blur(image, (side, side)), (side, side))  # two boxes: a tent, at one cost for every width
    return cv2.addWeighted(image, gain, around, 1 - gain, 0)


def _relief(image: np.ndarray, amount: float, angle: float) -> np.ndarray:
    """Light from the side: the slope in one direction, added to the image."""
    y, x = np.mgrid[-1:2, -1:2].astype(np.float32)
    kernel = np.float32(amount) * (np.cos(angle) * x + np.sin(angle) * y) / 3
    kernel[1, 1] += 1
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def _lose(image: np.ndarray, share: float, place: float, rng: np.random.Generator) -> np.ndarray:
    """`share` of the pixels, or of small blocks, in one colour: black, white, or any, a third each by `place`."""
    height, width = image.shape[:2]
    block = int(rng.integers(1, COARSEST + 1))
    lost = rng.random((-(-height // block), -(-width // block)), dtype=np.float32) < share
    if block > 1:
        lost = lost.repeat(block, 0).repeat(block, 1)[:height, :width]
    colour = (0, 0, 0) if place < 1 / 3 else (255,) * 3 if place < 2 / 3 else rng.integers(0, 256, 3)
    out = image.copy()
    out[lost] = colour
    return out
