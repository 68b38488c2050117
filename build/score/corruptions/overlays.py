"""What lies over the cell. Every function: (image uint8 (H, W, 3), level, *, rng) -> uint8 (H, W, 3)."""

import cv2
import numpy as np


def occlude(image, share, *, rng):
    """A rectangle of `share` of the area, side ratio 1:2 to 2:1, in one drawn grey (DeVries & Taylor 2017, cutout)."""
    height, width = image.shape[:2]
    ratio = np.exp(rng.uniform(-np.log(2), np.log(2)) / 2)
    tall = min(height, max(1, round(height * np.sqrt(share) * ratio)))
    wide = min(width, max(1, round(width * np.sqrt(share) / ratio)))
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    covered = image.copy()
    covered[top : top + tall, left : left + wide] = rng.integers(0, 256)
    return covered


def mask_grid(image, share, *, rng):
    """Black squares in a grid over `share` of the area, period 1/6..1/3 of the side (Chen et al. 2020, GridMask)."""
    height, width = image.shape[:2]
    period = max(2, round(min(height, width) * rng.uniform(1 / 6, 1 / 3)))
    hole = max(1, round(period * np.sqrt(share)))
    rows = (np.arange(height) + rng.integers(period)) % period < hole
    columns = (np.arange(width) + rng.integers(period)) % period < hole
    masked = image.copy()
    masked[np.ix_(rows, columns)] = 0
    return masked


def deposit_stain(image, level, *, rng):
    """One to n black marks of dried stain with ragged edges; level = (n, radius in pixels).

    Di Salvo et al. 2024 paste ten scanned marks of 24 or 32 px; here a mark is drawn: a disc whose radius, within a
    fifth of the level's, wobbles with the angle in four harmonics. The edge is a pixel soft and the middle lets up to
    15 % of the light through.
    """
    most, reach = level
    height, width = image.shape[:2]
    light = np.ones((height, width), np.float32)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    for _ in range(int(rng.integers(1, most + 1))):
        radius = reach * rng.uniform(0.8, 1.2)
        centre = rng.uniform((0.1 * width, 0.1 * height), (0.9 * width, 0.9 * height))
        waves, phases = rng.normal(0, 0.35, 4) / np.arange(1, 5), rng.uniform(0, 2 * np.pi, 4)
        wobble = 1 + waves @ np.cos(np.outer(np.arange(1, 5), angles) + phases[:, None])
        outline = centre + (radius * np.maximum(wobble, 0.3))[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(light, [np.rint(outline).astype(np.int32)], rng.uniform(0, 0.15))
    light = cv2.GaussianBlur(light, (3, 3), 0.8)
    return cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def add_bubbles(image, level, *, rng):
    """7 to n pale bubbles of radius 3 to r pixels with a brighter rim of 2 px; level = (r, n) (Di Salvo et al. 2024).

    Opacity 100/255 inside and 130/255 on the rim, of white; later bubbles replace earlier ones where they overlap.
    """
    largest, most = level
    height, width = image.shape[:2]
    largest = max(3, min(largest, (min(height, width) - 1) // 2))
    opacity = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(7, most + 1))):
        radius = int(rng.integers(3, largest + 1))
        x, y = int(rng.integers(radius, width - radius + 1)), int(rng.integers(radius, height - radius + 1))
        cv2.circle(opacity, (x, y), radius + 2, 130, cv2.FILLED)
        cv2.circle(opacity, (x, y), radius, 100, cv2.FILLED)
    rest = cv2.merge([cv2.bitwise_not(opacity)] * 3)
    return cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(image), rest, scale=1 / 255))
