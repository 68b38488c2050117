"""Movements of the image. Every function: (image uint8 (H, W, 3), level, *, rng) -> uint8 (H, W, 3).

A `Movement` is made with the way in which the empty border is filled. Magnitudes are drawn from [3/4, 1] of the level
with a random direction, so that a severity means about the same damage for every image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

BORDERS = {
    "black": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "wrap": cv2.BORDER_WRAP,
}


def draw(level: float, rng: np.random.Generator) -> float:
    """A magnitude in [3/4, 1] of the level, with a random sign."""
    return float(rng.choice((-1, 1)) * rng.uniform(0.75 * level, level))


def about_centre(matrix: np.ndarray, height: int, width: int, shift=(0.0, 0.0)) -> np.ndarray:
    """The 2x2 `matrix` as a 3x3 homography of pixels about the image's centre, then a shift (x, y) in pixels."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    full = np.eye(3)
    full[:2, :2] = matrix
    full[:2, 2] = centre - matrix @ centre + np.asarray(shift)
    return full


def rotation(level, height, width, rng):
    """Turn by +- level degrees."""
    angle = np.radians(draw(level, rng))
    return about_centre(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), height, width)


def translation(level, height, width, rng):
    """Shift by a share `level` of the side in a random direction."""
    angle, length = rng.uniform(0, 2 * np.pi), abs(draw(level, rng))
    return about_centre(np.eye(2), height, width, (width * length * np.cos(angle), height * length * np.sin(angle)))


def scale(level, height, width, rng):
    """Enlarge or shrink by the factor `level` (> 1)."""
    return about_centre(np.eye(2) * np.exp(draw(np.log(level), rng)), height, width)


def shear(level, height, width, rng):
    """Slant by +- level degrees along one of the axes."""
    slant, matrix = np.tan(np.radians(draw(level, rng))), np.eye(2)
    matrix[(0, 1) if rng.random() < 0.5 else (1, 0)] = slant
    return about_centre(matrix, height, width)


def perspective(level, height, width, rng):
    """Every corner moved by up to a share `level` of the sides."""
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    moves = rng.choice((-1, 1), (4, 2)) * rng.uniform(0.75 * level, level, (4, 2)) * (width, height)
    return cv2.getPerspectiveTransform(corners, (corners + moves).astype(np.float32))


def warp(image: np.ndarray, homography: np.ndarray, border: str) -> np.ndarray:
    """Move pixels forward by a 3x3 homography, bilinear; `border` is a key of BORDERS."""
    height, width = image.shape[:2]
    affine = np.array_equal(homography[2], (0, 0, 1))
    move, matrix = (cv2.warpAffine, homography[:2]) if affine else (cv2.warpPerspective, homography)
    return move(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=BORDERS[border])


@dataclass(frozen=True)
class Movement:
    """A movement with its border, callable as a corruption. border "any" draws one of BORDERS for each image."""

    kind: Callable
    border: str

    def __call__(self, image, level, *, rng):
        """Draw the movement, then apply it."""
        homography = self.kind(level, *image.shape[:2], rng)
        border = tuple(BORDERS)[rng.integers(len(BORDERS))] if self.border == "any" else self.border
        return warp(image, homography, border)


def deform(image, level, *, rng):
    """Elastic deformation (Simard et al. 2003): level = (amplitude, smoothness), shares of the shorter side.

    Uniform displacements smoothed by a Gaussian, times the amplitude; borders reflect. No affine part, as in
    Michaelis et al. 2019, whose levels grow where ImageNet-C's do not.
    """
    height, width = image.shape[:2]
    amplitude, smoothness = (value * min(height, width) for value in level)
    field = 2 * rng.random((2, height, width), dtype=np.float32) - 1
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = [
        start + np.float32(amplitude) * cv2.GaussianBlur(part, (0, 0), smoothness, borderType=cv2.BORDER_REFLECT)
        for start, part in zip((x, y), field, strict=True)
    ]
    return cv2.remap(image, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
