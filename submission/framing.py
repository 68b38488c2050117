"""What a network sees of an image: its middle, its edges blurred. The first thing in every network that asks for it.

A cell lies in the middle; what surrounds it are parts of other cells and, in a perturbed image, what a warp has left. Both
operations are linear and separable, so each is one product with a matrix an axis: the same numbers in Keras, on any backend,
as in plain TensorFlow, where `frame` is called with `tf` instead of `keras.ops`.

    layer = framing({"crop": 0.8, "edge_blur": 2.0, "edge_radius": 0.7})    # None where both are off
    x = inputs if layer is None else layer(inputs)
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from keras import layers, ops

from .views import cropping

OFF = {"crop": 1.0, "edge_blur": 0.0, "edge_radius": 0.8}
"""Settings of every network. crop: share of each side that is kept, from the middle, and enlarged to the whole. edge_blur:
standard deviation in pixels (of the images as they come) of a Gaussian, outside a disc of edge_radius (share of half the smaller side)."""
SMALLEST_CROP = 0.1
LARGEST_BLUR = 32.0
TRANSITION = 0.25
"""Width of the ring in which the untouched disc goes over into the blurred edge, as a share of half the smaller side."""


class Framing(layers.Layer):
    """Images (B, H, W, C) of fixed sides -> the same shape, float32, in the same range."""

    def __init__(self, crop: float, edge_blur: float, edge_radius: float, name: str = "framing"):
        super().__init__(name=name, dtype="float32", trainable=False)
        self.settings = {"crop": crop, "edge_blur": edge_blur, "edge_radius": edge_radius}

    def call(self, images):
        """(B, H, W, C) of any dtype -> float32 of the same shape."""
        return frame(images, ops, **self.settings)

    def compute_output_shape(self, shape):
        """The input's shape."""
        return shape


def framing(settings: dict) -> Framing | None:
    """The layer for a complete spec (or any dict with the keys of OFF), None where nothing is to be done."""
    chosen = {name: settings[name] for name in OFF}
    return Framing(**chosen) if chosen["crop"] < 1 or chosen["edge_blur"] > 0 else None


def check(settings: dict) -> None:
    """Raise ValueError with one sentence where a setting is outside its range."""
    for name, low, high in (("crop", SMALLEST_CROP, 1.0), ("edge_blur", 0.0, LARGEST_BLUR), ("edge_radius", 0.0, 2.0)):
        if not low <= settings[name] <= high:
            raise ValueError(f"Expected {name} in {low}..{high}, got {settings[name]!r}.")


def frame(images, backend: ModuleType, *, crop: float, edge_blur: float, edge_radius: float):
    """Crop, then blur the edges of images (B, H, W, C), H and W known; `backend`: keras.ops or tensorflow. Returns float32."""
    height, width = images.shape[1:3]
    images = backend.cast(images, "float32")
    if crop < 1:
        images = _along_both(images, cropping(height, crop), cropping(width, crop), backend)
    if edge_blur > 0:
        kept = disc(height, width, edge_radius)[:, :, None]
        blurred = _along_both(images, blurring(height, edge_blur), blurring(width, edge_blur), backend)
        images = images * kept + blurred * (1 - kept)
    return images


def enlarge(images, tf: ModuleType, factor: float):
    """Images (B, H, W, C) at sides times `factor`, rounded to whole pixels, bilinear; as they are for a factor of 1. tf: tensorflow."""
    if factor == 1:
        return images
    sides = tf.cast(tf.round(tf.cast(tf.shape(images)[1:3], tf.float32) * factor), tf.int32)
    return tf.image.resize(images, sides)


def blurring(side: int, deviation: float) -> np.ndarray:
    """(side, side) float32: a Gaussian of that deviation in pixels; at the border its weights within the image add up to 1."""
    distance = np.arange(side)[:, None] - np.arange(side)
    weight = np.exp(-0.5 * (distance / deviation) ** 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def disc(height: int, width: int, radius: float) -> np.ndarray:
    """(height, width) float32: 1 within `radius` of the middle, 0 from radius + TRANSITION on, a smooth step between."""
    half = min(height, width) / 2
    rows, columns = ((np.arange(side) + 0.5 - side / 2) / half for side in (height, width))
    beyond = np.clip((np.hypot(rows[:, None], columns) - radius) / TRANSITION, 0, 1)
    return (1 - beyond**2 * (3 - 2 * beyond)).astype(np.float32)


def _along_both(images, rows: np.ndarray, columns: np.ndarray, backend: ModuleType):
    """Images (B, H, W, C), (H, H) and (W, W) -> (B, H, W, C): rows @ image @ columns.T in every channel."""
    height, width, channels = images.shape[1:]
    # One large product an axis: width and channels are taken together, a batch of products with 3 columns would crawl.
    flat = backend.reshape(images, (-1, width * channels))
    flat = backend.matmul(flat, np.kron(columns.T, np.eye(channels, dtype=np.float32)))
    flat = backend.matmul(rows, backend.reshape(flat, (-1, height, width * channels)))
    return backend.reshape(flat, (-1, height, width, channels))
