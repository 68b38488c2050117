"""EfficientNet-Lite for prediction only: the same function as efficientnet_lite.py, in fewer and plain TensorFlow operations.

Each batch normalization is an affine map of its convolution's channels, so it is multiplied into the kernel once, in
float64, at load time, and the deviation of pixels into the stem's. What is left, TensorFlow runs on a CPU as one fused
operation a layer: convolution + bias + ReLU6. It computes without Keras, so it does not depend on Keras' version either.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from .efficientnet_lite import EXPANSIONS, NORM_EPSILON, PIXEL_DEVIATION, PIXEL_MEAN, SIZES, STRIDES
from .framing import OFF, enlarge, frame

LAST_OF_STRIDE_16 = 4
"""The stage (counted from 0) after which the last halving comes."""


def fold(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights by the names of efficientnet_lite.py -> NAME/kernel and NAME/bias of every layer, float32."""
    folded = {name: arrays[name].astype(np.float32) for name in ("logits/kernel", "logits/bias")}
    for name in [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]:
        if name == "logits":
            continue
        gamma, beta, mean, variance = (
            arrays[f"{name}_norm/{part}"].astype(np.float64)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        factor = gamma / np.sqrt(variance + NORM_EPSILON)
        # A depthwise kernel ends in (channels, 1), any other in its output channels.
        along = factor[:, None] if name.endswith("_depthwise") else factor
        if name == "stem":
            along = along / np.array(PIXEL_DEVIATION)[:, None]
        # One layer at a time is in float64: of a large network all of them would be twice its memory.
        folded[f"{name}/kernel"] = (arrays[f"{name}/kernel"] * along).astype(np.float32)
        folded[f"{name}/bias"] = (beta - mean * factor).astype(np.float32)
    return folded


def forward(arrays: dict[str, np.ndarray], spec: dict) -> Callable[[tf.Tensor], tf.Tensor]:
    """The network as a function of pixels 0..255 (B, H, W, 3) of any dtype -> logits (B, classes) float32."""
    weights = {name: tf.constant(array) for name, array in fold(arrays).items()}
    body = _body(weights, spec)

    def network(pixels: tf.Tensor) -> tf.Tensor:
        x = tf.reduce_mean(body(pixels)[1], (1, 2))
        return tf.nn.bias_add(tf.matmul(x, weights["logits/kernel"]), weights["logits/bias"])

    return network


def features(arrays: dict[str, np.ndarray], spec: dict) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Pixels -> the last features at a stride of 16 pixels (B, H/16, W/16, ·) and at 32 (B, H/32, W/32, 1280), float32."""
    return _body({name: tf.constant(array) for name, array in fold(arrays).items()}, spec)


def _body(weights: dict[str, tf.Tensor], spec: dict) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    depths, widths = SIZES[spec["size"]].depths, SIZES[spec["size"]].widths
    mean = tf.constant(PIXEL_MEAN, tf.float32)
    framing = {name: spec[name] for name in OFF}

    def convolve(x: tf.Tensor, name: str, strides: int = 1) -> tf.Tensor:
        return tf.nn.bias_add(tf.nn.conv2d(x, weights[f"{name}/kernel"], strides, "SAME"), weights[f"{name}/bias"])

    def block(x: tf.Tensor, stage: int, number: int) -> tf.Tensor:
        name, strides = f"stage_{stage}_block_{number}", 1 if number else STRIDES[stage]
        branch = tf.nn.relu6(convolve(x, f"{name}_expand")) if EXPANSIONS[stage] > 1 else x
        kernel, bias = (weights[f"{name}_depthwise/{part}"] for part in ("kernel", "bias"))
        branch = tf.nn.depthwise_conv2d(branch, kernel, (1, strides, strides, 1), "SAME")
        branch = convolve(tf.nn.relu6(tf.nn.bias_add(branch, bias)), f"{name}_project")
        return branch if strides > 1 or x.shape[-1] != widths[stage] else x + branch

    def body(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = enlarge(frame(pixels, tf, **framing), tf, spec["upsample"])
        # The mean is subtracted, not folded into the bias: at the border zeros are padded after normalisation.
        x = tf.nn.relu6(convolve(tf.cast(x, tf.float32) - mean, "stem", 2))
        middle = x
        for stage, depth in enumerate(depths):
            for number in range(depth):
                x = block(x, stage, number)
            if stage == LAST_OF_STRIDE_16:
                middle = x
        return middle, tf.nn.relu6(convolve(x, "top"))

    return body
