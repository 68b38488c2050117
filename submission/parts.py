"""The layers that a network is put together from, so that a training can put faster ones of the same weights in their place.

network = build(spec)                # Keras' own layers: any backend, any version
network = build(spec, parts=FAST)    # build/train/fast_layers.py, on a CPU; or build/train/bfloat16_layers.py

Kernels are zero until the network is initialised or loaded (network.py): drawing them here as well is lost work, and JAX compiles a
program for every shape that it draws, two seconds each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import layers

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def gelu(name: str) -> layers.Layer:
    """The exact Gaussian error linear unit (Hendrycks and Gimpel 2016)."""
    return layers.Activation("gelu", name=name)


def dense(units: int, name: str) -> layers.Layer:
    """A product with a matrix and a bias."""
    return layers.Dense(units, kernel_initializer="zeros", name=name)


def expand(units: int, block: str, *, gelu: Callable[[str], layers.Layer] = gelu) -> Callable:
    """`dense` to a block's wider features and their GELU: the layers BLOCK_expand and BLOCK_gelu."""
    product, activation = dense(units, f"{block}_expand"), gelu(f"{block}_gelu")
    return lambda x: activation(product(x))


def pointwise(units: int, name: str) -> layers.Layer:
    """A convolution of 1x1 pixels without a bias."""
    return layers.Conv2D(units, 1, use_bias=False, kernel_initializer="zeros", name=name)


def relu6(name: str) -> layers.Layer:
    """Cut to 0..6 (Krizhevsky 2010)."""
    return layers.ReLU(6.0, name=name)


class BatchNormalization(layers.BatchNormalization):
    """Keras' batch normalization, computed by TensorFlow's fused operation where TensorFlow is the backend.

    Keras composes it of some ten element-wise passes over the features and as many for their gradient; fused, a
    training step on a CPU takes a third less.
    """

    def call(self, inputs, training=None, mask=None):
        """(B, H, W, channels) -> the same shape; a layer that is not trainable keeps and uses its moving statistics."""
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        update = bool(training) and self.trainable
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones_like(self.moving_mean),
            offset=self.beta if self.center else tf.zeros_like(self.moving_mean),
            mean=self.moving_mean,
            variance=self.moving_variance,
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            is_training=update,
        )
        if update:
            # The fused operation divides by n - 1, Keras by n.
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            variance = variance * ((count - 1.0) / count)
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs


class Parts(NamedTuple):
    """Makers of layers, with the arguments of Keras' layers or of the functions above; whatever makes them, their weights have one
    shape and name."""

    depthwise: Callable[..., layers.Layer] = layers.DepthwiseConv2D
    norm: Callable[..., layers.Layer] = layers.LayerNormalization
    dense: Callable[[int, str], Callable] = dense
    expand: Callable[[int, str], Callable] = expand
    pointwise: Callable[[int, str], layers.Layer] = pointwise
    batch_norm: Callable[..., layers.Layer] = BatchNormalization
    relu6: Callable[[str], layers.Layer] = relu6


STANDARD = Parts()
