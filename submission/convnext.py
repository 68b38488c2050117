"""ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s"), written so that a CPU runs it fast.

Depthwise layers are DepthwiseConv2D: the grouped Conv2D of keras.applications computes the same, seven times slower in
training and ten times slower in prediction on a CPU. Every layer bears an explicit name, so a model built twice in one
process, or on another backend, has the same variable names. Nothing here is ever serialised: the network is rebuilt
from its spec.

    from submission.convnext import convnext
    model = convnext(size="atto", classes=8, image_shape=(96, 96, 3))
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from .parts import STANDARD, Parts

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    # size: (blocks in each stage, channels of each stage)
    "atto": ((2, 2, 6, 2), (40, 80, 160, 320)),  # atto .. nano: timm
    "femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),  # tiny .. xlarge: Liu et al. 2022, section 3
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}
NORM_EPSILON = 1e-6
# Mean and standard deviation of ImageNet's channels (R, G, B), pixels 0..255: the published weights were trained so.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_DEVIATION = (58.395, 57.12, 57.375)


def weight_shapes(*, size: str, classes: int, stem_patch: int = 4) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight, in the network's order; told without building it."""
    depths, widths = SIZES[size]
    shapes = _affine("stem_conv", stem_patch, stem_patch, 3, widths[0]) | _norm("stem_norm", widths[0])
    for stage, (depth, width) in enumerate(zip(depths, widths)):
        if stage:
            shapes |= _norm(f"downsample_{stage}_norm", widths[stage - 1])
            shapes |= _affine(f"downsample_{stage}_conv", 2, 2, widths[stage - 1], width)
        for block in range(depth):
            name = f"stage_{stage}_block_{block}"
            shapes |= {f"{name}_depthwise/kernel": (7, 7, width, 1), f"{name}_depthwise/bias": (width,)}
            shapes |= _norm(f"{name}_norm", width)
            shapes |= _affine(f"{name}_expand", width, 4 * width) | _affine(f"{name}_project", 4 * width, width)
            shapes[f"{name}_scale/gamma"] = (width,)
    return shapes | _norm("head_norm", widths[-1]) | _affine("logits", widths[-1], classes)


def _affine(name: str, *kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": kernel, f"{name}/bias": kernel[-1:]}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/gamma": (width,), f"{name}/beta": (width,)}


class PixelNormalization(layers.Layer):
    """Pixels 0..255 of any dtype to zero mean and unit deviation a channel, in float32: 0..255 fills a bfloat16."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float], name: str):
        super().__init__(name=name, dtype="float32", trainable=False)
        self.scale = [1.0 / d for d in deviation]
        self.offset = [-m / d for m, d in zip(mean, deviation)]

    def call(self, pixels):
        """(B, H, W, C) of any dtype -> float32 of the same shape."""
        return ops.cast(pixels, "float32") * ops.convert_to_tensor(self.scale, "float32") + ops.convert_to_tensor(
            self.offset, "float32"
        )

    def compute_output_shape(self, shape):
        """The input's shape."""
        return shape


class Upsampling(layers.Layer):
    """Enlarges images by a factor, bilinear; the sides are rounded to whole pixels."""

    def __init__(self, factor: float, name: str):
        super().__init__(name=name, dtype="float32", trainable=False)
        self.factor = factor

    def call(self, images):
        """(B, H, W, C) -> (B, H * factor, W * factor, C)."""
        if self.factor == 1:
            return images
        return ops.image.resize(images, self.compute_output_shape(images.shape)[1:3], interpolation="bilinear")

    def compute_output_shape(self, shape):
        """Sides times the factor; unknown sides stay unknown."""
        height, width = (side and round(side * self.factor) for side in shape[1:3])
        return (shape[0], height, width, shape[3])


class LayerScale(layers.Layer):
    """A learned factor a channel (Touvron et al. 2021, section 2), near zero at first: a block begins as identity."""

    def __init__(self, initial: float, name: str):
        super().__init__(name=name)
        self.initial = initial

    def build(self, shape):
        """Create gamma, shape (channels,)."""
        self.gamma = self.add_weight(
            name="gamma", shape=(shape[-1],), initializer=keras.initializers.Constant(self.initial)
        )

    def call(self, x):
        """(..., channels) -> the same shape."""
        return x * self.gamma

    def compute_output_shape(self, shape):
        """The input's shape."""
        return shape


class StochasticDepth(layers.Layer):
    """Drops a whole residual branch, for each image of a batch on its own (Huang et al. 2016, section 3)."""

    def __init__(self, rate: float, seed: int, name: str):
        super().__init__(name=name)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=None):
        """(B, ...) -> the same shape; kept branches are divided by 1 - rate, so that prediction needs no factor."""
        if not training or self.rate == 0:
            return x
        keep = 1.0 - self.rate
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        kept = ops.floor(keep + keras.random.uniform(shape, dtype="float32", seed=self.seed_generator))
        return x * ops.cast(kept / keep, x.dtype)

    def compute_output_shape(self, shape):
        """The input's shape."""
        return shape


def convnext(
    *,
    size: str,
    classes: int,
    image_shape: Sequence[int | None],
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    stem_patch: int = 4,
    layer_scale: float = 1e-6,
    upsample: float = 1.0,
    seed: int = 0,
    entry: layers.Layer | None = None,
    parts: Parts = STANDARD,
) -> keras.Model:
    """Build a ConvNeXt: pixels 0..255 (B, H, W, 3) -> logits (B, classes) float32; kernels are zero until initialised.

    Args:
        size: a key of SIZES.
        classes: number of classes.
        image_shape: (H, W, 3) in pixels; H and W may be None. Sides that `stem_patch * 8` does not divide are padded
            with zeros (at such sides keras.applications drops the last rows and columns instead).
        stochastic_depth: rate of the last block, 0..1; earlier ones rise to it linearly from 0 (Huang et al. 2016,
            section 4).
        dropout: rate before the last layer, 0..1.
        stem_patch: 4, or 2 for twice the resolution in every stage (four times the work).
        layer_scale: first value of every LayerScale.
        upsample: factor by which images are enlarged first: filters learned at 224 pixels find structures as large as they know.
        seed: of stochastic depth and dropout.
        entry: a layer that the pixels pass first (framing.py).
        parts: makers of the layers that a training may replace by faster ones (parts.py).

    """
    depths, widths = SIZES[size]
    blocks = sum(depths)
    inputs = keras.Input(tuple(image_shape), dtype="float32", name="pixels")
    x = inputs if entry is None else entry(inputs)
    x = Upsampling(upsample, name="upsample")(x)
    x = PixelNormalization(PIXEL_MEAN, PIXEL_DEVIATION, name="normalize")(x)
    x = layers.Conv2D(
        widths[0], stem_patch, strides=stem_patch, padding="same", kernel_initializer="zeros", name="stem_conv"
    )(x)
    x = parts.norm(epsilon=NORM_EPSILON, name="stem_norm")(x)
    number = 0
    for stage, (depth, width) in enumerate(zip(depths, widths)):
        if stage:
            x = parts.norm(epsilon=NORM_EPSILON, name=f"downsample_{stage}_norm")(x)
            x = layers.Conv2D(
                width, 2, strides=2, padding="same", kernel_initializer="zeros", name=f"downsample_{stage}_conv"
            )(x)
        for block in range(depth):
            rate = stochastic_depth * number / max(blocks - 1, 1)
            x = _block(x, width, f"stage_{stage}_block_{block}", rate, layer_scale, seed + number, parts)
            number += 1
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = parts.norm(epsilon=NORM_EPSILON, name="head_norm")(x)
    x = layers.Dropout(dropout, seed=seed + number, name="head_dropout")(x)
    # float32 whatever the precision policy says: a softmax over bfloat16 logits has two significant digits.
    logits = layers.Dense(classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="convnext")


def _block(x, width: int, name: str, rate: float, layer_scale: float, seed: int, parts: Parts):
    branch = parts.depthwise(7, padding="same", depthwise_initializer="zeros", name=f"{name}_depthwise")(x)
    branch = parts.norm(epsilon=NORM_EPSILON, name=f"{name}_norm")(branch)
    branch = parts.expand(4 * width, name)(branch)
    branch = parts.dense(width, f"{name}_project")(branch)
    branch = LayerScale(layer_scale, name=f"{name}_scale")(branch)
    branch = StochasticDepth(rate, seed, name=f"{name}_drop")(branch)
    return layers.Add(name=f"{name}_add")([x, branch])
