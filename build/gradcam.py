"""Grad-CAM (Selvaraju et al. 2017, section 3): where in an image a network found the evidence for a class.

    explain = explainer(Path("weights.npz"))
    heat = explain(images, labels)      # (n, H, W, 3) uint8, (n,) int64 -> (n, h, w) float32 in 0..1

The network is rebuilt from a weights file of any recipe; TensorFlow only, since it needs the gradients of inner layers.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from submission import weights

SMALLEST_SIDE = 6
"""The last layer with maps of at least this side is looked at: a ConvNeXt's final 3x3 maps of a 96-pixel image show a
corner of the image, but no part of a cell."""
BATCH = 32
"""Images whose layers are held at once for their gradients."""


def explainer(weights_path: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return explain(images (n, H, W, 3), labels (n,)) -> heat maps (n, h, w) float32, each scaled to 0..1."""
    import keras
    import tensorflow as tf

    from submission.network import build, variables

    arrays, meta = weights.load(weights_path)
    model = build(meta["spec"], initialize=False)
    for name, variable in variables(model).items():
        variable.assign(arrays[name])
    features = [layer for layer in model.layers if has_maps(layer)]
    assert features, "the network has no convolution maps"
    inner = keras.Model(model.inputs, [features[-1].output, model.output])

    def explain(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        parts = [
            explain_batch(images[start : start + BATCH], labels[start : start + BATCH])
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *features[-1].output.shape[1:3]), np.float32)

    def explain_batch(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        with tf.GradientTape() as tape:
            pixels = tf.constant(np.asarray(images, np.float32))
            tape.watch(pixels)
            maps, logits = inner(pixels, training=False)
            evidence = tf.reduce_sum(tf.gather(logits, labels[:, None], axis=1, batch_dims=1))
        gradient = tape.gradient(evidence, maps)
        importance = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)  # equation 1
        heat = tf.nn.relu(tf.reduce_sum(importance * maps, axis=-1)).numpy()  # equation 2
        largest = heat.max(axis=(1, 2), keepdims=True)
        return np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0)

    return explain


def has_maps(layer) -> bool:
    """Whether a layer's output is a stack of maps (B, h, w, C) whose sides are at least SMALLEST_SIDE."""
    shape = getattr(layer.output, "shape", ())
    return len(shape) == 4 and None not in shape[1:3] and min(shape[1:3]) >= SMALLEST_SIDE
