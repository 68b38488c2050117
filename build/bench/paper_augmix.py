"""AugMix as its paper describes it (Hendrycks et al. 2020), one operation after the other: what the benchmark compares ours with.

draws = augmix.draw(len(images), severity=3.0, alpha=1.0, width=3, depth=0, rng=rng)
with_pillow(images, draws)      # the paper's own library
with_opencv(images, draws)      # what a straightforward port reaches
"""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageOps

from build.augment.augmix import NAMES, NOTHING, Draws


def with_pillow(images: np.ndarray, draws: Draws) -> np.ndarray:
    """AugMix as the paper describes it, in Pillow, from our draws: every operation by itself, float mixing. (B, H, W,
    3) uint8.
    """
    return np.stack([_mix(image, draws, i, _pillow_operation) for i, image in enumerate(images)])


def with_opencv(images: np.ndarray, draws: Draws) -> np.ndarray:
    """The same in OpenCV: what a straightforward port reaches."""
    return np.stack([_mix(image, draws, i, _opencv_operation) for i, image in enumerate(images)])


def _mix(image: np.ndarray, draws: Draws, i: int, operation: Callable) -> np.ndarray:
    mixed = draws.weights[i, 0] * image.astype(np.float32)
    for j, weight in enumerate(draws.weights[i, 1:]):
        chain = image
        for name, level, sign in zip(draws.operations[i, j], draws.levels[i, j], draws.signs[i, j], strict=True):
            if name != NOTHING:
                chain = operation(chain, NAMES[name], float(level), float(sign))
        mixed += weight * chain
    return np.rint(mixed).astype(np.uint8)


def _affine(name: str, level: float, sign: float, height: int, width: int) -> tuple[float, ...]:
    """Pillow's six numbers, result to source, (x, y) from the top left corner."""
    if name == "rotate":
        angle = sign * np.deg2rad(30 * level)
        a, b = np.cos(angle), np.sin(angle)
        x, y = width / 2, height / 2
        return (a, b, x - a * x - b * y, -b, a, y + b * x - a * y)
    return {
        "shear_x": (1, sign * 0.3 * level, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, sign * 0.3 * level, 1, 0),
        "translate_x": (1, 0, int(sign * level * width / 3), 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, int(sign * level * height / 3)),
    }[name]


def _pillow_operation(image: np.ndarray, name: str, level: float, sign: float) -> np.ndarray:
    picture = Image.fromarray(image)
    if name == "autocontrast":
        picture = ImageOps.autocontrast(picture)
    elif name == "equalize":
        picture = ImageOps.equalize(picture)
    elif name == "posterize":
        picture = ImageOps.posterize(picture, 4 - int(4 * level))
    elif name == "solarize":
        picture = ImageOps.solarize(picture, 256 - int(256 * level))
    else:
        matrix = _affine(name, level, sign, *image.shape[:2])
        picture = picture.transform(picture.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _opencv_operation(image: np.ndarray, name: str, level: float, sign: float) -> np.ndarray:
    height, width = image.shape[:2]
    values = np.arange(256)
    if name == "autocontrast":
        return cv2.merge([cv2.normalize(plane, None, 0, 255, cv2.NORM_MINMAX) for plane in cv2.split(image)])
    if name == "equalize":
        return cv2.merge([cv2.equalizeHist(plane) for plane in cv2.split(image)])
    if name == "posterize":
        return cv2.LUT(image, (values & (256 - (16 << int(4 * level)))).astype(np.uint8))
    if name == "solarize":
        return cv2.LUT(image, np.where(values < 256 - int(256 * level), values, 255 - values).astype(np.uint8))
    matrix = np.reshape(_affine(name, level, sign, height, width), (2, 3)).astype(float)
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # OpenCV counts from the centre of a pixel
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
