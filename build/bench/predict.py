"""Prediction beside keras.applications: `python -m build.bench predict`.

Processor milliseconds an image (user and system time of the process, all its threads) at 96x96 in batches of 32, ConvNeXt
atto and tiny. Every contender has the same weights and must give the same logits, or nothing is printed. All take turns in
every round; a figure is the median of the rounds, a ratio the median of the rounds' ratios. Results also go to
runs/bench/predict.json.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from build.bench import turns
from build.console import console, muffled
from build.train.pretrained import convnext_arrays
from submission import contract, weights
from submission.convnext import SIZES
from submission.inference import Predictor
from submission.network import build, complete, variables

BATCH = 32
ROUNDS = {"atto": 11, "tiny": 5}
TOLERANCE = 1e-3
OURS = "ours: folded, tf.function"
Batch = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Measure, print a table a size, write runs/bench/predict.json."""
    console.print(f"[bold]Prediction[/] of {BATCH} images at 96x96: {turns.machine()}, TensorFlow {tf.__version__}")
    if (load := turns.load()) > 1:
        console.print(
            f"Other work wants {load:.1f} times this machine's cores: look at the ratios rather than the times."
        )
    images = np.random.default_rng(0).integers(0, contract.PIXEL_MAX + 1, (BATCH, *contract.IMAGE_SHAPE), np.uint8)
    facts = {size: compare(size, images, rounds=rounds) for size, rounds in ROUNDS.items()}
    path = turns.save("predict", {"machine": turns.machine(), "load": round(load, 2), **facts})
    console.print(f"Written to {path}.")


def compare(size: str, images: np.ndarray, *, rounds: int) -> dict[str, dict[str, float]]:
    """Time every contender on (B, H, W, 3) uint8 images, print the table; name -> cpu_ms, times_ours."""
    with muffled(), tempfile.TemporaryDirectory() as folder:
        runners = contenders(size, Path(folder))
        expected = runners[OURS](images)
        for name, function in runners.items():
            # Also traces each of them before the first round.
            np.testing.assert_allclose(function(images), expected, atol=TOLERANCE, err_msg=name)
        spent = turns.take(runners, images, rounds=rounds)
    return turns.table(spent, ours=OURS, head=f"ConvNeXt {size}")


def contenders(size: str, folder: Path) -> dict[str, Batch]:
    """Name -> function of (B, H, W, 3) uint8 images to (B, classes) float32 logits, all of the same weights."""
    spec = complete(
        {"network": "convnext", "size": size, "classes": len(contract.CLASSES), "image_shape": contract.IMAGE_SHAPE}
    )
    grouped = grouped_convnext(size, spec["classes"])
    arrays = convnext_arrays(grouped, size)
    depthwise = build(spec, initialize=False)
    for name, variable in variables(depthwise).items():
        variable.assign(arrays[name])
    path = folder / "weights.npz"
    weights.save(path, arrays, {"spec": {**spec, "image_shape": list(spec["image_shape"])}}, storage="float32")
    return {
        OURS: Predictor(path, batch=BATCH).logits,
        "our layers (DepthwiseConv2D), tf.function": traced(depthwise),
        "our layers (DepthwiseConv2D), keras predict": predicted(depthwise),
        "keras.applications (grouped Conv2D), tf.function": traced(grouped),
        "keras.applications (grouped Conv2D), keras predict": predicted(grouped),
    }


def grouped_convnext(size: str, classes: int, side: int = contract.IMAGE_SHAPE[0]) -> keras.Model:
    """The ConvNeXt of keras.applications, also in sizes that it does not offer, with weights that no part hides."""
    from keras.src.applications.convnext import ConvNeXt  # the public functions have tiny and up only

    depths, widths = SIZES[size]
    model = ConvNeXt(
        depths=list(depths),
        projection_dims=list(widths),
        input_shape=(side, side, 3),
        classes=classes,
        classifier_activation=None,
        name=f"convnext_{size}",
    )
    rng = np.random.default_rng(1)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            variable.assign(rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape))
        else:
            # A LayerScale of 1e-6, as it begins, would leave the blocks unseen in the logits.
            variable.assign(rng.uniform(0.5, 1.0, shape) if variable.name in ("gamma", "variable") else np.zeros(shape))
    return model


def traced(model: keras.Model) -> Batch:
    """The model in one tf.function without XLA, as a careful user would call it."""
    function = tf.function(
        lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec((None, *contract.IMAGE_SHAPE), tf.uint8)],
        jit_compile=False,
    )
    return lambda images: function(tf.constant(images)).numpy()


def predicted(model: keras.Model) -> Batch:
    """`model.predict`, as most submissions call it."""
    model.compile(jit_compile=False)
    return lambda images: model.predict(images, batch_size=BATCH, verbose=0)
