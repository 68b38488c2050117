"""ConvNeXt for prediction only: the same function as convnext.py, in fewer and plain TensorFlow operations.

Three things commute with the product beside them, so they are multiplied into its kernel once, in float64, at load
time: the deviation of pixels into the stem, the affine part of a block's LayerNorm into the layer behind it,
LayerScale into the layer before it. What is left of a block, on (images * positions, channels) matrices, TensorFlow
runs on a CPU as two fused
operations: product + bias + GELU, product + bias. It computes without Keras, so it does not depend on Keras' version either.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .convnext import NORM_EPSILON, PIXEL_DEVIATION, PIXEL_MEAN, SIZES
from .framing import OFF, enlarge, frame


def fold(arrays: dict[str, np.ndarray], spec: dict) -> dict[str, np.ndarray]:
    """Weights by the names of `convnext.weight_shapes` -> fewer weights that compute the same, float32."""
    depths, _ = SIZES[spec["size"]]
    folded = dict(arrays)

    # One layer at a time is in float64: of a network of a gigabyte all of them would be two more.
    def wide(name: str) -> np.ndarray:
        return folded.pop(name).astype(np.float64)

    def narrow(name: str, array: np.ndarray) -> None:
        folded[name] = array.astype(np.float32)

    def norm_into(norm: str, layer: str) -> None:
        """(x * gamma + beta) @ kernel + bias = x @ (gamma * kernel) + (bias + beta @ kernel)."""
        gamma, beta, kernel = wide(f"{norm}/gamma"), wide(f"{norm}/beta"), wide(f"{layer}/kernel")
        narrow(f"{layer}/bias", wide(f"{layer}/bias") + beta @ kernel)
        narrow(f"{layer}/kernel", kernel * gamma[:, None])

    scale = 1 / np.array(PIXEL_DEVIATION)
    narrow("stem_conv/kernel", wide("stem_conv/kernel") * scale[:, None])
    # The norms before the downsampling convolutions stay: those pad odd sides with zeros, after the norm.
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name = f"stage_{stage}_block_{block}"
            norm_into(f"{name}_norm", f"{name}_expand")
            gamma = wide(f"{name}_scale/gamma")
            for part in ("kernel", "bias"):
                narrow(f"{name}_project/{part}", wide(f"{name}_project/{part}") * gamma)
    norm_into("head_norm", "logits")
    return {name: array.astype(np.float32, copy=False) for name, array in folded.items()}


def forward(arrays: dict[str, np.ndarray], spec: dict) -> Callable[[tf.Tensor], tf.Tensor]:
    """The network as a function of pixels 0..255 (B, H, W, 3) of any dtype -> logits (B, classes) float32."""
    depths, widths = SIZES[spec["size"]]
    weights = {name: tf.constant(array) for name, array in fold(arrays, spec).items()}
    mean = tf.constant(PIXEL_MEAN, tf.float32)
    framing = {name: spec[name] for name in OFF}

    def convolve(x: tf.Tensor, name: str, strides: int) -> tf.Tensor:
        return tf.nn.bias_add(tf.nn.conv2d(x, weights[f"{name}/kernel"], strides, "SAME"), weights[f"{name}/bias"])

    def multiply(x: tf.Tensor, name: str) -> tf.Tensor:
        return tf.nn.bias_add(tf.matmul(x, weights[f"{name}/kernel"]), weights[f"{name}/bias"])

    def norm(x: tf.Tensor, name: str) -> tf.Tensor:
        return _standardize(x) * weights[f"{name}/gamma"] + weights[f"{name}/beta"]

    def block(x: tf.Tensor, name: str, width: int) -> tf.Tensor:
        branch = tf.nn.depthwise_conv2d(x, weights[f"{name}_depthwise/kernel"], (1, 1, 1, 1), "SAME")
        branch = _standardize(tf.nn.bias_add(branch, weights[f"{name}_depthwise/bias"]))
        # tf.matmul on rank 4 would be a batched product, which TensorFlow does not fuse with what follows.
        branch = tf.nn.gelu(multiply(tf.reshape(branch, (-1, width)), f"{name}_expand"), approximate=False)
        return x + tf.reshape(multiply(branch, f"{name}_project"), tf.shape(x))

    def network(pixels: tf.Tensor) -> tf.Tensor:
        # The mean is subtracted, not folded into the bias: at the border zeros are padded after normalisation.
        x = enlarge(frame(pixels, tf, **framing), tf, spec["upsample"])
        x = convolve(x - mean, "stem_conv", spec["stem_patch"])
        x = norm(x, "stem_norm")
        for stage, (depth, width) in enumerate(zip(depths, widths)):
            if stage:
                x = convolve(norm(x, f"downsample_{stage}_norm"), f"downsample_{stage}_conv", 2)
            for number in range(depth):
                x = block(x, f"stage_{stage}_block_{number}", width)
        return multiply(_standardize(tf.reduce_mean(x, (1, 2))), "logits")

    return network


def _standardize(x: tf.Tensor) -> tf.Tensor:
    """Zero mean and unit deviation over the channels: LayerNorm without its affine part."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    return centred * tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + NORM_EPSILON)
