"""From a spec (a JSON-able dict) to a network: pixels 0..255 in, logits out.

The spec travels inside the weights file and is all that is needed to rebuild the network on the server; no layer is
serialised.

    from submission.network import build
    model = build({"network": "convnext", "size": "atto", "classes": 8, "image_shape": [96, 96, 3]})

Runs on the TensorFlow and the JAX backend (KERAS_BACKEND), and with Keras 3.4.1 and TensorFlow 2.17: no newer calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial

import keras
import numpy as np
from keras import layers

from .applications import APPLICATIONS, WIDTHS, application
from .convnext import SIZES, convnext
from .custom_cnn import custom_cnn
from .efficientnet_lite import SIZES as LITE_SIZES
from .efficientnet_lite import efficientnet_lite
from .framing import OFF, check, framing
from .parts import STANDARD, Parts
from .weights import DEPTHWISE_KERNELS, KERNELS

COMMON = {"classes": None, "image_shape": None, "dropout": 0.0, "l1": 0.0, "l2": 0.0, "seed": 0} | OFF
"""Settings of every network, with their defaults; None marks those without one."""
NETWORKS = {
    "convnext": COMMON
    | {"size": "atto", "stochastic_depth": 0.0, "stem_patch": 4, "layer_scale": 1e-6, "upsample": 1.0},
    "efficientnet-lite": COMMON | {"size": "lite0", "stochastic_depth": 0.0, "upsample": 1.0},
    "custom-cnn": COMMON | {"depth": 3, "filters": 32, "kernel": 3, "padding": "same", "pooling": "average"},
}
NETWORKS |= {
    name: COMMON | {"width": 1.0} | ({"stochastic_depth": 0.0} if name.startswith("efficientnet") else {})
    for name in APPLICATIONS
}
MADE_OF_PARTS = ("convnext", "efficientnet-lite")
STEM_PATCHES = (2, 4)
LARGEST_UPSAMPLE = 8
PADDINGS = ("same", "valid")
POOLINGS = ("average", "flatten")
CONVNEXT_DEVIATION = 0.02


def complete(spec: dict) -> dict:
    """Return `spec` with every setting of its network filled in, and without those of other networks.

    Raises ValueError with one sentence if the network is unknown or a setting is missing or outside its range.
    """
    network = spec.get("network")
    if network not in NETWORKS:
        raise ValueError(f"Expected a network among {', '.join(NETWORKS)}, got {network!r}.")
    known = {setting for defaults in NETWORKS.values() for setting in defaults}
    if unknown := sorted(set(spec) - known - {"network"}):
        raise ValueError(
            f"A network's spec has no setting named {', '.join(unknown)}; known are {', '.join(sorted(known))}."
        )
    full = {"network": network} | {name: spec.get(name, default) for name, default in NETWORKS[network].items()}
    if missing := [name for name, value in full.items() if value is None]:
        raise ValueError(f"A network's spec needs {' and '.join(missing)}, e.g. classes 8 and image_shape [96, 96, 3].")
    if "size" in full and full["size"] not in _SIZES[network]:
        raise ValueError(f"Expected a size of {network} among {', '.join(_SIZES[network])}, got {full['size']!r}.")
    if network == "convnext" and full["stem_patch"] not in STEM_PATCHES:
        raise ValueError(f"Expected stem_patch 2 or 4, got {full['stem_patch']!r}.")
    if not 1 <= full.get("upsample", 1) <= LARGEST_UPSAMPLE:
        raise ValueError(f"Expected upsample in 1..{LARGEST_UPSAMPLE}, got {full['upsample']!r}.")
    if not WIDTHS[0] <= full.get("width", 1) <= WIDTHS[1]:
        raise ValueError(f"Expected width in {WIDTHS[0]}..{WIDTHS[1]}, got {full['width']!r}.")
    if full.get("kernel", 1) < 1:
        raise ValueError(f"Expected a kernel of at least 1 pixel, got {full['kernel']!r}.")
    if full.get("padding", "same") not in PADDINGS or full.get("pooling", "average") not in POOLINGS:
        raise ValueError(
            f"Expected padding {' or '.join(PADDINGS)} and pooling {' or '.join(POOLINGS)}, got {full['padding']!r} and "
            f"{full['pooling']!r}."
        )
    sides = [side for side in full["image_shape"][:2] if side]
    if sides and min(sides) < smallest_side(network):
        raise ValueError(
            f"The network {network} needs images of at least {smallest_side(network)} x {smallest_side(network)} pixels, "
            f"got {full['image_shape'][0]} x {full['image_shape'][1]}; choose another network or a larger side."
        )
    check(full)
    for rate in ("dropout", "stochastic_depth"):
        if not 0 <= full.get(rate, 0) < 1:
            raise ValueError(f"Expected {rate} in 0..1 (1 excluded), got {full[rate]!r}.")
    return full


def smallest_side(network: str) -> int:
    """The smallest side of an image in pixels that a network can take."""
    return APPLICATIONS[network].smallest_side if network in APPLICATIONS else 1


def build(spec: dict, *, initialize: bool = True, parts: Parts = STANDARD) -> keras.Model:
    """Build the network that `spec` describes: pixels 0..255 (B, H, W, 3) of any dtype -> logits (B, classes) float32.

    Args:
        spec: "network", "classes", "image_shape" ([H, W, 3], H and W may be None) and the settings in NETWORKS.
        initialize: draw the first kernels from spec["seed"] (the same on every backend); False leaves that out for a
            network whose weights are loaded at once.
        parts: makers of the layers that a training may replace by faster ones; keras.applications' networks have their own.

    Raises ValueError as `complete` does.

    """
    full = complete(spec)
    settings = {name: value for name, value in full.items() if name not in ("network", "l1", "l2", *OFF)}
    if full["network"] in MADE_OF_PARTS:
        settings["parts"] = parts
    model = _BUILDERS[full["network"]](**settings, entry=framing(full))
    if full["l1"] or full["l2"]:
        # On the variables, so that it also works for a network that keras.applications has built.
        for variable in kernels(model).values():
            variable.regularizer = keras.regularizers.L1L2(l1=full["l1"], l2=full["l2"])
    if initialize:
        _initialize(model, CONVNEXT_DEVIATION if full["network"] == "convnext" else None, full["seed"])
    return model


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Every weight, in model order, by a name that no Keras version, backend or layer counter alters: LAYER/WEIGHT."""
    named = {f"{layer.name}/{weight.name}": weight for layer in leaves(model) for weight in layer.weights}
    assert len(named) == len(model.weights), "two weights share one name"
    return named


def assign(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Give every weight the array of its name in `variables`, of the same shape."""
    for name, variable in variables(model).items():
        variable.assign(arrays[name])


def kernels(model: keras.Model) -> dict[str, keras.Variable]:
    """The convolution and dense kernels among `variables`: what is regularised, drawn at random and quantised."""
    return {name: weight for name, weight in variables(model).items() if name.endswith(KERNELS)}


def leaves(model: keras.Model) -> Iterator[layers.Layer]:
    """The layers of a model, and of the models within it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def _initialize(model: keras.Model, deviation: float | None, seed: int) -> None:
    """Truncated normal kernels: of one deviation (ConvNeXt, appendix A.1), or for None He et al. 2015, section 2.2."""
    rng = np.random.default_rng(seed)
    for name, variable in kernels(model).items():
        shape = variable.shape
        depthwise = name.endswith(DEPTHWISE_KERNELS)
        fan_in = math.prod(shape[:2]) if depthwise else math.prod(shape[:-1])
        draw = rng.standard_normal(shape, dtype=np.float32)
        while (outside := np.abs(draw) > 2).any():
            draw[outside] = rng.standard_normal(np.count_nonzero(outside), dtype=np.float32)
        variable.assign(draw * np.float32(deviation or math.sqrt(2 / fan_in) / 0.8796))


_SIZES = {"convnext": SIZES, "efficientnet-lite": LITE_SIZES}
_BUILDERS = {
    "convnext": convnext,
    "efficientnet-lite": efficientnet_lite,
    "custom-cnn": custom_cnn,
} | {name: partial(application, name) for name in APPLICATIONS}
