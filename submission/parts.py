"""The layers that a network is put together from, so that a training can put faster ones of the same weights in their place.

network = build(spec)                # Keras' own layers: any backend, any version
network = build(spec, parts=FAST)    # build/train/fast_layers.py, on a CPU
"""

from collections.abc import Callable
from typing import NamedTuple

from keras import layers


def gelu(name: str) -> layers.Layer:
    """The exact Gaussian error linear unit (Hendrycks and Gimpel 2016)."""
    return layers.Activation("gelu", name=name)


class Parts(NamedTuple):
    """Makers of layers, with the arguments of Keras' layers; what they make has the same weights by the same names."""

    depthwise: Callable[..., layers.Layer] = layers.DepthwiseConv2D
    norm: Callable[..., layers.Layer] = layers.LayerNormalization
    gelu: Callable[[str], layers.Layer] = gelu


STANDARD = Parts()
