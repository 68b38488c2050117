"""Blur and loss of detail. Every function: (image uint8 (H, W, 3), level, *, rng) -> uint8 (H, W, 3).

Lengths are in pixels of the image as given; in functions named `..._relative` they are pixels of an image of
224 px (ImageNet-C's) and shrink or grow with the image's shorter side. Tiny-ImageNet-C, made by the same authors for 64
px, has radii of .5 to 3 where ImageNet-C has 3 to 10: what this rule gives (.9 to 2.9).
"""

import math
from functools import lru_cache

import cv2
import numpy as np

REFERENCE_SIDE = 224


def unit(image: np.ndarray) -> float:
    """Pixels of this image for one pixel at 224 px."""
    return min(image.shape[:2]) / REFERENCE_SIDE


def blur_gaussian(image, sigma, *, rng):
    """Gaussian of `sigma` pixels."""
    del rng
    return cv2.GaussianBlur(image, (0, 0), sigma)


def blur_gaussian_relative(image, sigma, *, rng):
    """Gaussian of `sigma` pixels of a 224 px image."""
    return blur_gaussian(image, sigma * unit(image), rng=rng)


@lru_cache(maxsize=64)
def disc(radius: float, alias_blur: float) -> np.ndarray:
    """A disc that sums to 1, its edge softened by a 3x3 (radius > 8: 5x5) Gaussian; (k, k) float32.

    A radius below 2 pixels, which a small image gives, counts the share of each pixel that the disc covers: whole
    pixels would make every radius below 1 the same, no blur at all.
    """
    reach = math.ceil(radius) + (1 if radius <= 8 else 2)
    parts = 1 if radius >= 2 else 16
    step = (np.arange((2 * reach + 1) * parts) + 0.5) / parts - reach - 0.5
    covered = (step[:, None] ** 2 + step**2 <= radius**2).astype(np.float32)
    sharp = covered.reshape(2 * reach + 1, parts, 2 * reach + 1, parts).mean(axis=(1, 3))
    side = 3 if radius <= 8 else 5
    return cv2.GaussianBlur(sharp / sharp.sum(), (side, side), alias_blur, borderType=cv2.BORDER_CONSTANT)


def blur_defocus(image, level, *, rng):
    """Convolution with a disc of level = (radius in pixels, sigma of its edge)."""
    del rng
    return cv2.filter2D(image, -1, disc(*level))


def blur_defocus_relative(image, level, *, rng):
    """`blur_defocus` with the radius in pixels of a 224 px image."""
    radius, alias_blur = level
    return blur_defocus(image, (radius * unit(image), alias_blur), rng=rng)


def motion_path(radius: float, sigma: float, angle: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Weights (n,) float32 summing to 1 and integer offsets (dy, dx) along a line, as in ImageMagick's motion blur.

    n = 2 * ceil(radius) + 1; the weights are one half of a Gaussian, so the streak has a head and a tail. angle in
    degrees.
    """
    count = 2 * math.ceil(radius) + 1
    steps = np.arange(count)
    weights = np.exp(-(steps**2) / (2 * sigma**2)).astype(np.float32)
    along = math.radians(angle)
    offsets = [(math.ceil(i * math.sin(along) - 0.5), math.ceil(i * math.cos(along) - 0.5)) for i in range(count)]
    return weights / weights.sum(), offsets


def streak(image: np.ndarray, radius: float, sigma: float, angle: float) -> np.ndarray:
    """Smear an image along one direction; borders repeat the edge."""
    weights, offsets = motion_path(radius, sigma, angle)
    height, width = image.shape[:2]
    reach = max(max(abs(dy), abs(dx)) for dy, dx in offsets)
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE).astype(np.float32)
    total = np.zeros(image.shape, np.float32)
    for weight, (dy, dx) in zip(weights, offsets, strict=True):
        window = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
        cv2.scaleAdd(window, float(weight), total, total)
    return cv2.convertScaleAbs(total)


def blur_motion(image, level, *, rng):
    """A streak of level = (radius, sigma) in pixels at an angle drawn from +-45 degrees."""
    return streak(image, *level, angle=rng.uniform(-45, 45))


def blur_motion_relative(image, level, *, rng):
    """`blur_motion` with lengths in pixels of a 224 px image."""
    return blur_motion(image, tuple(length * unit(image) for length in level), rng=rng)


def blur_zoom(image, level, *, rng):
    """Mean of the image and its enlargements about the centre by 1, 1 + step, ... below the largest; level = (largest, step)."""
    del rng
    largest, step = level
    height, width = image.shape[:2]
    total = image.astype(np.float32)
    factors = np.arange(1, largest, step)
    for factor in factors:
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, float(factor))
        enlarged = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        cv2.accumulate(enlarged, total)
    return cv2.convertScaleAbs(total, alpha=1 / (len(factors) + 1))


def blur_glass(image, level, *, rng):
    """Gaussian blur, pixels jittered by up to `reach` several times, Gaussian blur.

    Level = (sigma, reach, times) at 224 px.

    The paper's code swaps neighbours one after the other; here all pixels of a pass take a neighbour's value at once
    (bilinear, so that reaches below one pixel of a small image have an effect): the same look without a loop over
    pixels.
    """
    sigma, reach, times = level
    sigma, reach = sigma * unit(image), reach * unit(image)
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    shattered = cv2.GaussianBlur(image, (0, 0), sigma)
    for _ in range(times):
        jitter = (2 * rng.random((2, height, width), dtype=np.float32) - 1) * np.float32(reach)
        shattered = cv2.remap(
            shattered, x + jitter[0], y + jitter[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return cv2.GaussianBlur(shattered, (0, 0), sigma)


def pixelate(image, factor, *, rng):
    """Shrunk to `factor` of its sides by averaging and enlarged again in blocks."""
    del rng
    height, width = image.shape[:2]
    small = (max(1, int(width * factor)), max(1, int(height * factor)))
    return cv2.resize(
        cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )


def compress_jpeg(image, quality, *, rng):
    """Through JPEG at `quality` (1..100), colour at half resolution."""
    del rng
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, int(quality)))
    assert done
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def sharpen(image, factor, *, rng):
    """Blend with a smoothed image as Pillow's Sharpness: above 1 sharper, below 1 smoother."""
    del rng
    smooth = cv2.filter2D(image, -1, np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13)
    return cv2.addWeighted(image, factor, smooth, 1 - factor, 0)
