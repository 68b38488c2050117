"""The elementary operations of AugMix and RandAugment, sorted by what they commute with.

* **table**: a function of a pixel's value (and of the image's histogram). Tables of 256 entries compose, so a chain of
  them costs one lookup. Functions take tables (n, 3, 256) uint8, that is what the chain has done so far to each value
  of each channel.
* **affine**: a matrix of geometry.py. Matrices compose too, and pointwise operations commute with a warp up to its
  interpolation.
* **pixels**: a function of a pixel's three channels (colour matrices, stain). Commutes with a warp, not with a table.
* **image**: needs neighbours or noise; commutes with nothing.

Sources: the list and its ranges are those of AugMix (Hendrycks et al. 2020, appendix C) and RandAugment (Cubuk et al.
2020); equalize, autocontrast, posterize, solarize and sharpness follow Pillow's definitions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from build.augment import degradations, geometry, random_convolution, textures, veils

IDENTITY_TABLE = np.ascontiguousarray(np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 256)))
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Ruifrok and Johnston (2001): optical densities (R, G, B) of haematoxylin, eosin and DAB, here three stain directions
# to jitter along.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
_UNSTAIN = np.linalg.inv(STAINS).astype(np.float32)
_DENSITY = -np.log(np.maximum(np.arange(256, dtype=np.float32), 1) / 255)[None]


def histogram(image: np.ndarray) -> np.ndarray:
    """Counts (3, 256) float32 of each value in each channel of an (H, W, 3) uint8 image."""
    result = np.empty((3, 256), np.float32)
    for channel in range(3):
        result[channel] = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel()
    return result


# --- tables: (n, 3, 256) uint8, parameters (n,) or (n, 3) -> (n, 3, 256) uint8 ----------------------------------------


def posterize(tables: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Keep the highest `bits` (n,) 0..8 of each value."""
    mask = (256 - (1 << (8 - bits.astype(np.int64)))).astype(np.uint8)
    return tables & mask[:, None, None]


def solarize(tables: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Invert values at or above `threshold` (n,) 0..256."""
    return np.where(tables < threshold[:, None, None], tables, ~tables)


def solarize_add(tables: np.ndarray, addition: np.ndarray) -> np.ndarray:
    """Add `addition` (n,) to values below 128."""
    return np.where(tables < 128, _clip(tables + addition[:, None, None]), tables)


def brighten_solarize(tables: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Add parameters[:, 0] to every value, then invert what is at or above parameters[:, 1] (keras_cv's Solarization)."""
    return solarize(_clip(tables + parameters[:, :1, None]), parameters[:, 1])


def invert(tables: np.ndarray, _) -> np.ndarray:
    """255 - value."""
    return ~tables


def brightness(tables: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Add `shift` (n,) or (n, 3), in values."""
    return _clip(tables + shift.reshape(len(shift), -1, 1))


def contrast(tables: np.ndarray, factor: np.ndarray, histograms: np.ndarray) -> np.ndarray:
    """Stretch by `factor` (n,) about the mean of each image."""
    weights = histograms / histograms.sum((1, 2), keepdims=True)
    mean = (tables * weights).sum((1, 2), keepdims=True)
    return _clip(mean + factor[:, None, None] * (tables - mean))


def autocontrast(tables: np.ndarray, _, histograms: np.ndarray, black: np.ndarray | None = None) -> np.ndarray:
    """Stretch each channel so that its darkest value that occurs becomes 0 and its brightest 255.

    `black` (n,): the share of the frame, 0..1, that earlier warps left black.
    """
    present = histograms > 0
    low = np.where(present, tables, 255).min(2, keepdims=True)
    high = np.where(present, tables, 0).max(2, keepdims=True)
    if black is not None:
        low[black > 0] = 0
    low, high = np.where(high > low, low, 0), np.where(high > low, high, 255)
    scale = 255 / (high - low).astype(np.float32)
    # Truncated as in Pillow; the nudge keeps whole numbers from falling below themselves in float32.
    return _clip((tables.astype(np.float32) - low) * scale + 1e-4, rounded=False)


def equalize(tables: np.ndarray, _, histograms: np.ndarray, black: np.ndarray | None = None) -> np.ndarray:
    """Spread each channel's values so that their histogram is flat (Pillow's ImageOps.equalize); `black` as in
    `autocontrast`.
    """
    rows = len(tables) * 3
    pushed = histograms
    if not np.array_equal(tables, np.broadcast_to(IDENTITY_TABLE, tables.shape)):
        slots = tables.reshape(rows, 256) + 256 * np.arange(rows, dtype=np.int64)[:, None]
        pushed = np.bincount(slots.ravel(), weights=histograms.ravel(), minlength=rows * 256).reshape(histograms.shape)
        pushed = pushed.astype(np.float32)
    total = pushed.sum(2, keepdims=True)
    if black is not None and black.any():
        pushed = pushed * (1 - black)[:, None, None]
        pushed[:, :, 0] += black[:, None] * total[:, :, 0]
    last = 255 - (pushed[:, :, ::-1] > 0).argmax(2)
    step = np.floor((total - np.take_along_axis(pushed, last[..., None], 2)) / 255)
    before = np.cumsum(pushed, 2)
    before -= pushed
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = np.floor((np.floor(step / 2) + before) / step)
    lookup = np.where(step > 0, np.minimum(flat, 255), np.arange(256, dtype=np.float32)).astype(np.uint8)
    return np.take_along_axis(lookup, tables.astype(np.intp), 2)


def _clip(values: np.ndarray, *, rounded: bool = True) -> np.ndarray:
    """Values of any type as uint8, cut to 0..255."""
    if rounded and values.dtype.kind == "f":
        values = np.rint(values)
    return np.clip(values, 0, 255).astype(np.uint8)


# --- pixels: (H, W, 3) uint8, parameter -> (H, W, 3) uint8 ------------------------------------------------------------


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the grey image: 0 is grey, 1 the image itself, more is more colourful."""
    return cv2.transform(image, factor * np.eye(3, dtype=np.float32) + (1 - factor) * LUMA)


def hue(image: np.ndarray, angle: float) -> np.ndarray:
    """Turn the colours about the grey axis by `angle` radians (a rotation of RGB space; luminance moves a little)."""
    turned = cv2.Rodrigues(np.full(3, angle / np.sqrt(3)))[0].astype(np.float32)
    return cv2.transform(image, turned)


def channel_shuffle(image: np.ndarray, order: tuple[int, int, int]) -> np.ndarray:
    """Channel order[0] in place of red, order[1] of green, order[2] of blue."""
    return cv2.transform(image, np.eye(3, dtype=np.float32)[list(order)])


def stain(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """Multiply the amount of each of three stains (Tellez et al. 2018): colours change as with another laboratory's
    dyes.

    Optical density = -log(value / 255) is a sum of stain amounts times stain colours; `factors` scale the amounts.
    """
    density = cv2.LUT(image.reshape(len(image), -1), _DENSITY).reshape(image.shape)
    mixing = (_UNSTAIN * np.asarray(factors, np.float32)) @ STAINS
    density = cv2.transform(density, -mixing.T)
    return cv2.convertScaleAbs(cv2.exp(density, dst=density), alpha=255)


# --- image ------------------------------------------------------------------------------------------------------------

_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the smoothed image: 0 is smooth, 1 the image itself, more is sharper (Pillow's
    ImageEnhance.Sharpness).
    """
    kernel = (1 - factor) * _SMOOTH
    kernel[1, 1] += factor
    return cv2.filter2D(image, -1, kernel)


# --- affine: parameter, height, width -> centred matrix ---------------------------------------------------------------


def rotate(angle, height: int, width: int) -> np.ndarray:  # noqa: ARG001 - one signature for all
    """Turn clockwise by `angle` degrees."""
    return geometry.matrices(angle=np.deg2rad(angle))


def shear_x(amount, height: int, width: int) -> np.ndarray:  # noqa: ARG001
    """Shift rows by `amount` pixels a row; (amount, pivot): pivot -1 holds the top row still, 0 the middle one, 1 the
    bottom one.
    """
    amount, pivot = amount
    return geometry.matrices(shear_x=amount, shift_x=-amount * pivot * height / 2)


def shear_y(amount, height: int, width: int) -> np.ndarray:  # noqa: ARG001
    """Shift columns by `amount` pixels a column; pivot as in `shear_x`, left to right."""
    amount, pivot = amount
    return geometry.matrices(shear_y=amount, shift_y=-amount * pivot * width / 2)


def translate_x(share, height: int, width: int) -> np.ndarray:  # noqa: ARG001
    """Shift by a share of the width, in whole pixels."""
    return geometry.matrices(shift_x=np.rint(np.multiply(share, width)))


def translate_y(share, height: int, width: int) -> np.ndarray:  # noqa: ARG001
    """Shift by a share of the height, in whole pixels."""
    return geometry.matrices(shift_y=np.rint(np.multiply(share, height)))


@dataclass(frozen=True)
class Operation:
    """One operation: its kind (table, affine, pixels, image) and the function of that kind."""

    kind: str
    function: Callable
    needs_histogram: bool = False


OPERATIONS = {
    "autocontrast": Operation("table", autocontrast, True),
    "equalize": Operation("table", equalize, True),
    "contrast": Operation("table", contrast, True),
    "posterize": Operation("table", posterize),
    "solarize": Operation("table", solarize),
    "solarize_add": Operation("table", solarize_add),
    "brighten_solarize": Operation("table", brighten_solarize),
    "invert": Operation("table", invert),
    "brightness": Operation("table", brightness),
    "channel_shift": Operation("table", brightness),
    "rotate": Operation("affine", rotate),
    "shear_x": Operation("affine", shear_x),
    "shear_y": Operation("affine", shear_y),
    "translate_x": Operation("affine", translate_x),
    "translate_y": Operation("affine", translate_y),
    "saturation": Operation("pixels", saturation),
    "hue": Operation("pixels", hue),
    "channel_shuffle": Operation("pixels", channel_shuffle),
    "stain": Operation("pixels", stain),
    "sharpness": Operation("image", sharpness),
    "random_convolution": Operation("image", random_convolution.random_convolution),
    "texture": Operation("image", textures.texture),
    "veil": Operation("image", veils.veil),
    "blur": Operation("image", degradations.blur),
    "noise": Operation("image", degradations.noise),
    "jpeg": Operation("image", degradations.jpeg),
    "pixelate": Operation("image", degradations.pixelate),
}
