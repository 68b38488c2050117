"""A training step beside keras.applications: `python -m build.bench train`.

Processor milliseconds an image (user and system time of the process, all its threads) of one step of ConvNeXt atto with AdamW on
batches of 64, at 96 and at 64 pixels: the trainer's own step in float32, the same with products in bfloat16 (chosen where the
processor has units for them), in mixed_bfloat16, under XLA, with Lion, and the network of keras.applications, whose depthwise
layers are grouped convolutions; and of EfficientNet-Lite2 as `podium-lite` trains it, in the first three ways and with Keras' layers.
All take turns; a figure is the median of the rounds. Results also go to runs/bench/train.json.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from build.bench import turns
from build.bench.predict import grouped_convnext
from build.console import muffled
from build.recipe import Recipe
from build.recipes import find
from build.train.bfloat16_layers import PARTS as BFLOAT16_PARTS
from build.train.classifier import Classifier, precision, set_learning, undecayed
from build.train.fast_layers import FAST
from build.train.losses import Objective, accuracy
from build.train.optimizers import build_optimizer
from build.train.schedule import BODY, Phase
from submission import contract
from submission.network import build, complete
from submission.parts import STANDARD, Parts

BATCH = 64
SIDES = (96, 64)
ROUNDS = 5
OURS = "ours: float32, AdamW"
RECIPE = find("podium")
LITE = find("podium-lite")
VARIANTS: dict[str, dict] = {
    OURS: {},
    "ours, Keras' layers": {"parts": STANDARD},
    "ours, Lion": {"recipe": dataclasses.replace(RECIPE, optimizer="lion")},
    "ours, products in bfloat16": {"parts": BFLOAT16_PARTS},
    "ours, mixed_bfloat16": {"policy": "mixed_bfloat16"},
    "ours, XLA": {"xla": True, "parts": STANDARD},
    "keras.applications (grouped Conv2D)": {"grouped": True},
}
"""Name -> arguments of `step`."""
LITE_VARIANTS = {
    name: {"recipe": LITE} | VARIANTS[name]
    for name in (OURS, "ours, Keras' layers", "ours, products in bfloat16", "ours, mixed_bfloat16")
}


def main() -> None:
    """Measure, print a table a side, write runs/bench/train.json."""
    begun = turns.begin(f"Training step of {BATCH} images", f"TensorFlow {tf.__version__}")
    facts = {f"{side} px": compare(side, VARIANTS, "ConvNeXt atto", rounds=ROUNDS) for side in SIDES}
    facts[LITE.name] = compare(max(SIDES), LITE_VARIANTS, f"EfficientNet-Lite2 of {LITE.name}", rounds=ROUNDS)
    turns.save("train", begun | facts)


def compare(
    side: int, variants: dict[str, dict], title: str, *, rounds: int, batch: int = BATCH
) -> dict[str, dict[str, float]]:
    """Time a step of every variant on (batch, side, side, 3) images, print the table; name -> cpu_ms, times_ours."""
    images = np.random.default_rng(0).integers(0, contract.PIXEL_MAX + 1, (batch, side, side, 3), np.uint8)
    with muffled():
        steps = {name: step(side, batch=batch, **arguments) for name, arguments in variants.items()}
        for function in steps.values():
            function(images)  # traces it
        spent = turns.take(steps, images, rounds=rounds)
    return turns.table(spent, ours=OURS, head=f"{title}, {side} px")


def step(
    side: int,
    *,
    batch: int,
    recipe: Recipe = RECIPE,
    policy: str = "float32",
    xla: bool = False,
    grouped: bool = False,
    parts: Parts = FAST,
) -> Callable[[np.ndarray], float]:
    """One step of training as the trainer compiles it: images (batch, side, side, 3) uint8 -> loss."""
    classes = len(contract.CLASSES)
    labels = np.eye(classes, dtype=np.float32)[np.arange(batch) % classes]
    with precision(policy):
        if grouped:
            network = grouped_convnext("atto", classes, side=side)
        else:
            spec = {name: getattr(recipe, name) for name in ("network", "size", "upsample")}
            network = build(complete(spec | {"classes": classes, "image_shape": [side, side, 3]}), parts=parts)
            set_learning(network, BODY, recipe.fine_tune_layers)
        model = Classifier(network)
        decay_free = [] if grouped else undecayed(network)
        phase = Phase(BODY, 0, 1, recipe.learning_rate, 0.0)
        model.compile(
            optimizer=build_optimizer(recipe, phase, steps_per_epoch=100, undecayed=decay_free),
            loss=Objective(class_weight=[1.0] * classes, label_smoothing=recipe.label_smoothing, jsd_weight=0.0),
            metrics=[accuracy],
            jit_compile=xla,
        )
    return lambda images: float(model.train_on_batch(images.astype(np.float32), labels)[0])
