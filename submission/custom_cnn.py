"""A small CNN to be trained from scratch: convolution blocks, ReLU, global average pooling (or none), dropout.

from submission.custom_cnn import custom_cnn
model = custom_cnn(classes=8, image_shape=(96, 96, 3), depth=3)
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from .convnext import PixelNormalization

MINIMUM_DEPTH = 3


def custom_cnn(
    *,
    classes: int,
    image_shape: Sequence[int | None],
    depth: int = 3,
    filters: int | Sequence[int] = 32,
    kernel: int = 3,
    padding: str = "same",
    pooling: str = "average",
    dropout: float = 0.0,
    seed: int = 0,
    entry: layers.Layer | None = None,
) -> keras.Model:
    """Build the network: pixels 0..255 (B, H, W, 3) -> logits (B, classes) float32.

    Args:
        classes: number of classes.
        image_shape: (H, W, 3) in pixels; H and W may be None, but not where pooling is "flatten".
        depth: number of blocks (convolution, ReLU, 2x2 max pooling), 3 and up.
        filters: filters of the first block, doubled from block to block; or one number a block.
        kernel: side of the convolution kernels in pixels.
        padding: "same" or "valid".
        pooling: of the last features: "average" over the image, or "flatten" for one weight a position.
        dropout: rate before the last layer, 0..1.
        seed: of dropout.
        entry: a layer that the pixels pass first (framing.py).

    Raises ValueError if a setting is outside its range.

    """
    if depth < MINIMUM_DEPTH:
        raise ValueError(f"A custom CNN has at least {MINIMUM_DEPTH} blocks, got depth {depth}; raise it.")
    if pooling == "flatten" and None in image_shape:
        raise ValueError(
            "A custom CNN that flattens its features takes images of one size; train at one resolution, or set pooling average."
        )
    widths = [filters << block for block in range(depth)] if isinstance(filters, int) else list(filters)
    if len(widths) != depth:
        raise ValueError(f"A custom CNN of depth {depth} needs one filter number a block, got {widths}.")
    inputs = keras.Input(tuple(image_shape), dtype="float32", name="pixels")
    x = inputs if entry is None else entry(inputs)
    x = PixelNormalization((127.5,) * 3, (127.5,) * 3, name="normalize")(x)
    for block, width in enumerate(widths):
        x = layers.Conv2D(width, kernel, padding=padding, kernel_initializer="zeros", name=f"block_{block}_conv")(x)
        x = layers.Activation("relu", name=f"block_{block}_relu")(x)
        if block < depth - 1:
            x = layers.MaxPooling2D(2, padding="same", name=f"block_{block}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x) if pooling == "average" else layers.Flatten(name="pool")(x)
    x = layers.Dropout(dropout, seed=seed, name="head_dropout")(x)
    logits = layers.Dense(classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="custom_cnn")
