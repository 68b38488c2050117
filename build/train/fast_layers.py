"""Layers that train faster on a CPU under TensorFlow, with the weights and the answers of Keras' own.

    network = submission.network.build(spec, parts=FAST)

A training step of ConvNeXt on a CPU spends most of its time in passes over memory, not in arithmetic. Keras composes a GELU of six
such passes and its gradient of nine, a layer normalization of eight and its gradient of twelve; here each is one or two, compiled by
XLA (the step as a whole is not: XLA's own convolutions are slow on a CPU). TensorFlow's gradient of a depthwise kernel of 5x5 and
more takes milliseconds however small the features are; where they are small it is a matrix product a channel instead. A pointwise
convolution is a matrix product too, whose gradient takes less than a convolution's. `nox -s bench -- train` has the figures.
"""

import math
from functools import cache, partial

import keras
import numpy as np
import tensorflow as tf

from submission.parts import Parts, expand

LARGEST_MAP = 12 * 12
"""Positions of the features up to which the kernel's gradient is computed as a product: of larger ones the product has too many."""
SMALLEST_KERNEL = 5
"""Side of the kernel from which on that is faster than TensorFlow's own gradient."""


def compiled(function):
    """A function of tensors, compiled by XLA into one pass."""
    return tf.function(function, jit_compile=True, autograph=False)


# --- GELU -----------------------------------------------------------------------------------------------------------


def gelu(x):
    """The exact GELU of float32; for use within a compiled function."""
    return 0.5 * x * (1.0 + tf.math.erf(x * math.sqrt(0.5)))


def gelu_slope(x):
    """Its derivative."""
    return 0.5 * (1.0 + tf.math.erf(x * math.sqrt(0.5))) + x * tf.exp(-0.5 * x * x) / math.sqrt(math.tau)


@compiled
def _gelu(x):
    return tf.cast(gelu(tf.cast(x, tf.float32)), x.dtype)


@compiled
def _gelu_gradient(x, upstream):
    return tf.cast(tf.cast(upstream, tf.float32) * gelu_slope(tf.cast(x, tf.float32)), x.dtype)


@tf.custom_gradient
def _fused_gelu(x):
    return _gelu(x), lambda upstream: _gelu_gradient(x, upstream)


class Gelu(keras.layers.Layer):
    """The exact GELU: (...) -> the same shape."""

    def call(self, x):
        """Keeps its input only; the gradient computes the rest again."""
        return _fused_gelu(x)

    def compute_output_shape(self, shape):
        """The input's shape."""
        return shape


# --- layer normalization --------------------------------------------------------------------------------------------


@compiled
def _normalized(x, gamma, beta, epsilon):
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(wide, -1, keepdims=True)
    centered = wide - mean
    scale = tf.math.rsqrt(tf.reduce_mean(centered * centered, -1, keepdims=True) + epsilon)
    return tf.cast(centered * scale * gamma + beta, x.dtype), mean, scale


@compiled
def _normalized_gradient(x, gamma, mean, scale, upstream):
    """Of x, gamma and beta (Ba, Kiros and Hinton 2016, supplement)."""
    above = tf.cast(upstream, tf.float32)
    unit = (tf.cast(x, tf.float32) - mean) * scale
    inner = above * gamma
    mean_of = lambda values: tf.reduce_mean(values, -1, keepdims=True)  # noqa: E731
    gradient = scale * (inner - mean_of(inner) - unit * mean_of(inner * unit))
    rows = list(range(x.shape.rank - 1))
    return tf.cast(gradient, x.dtype), tf.reduce_sum(above * unit, rows), tf.reduce_sum(above, rows)


class LayerNormalization(keras.layers.LayerNormalization):
    """Over the last axis: (..., channels) -> the same shape."""

    def call(self, x):
        """Statistics in float32, as Keras has them."""

        @tf.custom_gradient
        def normalized(x, gamma, beta):
            outputs, mean, scale = _normalized(x, gamma, beta, self.epsilon)
            return outputs, lambda upstream: _normalized_gradient(x, gamma, mean, scale, upstream)

        return normalized(
            x,
            tf.cast(tf.convert_to_tensor(self.gamma), tf.float32),
            tf.cast(tf.convert_to_tensor(self.beta), tf.float32),
        )


# --- depthwise convolution ------------------------------------------------------------------------------------------


@cache
def _meetings(height: int, width: int, side: int) -> np.ndarray:
    """(positions of the input * positions of the output, side * side) of 0 and 1: which element of the kernel joins them."""
    rows, columns, reach = np.arange(height), np.arange(width), (side - 1) // 2
    offsets = np.arange(side) - reach
    vertical = rows[:, None, None] == rows[None, :, None] + offsets  # input row, output row, kernel row
    horizontal = columns[:, None, None] == columns[None, :, None] + offsets
    joined = np.einsum("abi,cdj->acbdij", vertical, horizontal)
    return joined.reshape(-1, side * side).astype(np.float32)


def kernel_gradient(x, upstream, side: int):
    """(B, H, W, C) input and upstream gradient -> (side, side, C, 1): for every channel the product of all positions with all, summed."""
    height, width, channels = x.shape[1:]
    positions = height * width
    left = tf.transpose(tf.reshape(x, (-1, positions, channels)), (2, 1, 0))
    right = tf.transpose(tf.reshape(upstream, (-1, positions, channels)), (2, 0, 1))
    products = tf.reshape(tf.cast(left @ right, tf.float32), (channels, positions * positions))
    sums = products @ tf.constant(_meetings(height, width, side))
    return tf.reshape(tf.transpose(sums), (side, side, channels, 1))


class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """(B, H, W, C) -> (B, H', W', C)."""

    def call(self, x):
        """Keras' own, with another gradient of the kernel where the features are small."""
        if not self.by_product(x):
            return super().call(x)

        @tf.custom_gradient
        def convolved(x, kernel):
            def gradient(upstream):
                return (
                    tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                        input_sizes=tf.shape(x),
                        filter=kernel,
                        out_backprop=upstream,
                        strides=[1, 1, 1, 1],
                        padding="SAME",
                    ),
                    tf.cast(kernel_gradient(x, upstream, self.kernel_size[0]), kernel.dtype),
                )

            return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME"), gradient

        outputs = convolved(x, tf.convert_to_tensor(self.kernel))
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias)) if self.use_bias else outputs

    def by_product(self, x) -> bool:
        """Whether the kernel's gradient for features like x is a product: where they are small and the kernel is not."""
        height, width = x.shape[1:3]
        plain = self.strides == (1, 1) and self.dilation_rate == (1, 1) and self.padding == "same"
        plain &= self.depth_multiplier == 1 and self.kernel_size[0] == self.kernel_size[1] >= SMALLEST_KERNEL
        return bool(plain and height and width and height * width <= LARGEST_MAP)


# --- pointwise convolution ------------------------------------------------------------------------------------------


class PointwiseConv2D(keras.layers.Conv2D):
    """(B, H, W, C) -> (B, H, W, units), without a bias."""

    def __init__(self, units: int, name: str, **kwargs):
        super().__init__(units, 1, use_bias=False, kernel_initializer="zeros", name=name, **kwargs)

    def call(self, x):
        """One product of all positions with the kernel."""
        rows, matrix = tf.reshape(x, (-1, x.shape[-1])), tf.convert_to_tensor(self.kernel)[0, 0]
        return tf.reshape(rows @ matrix, (-1, *x.shape[1:-1], self.filters))


FAST = Parts(
    depthwise=DepthwiseConv2D,
    norm=LayerNormalization,
    expand=partial(expand, gelu=lambda name: Gelu(name=name)),
    pointwise=PointwiseConv2D,
)
