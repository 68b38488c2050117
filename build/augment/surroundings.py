"""The object of an image among other surroundings: on the background of another image, as large as it was or smaller.

Another laboratory's picture holds the same cell among other cells, and more of them where its frame is wider; a network that judges
by what lies around the object fails there. Backgrounds exchanged at random are "Mixed-Rand" of Xiao et al. 2021 (Noise or Signal,
section 2), who cut objects out along their outlines. Here the object is a soft disc about the middle, where the competition's images
have it: no outline needs to be known. Labels stay.
"""

from functools import lru_cache

import cv2
import numpy as np

from build.augment import geometry

RADII = (0.34, 0.52)
"""Of the disc that is taken for the object, shares of the smaller side: from most of an object to all of it and what touches it."""
HIDDEN = 0.36
"""Of the disc in which another image's own object is hidden."""
SOFTNESS = 0.06
"""Width of a disc's edge, a share of the smaller side."""
OTHER_SCALE = 1.25
"""Largest factor, either way, between the background's scale and the object's."""


def exchange(images: np.ndarray, *, probability: float, zoom: float, rng: np.random.Generator) -> np.ndarray:
    """(B, H, W, 3) uint8 images, each by `probability` on the background of another one of them; a new array.

    zoom: objects that are moved become smaller by a factor from 1 to 1 + zoom, even in the logarithm, and the background with them, by
    OTHER_SCALE more or less.
    """
    result = images.copy()
    count = len(images)
    if count < 2:
        return result
    rows = np.flatnonzero(rng.random(count) < probability)
    draws = zip(
        rows.tolist(),
        ((rows + rng.integers(1, count, len(rows))) % count).tolist(),
        np.exp(rng.random(len(rows)) * np.log1p(zoom)).tolist(),
        rng.uniform(*RADII, len(rows)).tolist(),
        rng.uniform(0, 2 * np.pi, len(rows)).tolist(),
        np.exp(rng.uniform(-1, 1, len(rows)) * np.log(OTHER_SCALE)).tolist(),
        strict=True,
    )
    for row, other, smaller, radius, angle, scale in draws:
        field = _shrink(background(images[other]), smaller * scale, angle)
        result[row] = _lay(_shrink(images[row], smaller), field, radius / smaller)
    return result


def background(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 image with its middle hidden under its bottom right corner, mirrored; a new array.

    Of objects that reach further than HIDDEN a rim stays.
    """
    height, width = image.shape[:2]
    top, left = height // 2, width // 2
    # Half an image further, mirrored at the border: the middle is what was a corner, the object is in the corners.
    corners = cv2.copyMakeBorder(image[top:, left:], 0, top, 0, left, cv2.BORDER_REFLECT_101)
    return _lay(corners, image, HIDDEN)


def _shrink(image: np.ndarray, factor: float, angle: float = 0.0) -> np.ndarray:
    """Turned by `angle` (radians) about the middle and made smaller by `factor`; what lies outside is mirrored."""
    if factor > 1.2:  # pixels left out would flicker
        image = cv2.GaussianBlur(image, (0, 0), 0.35 * factor)
    matrix = geometry.matrices(angle=angle, scale_x=1 / factor, scale_y=1 / factor)
    return geometry.warp(image, matrix, border="reflect")


def _lay(image: np.ndarray, field: np.ndarray, radius: float) -> np.ndarray:
    """`field` with the disc of `image` about the middle; a new array."""
    share = np.clip(0.5 + (radius - _distances(*image.shape[:2])) / SOFTNESS, 0, 1, dtype=np.float32)
    return cv2.blendLinear(image, field, share, 1 - share)


@lru_cache(maxsize=16)
def _distances(height: int, width: int) -> np.ndarray:
    """(H, W) float32: how far each pixel is from the middle, in smaller sides."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) / min(height, width)).astype(np.float32)
