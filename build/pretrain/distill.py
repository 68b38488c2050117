"""The pretraining: a ConvNeXt learns to predict the teacher's features wherever it looks.

    path = pretrain(size="atto", images=1_000_000, seed=0)       # runs/pretraining/atto-0/convnext-atto.npz
    path = pretrain(size="atto", images=512_000, seed=1, weights="drawn")   # goes on from the weights that ship

Nothing of anybody's data takes part: images are drawn. Interrupted, the same call goes on after the last whole epoch.
"""

import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from build.console import clock, console
from build.data import synthetic
from build.errors import UserError
from build.files import explained, locked, write_text
from build.pretrain.images import CELLS, DrawnBatches, augmentation, recipe
from build.pretrain.teacher import Teacher
from build.recipe import Recipe
from build.train import checkpoint, hardware, pretrained, schedule
from build.train.classifier import parts_of, precision, undecayed
from build.train.feed import feed
from build.train.optimizers import build_optimizer, scaled
from build.train.progress import StopSignal
from build.train.unseen import from_drawn_images
from submission import contract
from submission import weights as weights_file
from submission.convnext import SIZES
from submission.network import build, complete, variables

ROOT = Path("runs") / "pretraining"
STEPS = 200
"""Steps of an epoch: between two checkpoints."""
STATISTICS_STEPS = 24
"""Batches that the teacher's features are standardised by."""
STATISTICS_EPOCH = 1 << 20
NONE = "none"


class Pretrainer(keras.Model):
    """The network up to its features at two depths, and a linear prediction of the teacher's from each."""

    def __init__(self, network: keras.Model, teacher: Teacher, last_blocks: tuple[str, str], seed: int = 0):
        """last_blocks: the layers whose features predict the teacher's; seed: of the predictions' first weights."""
        super().__init__(name="pretrainer")
        self.body = keras.Model(network.input, [network.get_layer(name).output for name in last_blocks])
        # Names of their own: Keras' count what the process has made, and a checkpoint knows variables by name.
        self.norms = [
            keras.layers.LayerNormalization(epsilon=1e-6, dtype="float32", name=f"{name}_norm") for name in last_blocks
        ]
        self.predictions = [
            keras.layers.Dense(
                width,
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed + depth),
                dtype="float32",
                name=f"{name}_prediction",
            )
            for depth, (name, width) in enumerate(zip(last_blocks, teacher.widths, strict=True))
        ]
        self.means = [self._constant(width, "zeros", "mean") for width in teacher.widths]
        self.deviations = [self._constant(width, "ones", "deviation") for width in teacher.widths]
        self.teacher = teacher  # no layer, so its weights are none of this model's

    def _constant(self, width: int, first: str, name: str) -> keras.Variable:
        return self.add_weight(shape=(width,), initializer=first, trainable=False, name=name, dtype="float32")

    def call(self, pixels, training=None):
        """(B, H, W, 3) -> predicted standardised features at both depths."""
        features = self.body(pixels, training=training)
        return [
            predict(norm(ops.cast(feature, "float32")))
            for feature, norm, predict in zip(features, self.norms, self.predictions, strict=True)
        ]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # noqa: ARG002 - keras' signature
        """Mean squared error against the teacher's standardised features, the mean of both depths: 1 says nothing was learned."""
        loss = 0.0
        for wanted, got, mean, deviation in zip(self.teacher(x), y_pred, self.means, self.deviations, strict=True):
            loss += ops.mean(ops.square((wanted - mean) / deviation - got))
        return loss / len(y_pred)

    def standardise(self, batches: DrawnBatches) -> None:
        """Measure mean and deviation of every feature of the teacher over some batches."""
        sums = [[np.zeros(width), np.zeros(width), 0] for width in self.teacher.widths]
        for index in range(len(batches)):
            for total, feature in zip(sums, self.teacher(batches.draw(index)), strict=True):
                values = np.asarray(ops.convert_to_numpy(feature), np.float64).reshape(-1, feature.shape[-1])
                total[0] += values.sum(0)
                total[1] += (values**2).sum(0)
                total[2] += len(values)
        for (first, second, count), mean, deviation in zip(sums, self.means, self.deviations, strict=True):
            mean.assign((first / count).astype(np.float32))
            # A feature that never fires here would be divided by nothing.
            variance = np.maximum(second / count - (first / count) ** 2, 0)
            deviation.assign(np.maximum(np.sqrt(variance), 0.05 * np.sqrt(variance.mean())).astype(np.float32))


def pretrain(
    *,
    size: str,
    images: int,
    seed: int,
    batch: int = 64,
    weights: str = NONE,
    root: Path = ROOT,
    cells: int = CELLS,
) -> Path:
    """Train, or go on, and return the path of the float16 weights; UserError for settings that cannot work.

    Args:
        size: a ConvNeXt size.
        images: how many images are drawn, rounded up to whole epochs of STEPS batches.
        seed: of everything random.
        batch: images a step.
        weights: to go on from, at half the learning rate: "none", "drawn" (those that ship), "imagenet", or the path of a file
            that `pretrain` made or keras.applications publishes.
        root: where the folder SIZE-SEED is made.
        cells: painted cells to choose from.

    """
    if size not in SIZES:
        raise UserError(f"Expected a ConvNeXt size among {', '.join(SIZES)}, got {size!r}.")
    side, width, _ = contract.IMAGE_SHAPE
    if side != width:
        raise UserError(
            f"Pretraining draws square images, and the contract's have {side}x{width} pixels; train from scratch, or from ImageNet "
            "weights (--weights imagenet)."
        )
    folder = root / f"{size}-{seed}"
    settings = {"size": size, "images": images, "seed": seed, "batch": batch, "cells": cells}
    settings["recipe_sha256"] = hashlib.sha256(recipe().to_json().encode()).hexdigest()
    epochs = -(-images // (STEPS * batch))
    plan = dataclasses.replace(recipe(), network="convnext", size=size, weights=weights, weight_decay=0.05)
    if weights != NONE:
        file = Path(weights)
        if file.is_file() and not from_drawn_images(file) and not pretrained.is_published_file(file):
            raise UserError(
                f"{file} was not made by pretrain, so it may have learned from cells that a later training is tested with; "
                'name the weights of a pretraining, "drawn" or "imagenet".'
            )
        settings |= {"weights": weights, "weights_sha256": pretrained.hash_of(weights, "convnext", size)}
        plan = dataclasses.replace(plan, learning_rate=plan.learning_rate / 2)
    machine = hardware.find()
    machine = dataclasses.replace(machine, gpus=machine.gpus[:1])  # one network on one device
    decision = hardware.decide(plan, machine)
    hardware.prepare(machine, decision, deterministic=False)
    model, network, spec = _build(plan, decision, side, seed, epochs)
    told = f"{folder} is being trained by another process; wait for it, stop it, or choose another seed."
    with locked(folder / "lock", told):
        _claim(folder, settings)
        _train(model, decision, settings, folder, epochs)
        return _write(folder, model, network, spec, settings)


def _train(model: Pretrainer, decision: hardware.Decision, settings: dict, folder: Path, epochs: int) -> None:
    """All epochs that the folder's checkpoint does not have yet; KeyboardInterrupt after the one in which Ctrl-C came."""
    seed, batch, cells = settings["seed"], settings["batch"], settings["cells"]
    painted = synthetic.read(f"synthetic:{cells}", seed=seed, cache=Path("data") / "cache").images
    state, done = folder / "state.npz", 0
    draw = {"cells": painted, "augmentation": augmentation(len(contract.CLASSES)), "batch": batch, "seed": seed}
    if state.is_file():
        try:
            checkpoint.load_variables(state, model.variables, model.optimizer.variables)
            done = checkpoint.load_facts(state)["done"]
        except UserError as error:
            raise UserError(
                f"{state} is damaged, or of other settings or another version of the code; remove it to begin anew, or choose another seed."
            ) from error
        console.print(f"Going on with {folder} after epoch {done} of {epochs}.")
    else:
        with DrawnBatches(**draw, steps=STATISTICS_STEPS, epoch=STATISTICS_EPOCH) as batches:
            model.standardise(batches)
    with StopSignal("epoch") as stop:
        for epoch in range(done, epochs):
            began = time.perf_counter()
            with DrawnBatches(**draw, steps=STEPS, epoch=epoch, workers=decision.workers) as batches:
                loss = model.fit(feed(batches), epochs=1, verbose=0, shuffle=False).history["loss"][-1]
            if not math.isfinite(loss):
                raise UserError(
                    f"The pretraining diverged in epoch {epoch + 1} (loss {loss}); remove {folder} and choose another seed or batch."
                )
            checkpoint.save(state, model.variables, model.optimizer.variables, {"done": epoch + 1})
            spent = time.perf_counter() - began
            console.print(
                f"epoch {epoch + 1:3}/{epochs}  loss {loss:.4f}  {STEPS * batch / spent:.0f} img/s  "
                f"ETA {clock(spent * (epochs - epoch - 1))}"
            )
            if stop.wished and epoch + 1 < epochs:
                raise KeyboardInterrupt(f"The same command goes on after epoch {epoch + 1}.")


def _claim(folder: Path, settings: dict) -> None:
    """Begin in the folder, or go on in one of the same settings."""
    facts = folder / "settings.json"
    if not facts.is_file():
        write_text(facts, json.dumps(settings, indent=2) + "\n")
    try:
        with explained(facts, "read"):
            same = json.loads(facts.read_text(encoding="utf-8")) == settings
    except ValueError:
        same = False
    if not same:
        raise UserError(
            f"The folder {folder} holds a pretraining with other settings ({facts}); remove it or choose another seed."
        )


def _build(plan: Recipe, decision: hardware.Decision, side: int, seed: int, epochs: int):
    """The compiled pretrainer with its optimizer, the network inside, and the network's spec."""
    spec = complete(
        {
            "network": "convnext",
            "size": plan.size,
            "classes": len(contract.CLASSES),
            "image_shape": [side, side, 3],
            "layer_scale": plan.layer_scale,
            "seed": seed,
        }
    )
    with precision(decision.policy):
        network = build(spec, parts=parts_of(decision))
    if plan.weights != NONE:
        pretrained.load(network, spec, plan.weights)
    depths = SIZES[plan.size][0]
    last_blocks = tuple(f"stage_{stage}_block_{depths[stage] - 1}_add" for stage in (2, 3))
    with precision("float32"):
        teacher = Teacher(side)
    model = Pretrainer(network, teacher, last_blocks, seed)
    model(np.zeros((1, side, side, 3), np.float32))  # builds every layer
    phase = schedule.Phase(schedule.ALL, 0, epochs, plan.learning_rate, min(2.0, 0.05 * epochs))
    own = (variable for layer in (*model.norms, *model.predictions) for variable in layer.trainable_variables)
    plain = [variable for variable in own if variable.name != "kernel"]
    optimizer = build_optimizer(plan, phase, steps_per_epoch=STEPS, undecayed=[*undecayed(network), *plain])
    model.compile(optimizer=scaled(optimizer, decision.policy), jit_compile=decision.xla)
    model.optimizer.build(model.trainable_variables)
    return model, network, spec


def _write(folder: Path, model: Pretrainer, network: keras.Model, spec: dict, settings: dict) -> Path:
    """The averaged weights in float16, without the predictions; the head is as it was drawn."""
    model.optimizer.load_average(model.trainable_variables)
    arrays = {name: np.asarray(ops.convert_to_numpy(value)) for name, value in variables(network).items()}
    path = folder / f"convnext-{settings['size']}.npz"
    weights_file.save(path, arrays, {"spec": spec, "pretraining": settings}, storage="float16")
    console.print(f"Weights: {path}.")
    return path
