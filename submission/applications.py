"""The published networks of keras.applications, at any width: ResNet50, Xception, InceptionV3, EfficientNet, MobileNetV3.

keras.applications lays out the graph; it is rebuilt here layer by layer, so that every layer has a name that no counter
alters, a width other than the published one can be had, and batch normalization is the fused one. What a network expects
of its pixels is a layer at its entry, in float32. The graph is laid out for images of open size, so a network trained on
smaller images first pads as the final one does.

    from submission.applications import application
    model = application("resnet50", classes=8, image_shape=(96, 96, 3), width=0.25)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from .convnext import PIXEL_DEVIATION, PIXEL_MEAN, PixelNormalization, StochasticDepth
from .parts import BatchNormalization


@dataclass(frozen=True)
class Application:
    """What differs between the networks."""

    constructor: str
    """Its name in keras.applications."""
    smallest_side: int
    """In pixels: its strides and unpadded convolutions leave nothing of a smaller image."""
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """Of the pixels 0..255 (R, G, B) that its published weights expect: (pixel - mean) / deviation."""
    settings: tuple[tuple[str, object], ...] = ()
    """More arguments of the constructor."""


_UNIT = (127.5,) * 3
APPLICATIONS = {
    # Caffe's preprocessing; its order of the channels (B, G, R) is undone in the first kernel where weights are loaded.
    "resnet50": Application("ResNet50", 32, (123.68, 116.779, 103.939), (1.0,) * 3),
    "xception": Application("Xception", 71, _UNIT, _UNIT),
    "inception-v3": Application("InceptionV3", 75, _UNIT, _UNIT),
    "efficientnet-b0": Application("EfficientNetB0", 32, PIXEL_MEAN, PIXEL_DEVIATION),
    "efficientnet-b4": Application("EfficientNetB4", 32, PIXEL_MEAN, PIXEL_DEVIATION),
    "mobilenet-v3-large": Application("MobileNetV3Large", 32, _UNIT, _UNIT, (("include_preprocessing", False),)),
}
WIDTHS = (0.05, 4.0)
"""The narrowest and the widest that can be asked for, as factors on the published numbers of filters."""
CHANNEL_MULTIPLE = 8
PUBLISHED_STOCHASTIC_DEPTH = 0.2
"""EfficientNet's rate of the last block in keras.applications; earlier blocks follow linearly from 0."""
NORM_MOMENTUM = 0.99
"""For all of them. MobileNetV3's .999 needs some 5,000 steps before its statistics can be predicted with, more than a short
training has; prediction does not depend on it."""


def application(
    network: str,
    *,
    classes: int,
    image_shape: Sequence[int | None],
    width: float = 1.0,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    seed: int = 0,
    entry: layers.Layer | None = None,
) -> keras.Model:
    """Build a network of keras.applications: pixels 0..255 (B, H, W, 3) -> logits (B, classes) float32.

    Args:
        network: a key of APPLICATIONS.
        classes: number of classes.
        image_shape: (H, W, 3) in pixels; H and W may be None.
        width: factor on every layer's number of filters, in WIDTHS; 1 is the published network.
        stochastic_depth: EfficientNet's rate of the last block, 0..1 (Huang et al. 2016).
        dropout: rate before the last layer, 0..1.
        seed: of stochastic depth and dropout.
        entry: a layer that the pixels pass first (framing.py).

    """
    kind = APPLICATIONS[network]

    def normalization(name: str) -> layers.Layer:
        return PixelNormalization(kind.mean, kind.deviation, name=name)

    x = keras.Input((None, None, 3), dtype="float32")
    x = x if entry is None else layers.Identity(name=entry.name)(x)
    published = getattr(keras.applications, kind.constructor)(
        input_tensor=normalization("normalize")(x), include_top=False, weights=None, **dict(kind.settings)
    )
    names = stable_names(published)
    drops = 0

    def rebuild(layer: layers.Layer) -> layers.Layer:
        nonlocal drops
        name = names.get(layer.name, layer.name)
        if isinstance(layer, layers.Identity):
            return entry
        if isinstance(layer, PixelNormalization):
            return normalization(name)
        if isinstance(layer, (layers.Rescaling, layers.Normalization)):
            return layers.Identity(name=name)  # EfficientNet's own preprocessing; ours is done in float32
        config = layer.get_config() | {"name": name}
        if isinstance(layer, layers.Dropout):
            drops += 1
            return StochasticDepth(config["rate"] / PUBLISHED_STOCHASTIC_DEPTH * stochastic_depth, seed + drops, name)
        if isinstance(layer, layers.BatchNormalization):
            return BatchNormalization.from_config(config | {"momentum": NORM_MOMENTUM})
        if "filters" in config:
            config["filters"] = scaled(config["filters"], width)
        if isinstance(layer, layers.Reshape):  # of squeeze-and-excitation: (1, 1, channels)
            config["target_shape"] = (1, 1, scaled(config["target_shape"][-1], width))
        return type(layer).from_config(config)

    inputs = keras.Input(tuple(image_shape), dtype="float32", name="pixels")
    body = keras.models.clone_model(published, input_tensors=[inputs], clone_function=rebuild)
    x = layers.GlobalAveragePooling2D(name="pool")(body.outputs[0])
    x = layers.Dropout(dropout, seed=seed, name="head_dropout")(x)
    # float32 whatever the precision policy says: a softmax over bfloat16 logits has two significant digits.
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=network.replace("-", "_"))


def scaled(filters: int, width: float) -> int:
    """The number of filters at that width: a multiple of 8, at least 8; narrower networks never get more than published."""
    if width == 1:
        return filters
    number = max(CHANNEL_MULTIPLE, round(filters * width / CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE)
    return min(number, filters) if width < 1 else number


def stable_names(model: keras.Model) -> dict[str, str]:
    """Names of layers that Keras counted through the whole process (conv2d_17) -> names counted within the network."""
    counted: dict[str, dict[int, str]] = {}
    for layer in model.layers:
        base = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        if found := re.fullmatch(rf"{base}(?:_(\d+))?", layer.name):
            counted.setdefault(base, {})[int(found[1] or 0)] = layer.name
    return {
        numbered[number]: f"{base}_{position}"
        for base, numbered in counted.items()
        for position, number in enumerate(sorted(numbered))
    }
