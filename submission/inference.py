"""From a weights file to labels: rebuilds its network or networks, predicts batch by batch, averages views and members.

    from submission.inference import Predictor
    predictor = Predictor("weights.npz")
    labels = predictor.labels(images)        # (n, H, W, 3) pixels 0..255 -> (n,) int64

Memory does not grow with n beyond the images and the logits: every batch is sliced, converted and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import keras
import numpy as np

from . import contract, convnext, efficientnet_lite, ensemble
from .network import assign, build, complete, variables
from .views import COUNTS, SYMMETRIES, Deadline
from .views import views as views_of
from .weights import WeightsError, load

BATCH = 64
NORMALISED, BRIGHTER = 4.0, 0.001
"""Floats of which at most the share BRIGHTER is above NORMALISED are pixels of 0..1: noise and contrast go beyond 1, an infinity or a hot
pixel far beyond it, and of 0..255 such images would be black."""
FOLDED = {
    # network: (module with `forward`, its weights' shapes, the settings that these depend on)
    "convnext": ("folded_convnext", convnext.weight_shapes, ("size", "classes", "stem_patch")),
    "efficientnet-lite": ("folded_efficientnet_lite", efficientnet_lite.weight_shapes, ("size", "classes")),
}
"""Networks that plain TensorFlow computes faster than their layers do; imported only there, since JAX has no use for them."""


class Predictor:
    """A trained network or an ensemble of several, ready to predict."""

    def __init__(self, path: str | Path, *, views: int | None = None, batch: int = BATCH):
        """Load the network that `path` holds.

        Args:
            path: a file of submission/weights.py whose meta has "spec" (or "members", submission/ensemble.py), and "views",
                "seconds" (that all predictions may take together) and "images" (of all of them) unless the defaults do.
            views: 1, 2, 4, 8 or 16 views an image (submission/views.py), whose logits are averaged; None takes the
                file's, else 1. They become fewer where the file's seconds would not suffice.
            batch: images a batch, at least 1.

        Raises WeightsError (a ValueError) with one sentence if the file is missing, damaged or holds another network.

        """
        members, meta = read(path)
        self._shares = meta[ensemble.SHARES]
        self.spec = members[0][0]
        self.views = int(views or meta.get("views") or 1)
        self.batch = batch
        height, width, _ = contract.IMAGE_SHAPE
        if self.views not in COUNTS:
            raise WeightsError(f"Expected {', '.join(map(str, COUNTS[:-1]))} or {COUNTS[-1]} views, got {self.views}.")
        if self.views >= len(SYMMETRIES) and height != width:
            raise WeightsError(f"Quarter turns need square images, got {height} x {width} pixels; use at most 4 views.")
        self.deadline = Deadline(meta.get("seconds"), self.views, expected=meta.get("images", 0))
        self._networks = [_engine(forward(spec, arrays, path)) for spec, arrays in members]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) pixels 0..255, uint8 or any float, contiguous or not, n >= 0 -> (n, classes) float32.

        Floats of which hardly any is above 4 (NORMALISED, BRIGHTER) are taken for pixels 0..1: of 0..255 they would be nearly black.

        Raises ValueError with one sentence if the shape or the dtype is another.
        """
        images = contract.check_images(images)
        scale = self._scale(images)
        logits = np.zeros((len(images), self.spec["classes"]), np.float32)
        for start in range(0, len(images), self.batch):
            pixels = self._prepare(images[start : start + self.batch], scale)
            rows = slice(start, min(start + self.batch, len(images)))
            count, before = self.deadline.views(len(images) - start), self.deadline.clock()
            for view in views_of(pixels, count):
                for network, share in zip(self._networks, self._shares):
                    logits[rows] += share * network(view)[: rows.stop - start]
                now = self.deadline.clock()
                self.deadline.spend(now - before, len(pixels))
                before = now
            self.deadline.answered(len(images[rows]))
            logits[rows] /= count
        return logits

    def labels(self, images: np.ndarray) -> np.ndarray:
        """As `logits`, but the class of the largest logit: (n,) int64."""
        return np.argmax(self.logits(images), axis=1).astype(np.int64)

    def _scale(self, images: np.ndarray) -> float:
        """What pixels are to be multiplied by to be 0..255; looks no further than the first batch that is not of 0..1."""
        lit = False
        for start in range(0, len(images) if images.dtype.kind == "f" else 0, self.batch):
            pixels = images[start : start + self.batch]
            if np.count_nonzero(pixels > NORMALISED) > BRIGHTER * pixels.size:
                return 1.0
            lit = lit or bool((pixels > 0).any())
        return float(contract.PIXEL_MAX) if lit else 1.0

    def _prepare(self, images: np.ndarray, scale: float) -> np.ndarray:
        """One batch as the network takes it: uint8 as it is, else float32; padded with black images to a power of two.

        Padding keeps the shapes few, so that a GPU's tuning is not repeated for every n; powers of two keep one image
        cheap.
        """
        count = min(self.batch, 1 << (len(images) - 1).bit_length())
        pixels = np.zeros((count, *images.shape[1:]), np.uint8 if images.dtype == np.uint8 else np.float32)
        pixels[: len(images)] = images if scale == 1 else images * scale
        return pixels


def read(path: str | Path) -> tuple[list[tuple[dict, dict[str, np.ndarray]]], dict]:
    """The members of a weights file, each (complete spec, arrays), and the file's meta, with the "shares" of all members.

    Raises WeightsError with one sentence if the file is missing, damaged, or its networks do not fit the contract.
    """
    arrays, meta = load(path)
    try:
        members = [(complete(member["spec"]), held) for held, member in ensemble.split(arrays, meta)]
        if not members:
            raise ValueError("it has no members")
        shares = ensemble.shares_of(meta, len(members))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"The weights file {path} does not say which network it holds ({error}); save it with a spec."
        ) from error
    expected = len(contract.CLASSES), list(contract.IMAGE_SHAPE)
    for spec, _ in members:
        shape = spec["image_shape"]
        fits = len(shape) == len(expected[1]) and all(a in (None, b) for a, b in zip(shape, expected[1]))
        if spec["classes"] != expected[0] or not fits:
            raise WeightsError(
                f"The weights file {path} holds a network for {spec['classes']} classes and images "
                f"{spec['image_shape']}, the contract asks for {expected[0]} classes and images {expected[1]}; "
                "train one for this contract."
            )
    return members, meta | {ensemble.SHARES: shares}


def forward(spec: dict, arrays: dict[str, np.ndarray], path: str | Path) -> Callable:
    """The network as a function of a batch's tensor (B, H, W, 3) of any dtype -> logits (B, classes) float32.

    Raises WeightsError if the arrays, read from `path`, are not the spec's.
    """
    if keras.backend.backend() == "tensorflow" and spec["network"] in FOLDED:
        module, shapes, settings = FOLDED[spec["network"]]
        _check_names(arrays, shapes(**{name: spec[name] for name in settings}), path)
        return import_module(f".{module}", __package__).forward(arrays, spec)
    model = build(spec, initialize=False)
    targets = variables(model)
    _check_names(arrays, {name: tuple(target.shape) for name, target in targets.items()}, path)
    assign(model, arrays)
    model.trainable = False
    return model


def _engine(network: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """A function of tensors, made by `forward`, as one of arrays: (B, H, W, 3) uint8 or float32 -> (B, classes) float32."""
    if keras.backend.backend() != "tensorflow":
        return network.predict_on_batch

    import tensorflow as tf

    settings = {"training": False} if isinstance(network, keras.Model) else {}

    def inference(pixels):  # no lambda: TensorFlow looks for the source of what it traces
        return network(pixels, **settings)

    # One trace a dtype, whatever the batch. No XLA: on a CPU it makes depthwise convolutions ten times slower.
    @cache
    def traced(dtype: np.dtype):
        signature = tf.TensorSpec((None, *contract.IMAGE_SHAPE), dtype)
        return tf.function(inference, jit_compile=False).get_concrete_function(signature)

    return lambda pixels: traced(pixels.dtype)(tf.constant(pixels)).numpy()


def _check_names(arrays: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], path: str | Path) -> None:
    """Raise WeightsError unless `arrays` has exactly the weights of `shapes`."""
    missing, foreign = sorted(shapes.keys() - arrays.keys()), sorted(arrays.keys() - shapes.keys())
    wrong = [name for name in shapes if name in arrays and arrays[name].shape != shapes[name]]
    if missing or foreign or wrong:
        problem = (
            f"lacks {missing[0]}"
            if missing
            else f"has {foreign[0]} too"
            if foreign
            else f"has another shape of {wrong[0]}"
        )
        raise WeightsError(
            f"The weights file {path} is of another network than its spec says: it {problem}; save it again."
        )
