"""keras.applications' networks as sources of weights for ours (submission/applications.py): where they are published, and how they map.

    arrays = DONORS["resnet50"].arrays(keras.applications.ResNet50(weights=None), None)   # by our names, in our layout

Ours are rebuilt from the same graphs, so names and shapes are the same; what differs is the preprocessing before the first kernel.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np

from build.errors import UserError
from submission.applications import APPLICATIONS, stable_names
from submission.convnext import PIXEL_DEVIATION, PIXEL_MEAN
from submission.network import variables

STORE = "https://storage.googleapis.com/tensorflow/keras-applications"
PUBLISHED = {
    (network, None): (f"{address}.h5", digest)
    for network, address, digest in (
        (
            "mobilenet-v3-large",
            f"{STORE}/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2",
            "07fb09a5933dd0c8eaafa16978110389",
        ),
        (
            "resnet50",
            f"{STORE}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop",
            "4d473c1dd8becc155b73f8504c6f6626",
        ),
        (
            "xception",
            f"{STORE}/xception/xception_weights_tf_dim_ordering_tf_kernels_notop",
            "b0042744bf5b25fce3cb969f33bebb97",
        ),
        (
            "inception-v3",
            f"{STORE}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop",
            "bcbd6486424b2319ff4ef7d526e38f63",
        ),
        (
            "efficientnet-b0",
            "https://storage.googleapis.com/keras-applications/efficientnetb0_notop",
            "50bc09e76180e00e4465e1a485ddc09d",
        ),
        (
            "efficientnet-b4",
            "https://storage.googleapis.com/keras-applications/efficientnetb4_notop",
            "ebc24e6d6c33eaebbd558eafbeedf1ba",
        ),
    )
}
"""(network, None) -> URL and MD5 of the files without top."""
TOPS = ("predictions", "conv_2", "logits")
"""Layers of the tops, which ours do not have."""


class Donor(NamedTuple):
    """A family of networks of keras.applications, as a source of weights."""

    constructor: Callable[[str | None], Callable[..., keras.Model]]
    """Size -> the function of keras.applications."""
    arrays: Callable[[keras.Model, str | None], dict[str, np.ndarray]]
    """(its network, size) -> the arrays by our names and in our layout; of a top only what ours has too."""
    top: Callable[[str | None, int], list[tuple[int, ...]]]
    """(size, classes) -> shapes of the arrays that a top adds."""
    entry: tuple[tuple[int, ...], ...] = ()
    """Shapes of the arrays of its preprocessing, which ours does not have."""


def _arrays(network: str, source: keras.Model, _: None) -> dict[str, np.ndarray]:
    names = stable_names(source)
    found = {}
    for key, variable in variables(source).items():
        layer, _, weight = key.partition("/")
        found[f"{names.get(layer, layer)}/{weight}"] = variable.numpy()
    entry = {key: found.pop(key) for key in list(found) if key.startswith("normalization")}
    if entry:
        _check_entry(network, *entry.values())
    if network == "resnet50":  # it was trained on (B, G, R), ours takes (R, G, B)
        found["conv1_conv/kernel"] = found["conv1_conv/kernel"][:, :, ::-1]
    return {key: array for key, array in found.items() if key.split("/")[0] not in TOPS}


def _check_entry(network: str, mean: np.ndarray, variance: np.ndarray, *_: np.ndarray) -> None:
    """Raise UserError unless an EfficientNet's file normalizes pixels as ours does.

    The published files hold the standard deviation where the variance belongs (tensorflow#49930); keras.applications makes up for
    it by a layer that has no weights. A network that somebody has trained anew may hold either.
    """
    expected = np.array(PIXEL_DEVIATION) / 255
    same = any(np.allclose(variance, wanted, atol=1e-3) for wanted in (expected, expected**2))
    if not same or not np.allclose(mean, np.array(PIXEL_MEAN) / 255, atol=1e-3):
        raise UserError(
            f"The weights of {network} expect pixels of mean {_told(mean)} and variance "
            f"{_told(variance)}, not ImageNet's; give the published file, or one fine-tuned from it."
        )


def _top(network: str, _: None, classes: int) -> list[tuple[int, ...]]:
    if network == "mobilenet-v3-large":
        return [(1, 1, 960, 1280), (1280,), (1, 1, 1280, classes), (classes,)]
    features = {"efficientnet-b0": 1280, "efficientnet-b4": 1792}.get(network, 2048)
    return [(features, classes), (classes,)]


def _constructor(network: str, _: None) -> Callable[..., keras.Model]:
    return getattr(keras.applications, APPLICATIONS[network].constructor)


DONORS = {
    network: Donor(
        partial(_constructor, network),
        partial(_arrays, network),
        partial(_top, network),
        ((3,), (3,), ()) if network.startswith("efficientnet") else (),
    )
    for network in APPLICATIONS
}


def _told(channels: np.ndarray) -> list[float]:
    """Three decimals of each channel; float32 would be told with all that it cannot hold."""
    return [round(float(value), 3) for value in np.ravel(channels)]
