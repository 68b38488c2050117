"""Grad-CAM (Selvaraju et al. 2017, section 3): where in an image a network found the evidence for a class.

    explain = explainer(Path("weights.npz"))
    heat = explain(images, labels)      # (n, H, W, 3) uint8, (n,) int64 -> (n, h, w) float32 in 0..1
    heat, called = explain.look(images) # of the class that the network calls each image

Works for every network of the kit, nested ones too: the layer that is looked at is found by running the network, not by
its name. TensorFlow only, since it needs the gradients of inner layers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from build.errors import UserError

if TYPE_CHECKING:
    import keras

SMALLEST_SIDE = 6
"""Maps of at least this side are looked at: a ConvNeXt's final 3x3 maps of a 96-pixel image show a corner of the image,
but no part of a cell."""
BATCH = 32
"""Images whose layers are held at once for their gradients."""


def possible() -> bool:
    """Whether keras runs on TensorFlow here: the maps need its gradients."""
    import keras

    return keras.backend.backend() == "tensorflow"


def explainer(weights_path: Path) -> "GradCam":
    """The Grad-CAM of the network in a weights file, of its first one if it holds several; UserError where it cannot be read."""
    from submission import contract
    from submission.inference import read
    from submission.network import assign, build
    from submission.weights import WeightsError

    try:
        members, _ = read(weights_path)
    except WeightsError as error:
        raise UserError(str(error)) from error
    spec, arrays = members[0]
    model = build(spec, initialize=False)
    assign(model, arrays)
    return GradCam(model, contract.IMAGE_SHAPE, crop=spec["crop"])


class GradCam:
    """explain(images, labels) -> heat maps, each scaled to 0..1; a map without positive evidence is 0 throughout."""

    def __init__(self, model: "keras.Model", image_shape: tuple[int, int, int], *, crop: float = 1.0):
        """Choose the layer; UserError where no layer that decides has maps of SMALLEST_SIDE or more.

        Args:
            model: pixels 0..255 (B, H, W, 3) -> logits (B, classes).
            image_shape: (H, W, 3) in pixels.
            crop: share of each side that the network sees (submission/framing.py); its maps are put back where they belong.

        """
        import tensorflow as tf

        self.crop = crop

        layer, self.map_shape = deciding_layer(model, image_shape)
        self.layer = layer.name

        @tf.function(
            input_signature=[tf.TensorSpec((None, *image_shape), tf.float32), tf.TensorSpec((None,), tf.int64)],
            autograph=False,
            jit_compile=False,
        )
        def explain(pixels, labels):
            with tf.GradientTape() as tape, following(layer) as seen:
                tape.watch(pixels)
                logits = model(pixels, training=False)
                called = tf.argmax(logits, -1)
                asked = tf.where(labels < 0, called, labels)
                evidence = tf.reduce_sum(tf.gather(logits, asked[:, None], axis=1, batch_dims=1))
            maps = seen[-1]
            gradient = tape.gradient(evidence, maps)
            importance = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)  # equation 1
            return tf.nn.relu(tf.reduce_sum(importance * maps, axis=-1)), called  # equation 2

        self._explain = explain

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3), 0..255, and classes (n,) -> heat maps (n, h, w) float32 in 0..1 for those classes."""
        return self._batches(images, labels)[0]

    def look(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, H, W, 3), 0..255 -> heat maps (n, h, w) for the class each is called, and those classes (n,) int64."""
        return self._batches(images, np.full(len(images), -1))

    def _batches(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heat, called = np.zeros((len(images), *self.map_shape), np.float32), np.zeros(len(images), np.int64)
        for start in range(0, len(images), BATCH):
            rows = slice(start, start + BATCH)
            pixels = np.asarray(images[rows], np.float32)
            heat[rows], called[rows] = (part.numpy() for part in self._explain(pixels, labels[rows].astype(np.int64)))
        if self.crop < 1:
            rows, columns = (placing(side, self.crop) for side in self.map_shape)
            heat = rows @ heat @ columns.T
        largest = heat.max(axis=(1, 2), keepdims=True, initial=0)
        return np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0), called


def placing(side: int, crop: float) -> np.ndarray:
    """(side, side) float32: positions of a map of the middle `crop` of an image -> of the whole image, bilinear; 0 outside of it."""
    position = (np.arange(side) + 0.5 - side / 2) / crop + side / 2 - 0.5
    weight = np.maximum(0, 1 - np.abs(np.clip(position, 0, side - 1)[:, None] - np.arange(side)))
    return (weight * (np.abs(position - (side - 1) / 2) <= side / 2)[:, None]).astype(np.float32)


def deciding_layer(model: "keras.Model", image_shape: tuple[int, int, int]) -> tuple["keras.Layer", tuple[int, int]]:
    """The last layer with maps of SMALLEST_SIDE or more that all evidence passes through, and its maps' (h, w).

    A layer inside one branch of a residual block would show a part of the evidence only, and one that adds a border
    would shift it.
    """
    import keras
    import tensorflow as tf

    from submission.network import leaves

    pixels = tf.zeros((1, *image_shape))
    shapes: dict[keras.Layer, tuple[int, ...]] = {}
    with ExitStack() as stack:
        for layer in leaves(model):
            stack.enter_context(replacing(layer, recorder(layer, shapes)))
        model(pixels, training=False)
    fit = [
        layer
        for layer, shape in shapes.items()
        if len(shape) == 4 and min(shape[1:3]) >= SMALLEST_SIDE and not isinstance(layer, keras.layers.ZeroPadding2D)
    ]
    for layer in reversed(fit):
        with tf.GradientTape() as tape, replacing(layer, tf.stop_gradient):
            tape.watch(pixels)
            logits = model(pixels, training=False)
        if tape.gradient(logits, pixels) is None:
            return layer, shapes[layer][1:3]
    raise UserError(
        f"No layer of the network has maps of at least {SMALLEST_SIDE}x{SMALLEST_SIDE} that all evidence passes through; "
        "class activation maps need a convolutional network."
    )


def recorder(layer: "keras.Layer", shapes: dict) -> Callable:
    """A function for `replacing` that notes the shape of what the layer returns, in the order of the calls."""

    def record(output):
        shapes.pop(layer, None)  # one that is called twice counts where it was called last
        shapes[layer] = tuple(getattr(output, "shape", ()))
        return output

    return record


@contextmanager
def replacing(layer: "keras.Layer", change: Callable) -> Iterator[None]:
    """Let the layer return `change(output)`, wherever in the model it is called."""
    original = layer.call
    layer.call = lambda *arguments, **options: change(original(*arguments, **options))
    try:
        yield
    finally:
        layer.call = original


@contextmanager
def following(layer: "keras.Layer") -> Iterator[list]:
    """A list that takes what the layer returns at each call."""
    seen: list = []

    def keep(output):
        seen.append(output)
        return output

    with replacing(layer, keep):
        yield seen
