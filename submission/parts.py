"""The layers that a network is put together from, so that a training can put faster ones of the same weights in their place.

network = build(spec)                # Keras' own layers: any backend, any version
network = build(spec, parts=FAST)    # build/train/fast_layers.py, on a CPU; or build/train/bfloat16_layers.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keras import layers


def gelu(name: str) -> layers.Layer:
    """The exact Gaussian error linear unit (Hendrycks and Gimpel 2016)."""
    return layers.Activation("gelu", name=name)


def dense(units: int, name: str) -> layers.Layer:
    """A product with a matrix and a bias; the kernel is zero until the network is initialised."""
    return layers.Dense(units, kernel_initializer="zeros", name=name)


def expand(units: int, block: str, *, gelu: Callable[[str], layers.Layer] = gelu) -> Callable:
    """`dense` to a block's wider features and their GELU: the layers BLOCK_expand and BLOCK_gelu."""
    product, activation = dense(units, f"{block}_expand"), gelu(f"{block}_gelu")
    return lambda x: activation(product(x))


class Parts(NamedTuple):
    """Makers of layers, with the arguments of Keras' layers or of the functions above; whatever makes them, their weights have one
    shape and name."""

    depthwise: Callable[..., layers.Layer] = layers.DepthwiseConv2D
    norm: Callable[..., layers.Layer] = layers.LayerNormalization
    dense: Callable[[int, str], Callable] = dense
    expand: Callable[[int, str], Callable] = expand


STANDARD = Parts()
