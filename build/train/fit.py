"""Train a recipe: `python -m build train --data D --recipe R`, or

    run = train(find("podium"), prepared, seed=0)
    run = train(run.recipe, prepared, seed=0, resume=run)     # after Ctrl-C: goes on bit-exactly from the last whole epoch

Everything random comes from the seed and the numbers of epoch and batch, and every variable is in the checkpoint: four epochs in one
go leave the same weights as two, a kill, and two more (on a CPU; on a GPU with recipe.deterministic).
"""

import contextlib
import dataclasses
import math
import time
from datetime import datetime
from pathlib import Path

import keras

from build.augment.balance import plan
from build.augment.pipeline import Augmentation
from build.console import console
from build.errors import UserError
from build.recipe import Recipe
from build.runs import Interrupted, Run
from build.train import checkpoint, curves, hardware, schedule, tensorboard
from build.train.batches import PLAN, TRAIN, TRIAL, Batches, generator
from build.train.budget import SHARE, Kind, Timetable
from build.train.classifier import Classifier, precision, set_learning, spec_of, strategy_of, undecayed
from build.train.losses import Objective, accuracy
from build.train.optimizers import build_optimizer
from build.train.progress import StopSignal, Watch, bar, clock, summary
from build.train.validation import Validation
from submission import contract, weights
from submission import network as networks

IMAGE_SIDE = max(contract.IMAGE_SHAPE[:2])
TRIAL_STEPS = 6
"""Steps of the trial that a time budget asks of each kind of epoch."""


def train(
    recipe: Recipe,
    prepared,
    *,
    seed: int,
    resume: Run | None = None,
    epochs: int | None = None,
    root: Path = Path("runs"),
) -> Run:
    """Train `recipe` on `prepared` (build/data/prepare.py) and return the run folder with the best epoch's weights.

    Args:
        recipe: all settings; with `resume`, the run's own.
        prepared: cells and their split.
        seed: of everything random, >= 0.
        resume: a run to go on with.
        epochs: overrides recipe.epochs.
        root: where run folders are made.

    Raises UserError for settings that cannot work, and Interrupted (a KeyboardInterrupt) after Ctrl-C, with the run left resumable.

    """
    if epochs is not None:
        if resume is not None:
            raise UserError(
                f"The schedule of run {resume.id} is fixed; leave --epochs out with --resume, or train a new run."
            )
        recipe = dataclasses.replace(recipe, epochs=epochs)
    if recipe.epochs < 1 or recipe.batch < 1 or seed < 0:
        raise UserError(
            f"Training needs at least 1 epoch, 1 image a batch and a seed from 0 up, got {recipe.epochs}, {recipe.batch} and {seed}."
        )
    machine = hardware.find()
    decision = _decision_of(resume, recipe, prepared, seed) if resume else hardware.decide(recipe, machine)
    hardware.prepare(machine, decision, deterministic=recipe.deterministic)
    console.print(hardware.describe(recipe, machine, decision))
    run = resume or Run.create(root, recipe)
    with run.locked(), StopSignal() as stop:
        return Training(recipe, prepared, seed, run, machine, decision, stop).run_all()


def _decision_of(run: Run, recipe: Recipe, prepared, seed: int) -> hardware.Decision:
    """The decision of a run that is gone on with; UserError where recipe, data or seed are not the run's."""
    facts = run.facts
    for what, theirs, ours in (
        ("recipe", run.recipe, recipe),
        ("seed", facts["seed"], seed),
        ("data", facts["data"]["sha256"], prepared.cells.sha256),
        ("keras backend", facts["backend"], keras.backend.backend()),
    ):
        if theirs != ours:
            raise UserError(
                f"Run {run.id} was trained with another {what}; resume it with its own, or train a new run."
            )
    return hardware.Decision(**facts["decided"])


class Training:
    """The state of one training between epochs; what of it must survive is in `facts` and the checkpoint's arrays."""

    def __init__(self, recipe: Recipe, prepared, seed: int, run: Run, machine, decision, stop: StopSignal):
        self.recipe, self.prepared, self.seed, self.run, self.decision, self.stop = (
            recipe,
            prepared,
            seed,
            run,
            decision,
            stop,
        )
        self.began = time.perf_counter()
        classes = len(contract.CLASSES)
        labels = prepared.cells.labels[prepared.split.train]
        self.plan = plan(labels, recipe, rng=generator(seed, PLAN), classes=classes)
        self.batch = min(recipe.batch, len(self.plan.rows))
        self.steps = len(self.plan.rows) // self.batch
        self.augmentation = Augmentation(recipe, classes=classes)
        self.validation = Validation(prepared, recipe, classes=classes, seed=seed, workers=decision.workers)
        pretrained = decision.weights != "none"
        self.timetable = Timetable(recipe, pretrained=pretrained, image_side=IMAGE_SIDE, images=self.steps * self.batch)
        self.facts = {"done": 0, "total": recipe.epochs, "decided": False, "history": [], "best": None, "seconds": 0.0}

        spec = spec_of(recipe, decision, classes=classes, image_shape=contract.IMAGE_SHAPE, seed=seed)
        self.meta = {"spec": spec, "recipe": recipe.name, "views": recipe.views}
        self.strategy = strategy_of(decision.replicas)
        with self._scope(), precision(decision.precision):
            smaller = any(side < IMAGE_SIDE for side, _ in recipe.resolutions)
            self.network = networks.build(
                spec | ({"image_shape": [None, None, contract.IMAGE_SHAPE[2]]} if smaller else {})
            )
            if pretrained and not run.checkpoint_path.exists():
                from build.train.pretrained import load

                load(self.network, spec, decision.weights)
            self.model = Classifier(self.network)
        self.optimizer, self.phase, self.side, self.graphs = None, None, None, {}
        if run.checkpoint_path.exists():
            self._resume()
        else:
            self._begin(machine, spec)

    def _scope(self):
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    # --- epochs -----------------------------------------------------------------------------------------------------

    def run_all(self) -> Run:
        """Train until the last epoch, early stopping or Ctrl-C."""
        facts = self.facts
        if facts["done"] >= facts["total"] or self._patience_is_over():
            console.print(f"Run {self.run.id} is finished: nothing to go on with.")
            return self.run
        if self.recipe.minutes and not facts["done"] and not self.stop.wished:
            self._try_kinds()
        while facts["done"] < facts["total"] and not self.stop.wished and not self._patience_is_over():
            self._epoch(facts["done"])
        self._finish()
        return self.run

    def _patience_is_over(self) -> bool:
        best = self.facts["best"]
        return bool(self.recipe.patience and best and self.facts["done"] - best["epoch"] >= self.recipe.patience)

    def _enter(self, phase: schedule.Phase) -> None:
        """Begin a phase: its learning layers, a new optimizer, a new graph."""
        set_learning(self.network, phase.name, self.recipe.fine_tune_layers)
        with self._scope(), precision(self.decision.precision):
            self.optimizer = build_optimizer(
                self.recipe, phase, steps_per_epoch=self.steps, undecayed=undecayed(self.network)
            )
            self.model.compile(
                optimizer=self.optimizer,
                loss=Objective(
                    class_weight=self.plan.class_weight,
                    label_smoothing=self.recipe.label_smoothing,
                    jsd_weight=self.recipe.jsd_weight,
                ),
                metrics=[accuracy],
                jit_compile=self.decision.xla,
                steps_per_execution=max(1, min(self.decision.steps_per_execution, self.steps // 4)),
            )
            # Under mixed_float16 keras wraps the optimizer to scale the loss: the wrapper has variables of its own.
            self.model.optimizer.build(self.model.trainable_variables)
        self.phase, self.side, self.graphs = phase.name, None, {}

    def _epoch(self, epoch: int) -> None:
        """Train one epoch, validate, save. If it is stopped midway it leaves no trace: it is trained anew after a resume."""
        facts, began = self.facts, time.perf_counter()
        kind = self.timetable.kind(epoch, facts["total"])
        if kind[0] != self.phase:
            self._enter(self.timetable.phase(epoch, facts["total"]))
        traced = kind[1] in (self.side, *self.graphs)
        logs, watch = self._steps(kind, TRAIN, epoch, f"epoch {epoch + 1}/{facts['total']}, {kind[1]} px")
        if watch.cut:
            return
        if not math.isfinite(logs["loss"]):
            raise UserError(
                f"The training diverged in epoch {epoch + 1} (loss {logs['loss']}); lower the recipe's learning rate."
            )
        arrays, measured = self.validation.measure(self.model, self.optimizer)
        row = {
            "epoch": epoch + 1,
            "phase": kind[0],
            "side": kind[1],
            "loss": logs["loss"],
            "accuracy": logs["accuracy"],
            "validation_loss": measured["loss"],
            "validation_accuracy": measured["accuracy"],
            "perturbed_loss": measured["perturbed_loss"],
            "perturbed_accuracy": measured["perturbed_accuracy"],
            "score": (measured["accuracy"] + measured["perturbed_accuracy"]) / 2,
            "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
            "images_per_second": 1 / watch.seconds_an_image,
        }
        best = facts["best"] is None or row["score"] > facts["best"]["score"]
        if best:
            weights.save(self.run.weights_path, arrays, self.meta, storage="float32")
        row["seconds"] = time.perf_counter() - began
        spent = watch.seconds_an_image * watch.images + watch.start_seconds
        self.timetable.costs = self.timetable.costs.learn(
            kind,
            watch.seconds_an_image,
            fixed=max(0.0, row["seconds"] - spent),
            start=None if traced else watch.start_seconds,
        )
        facts |= {"done": epoch + 1, "history": [*facts["history"], row], "best": row if best else facts["best"]}
        if self.recipe.minutes:
            self._decide()
        self._save()
        console.print(summary(row, facts["total"], best, self.timetable.remaining(facts["done"], facts["total"])))

    def _steps(
        self, kind: Kind, stream: int, epoch: int, title: str, limit: int | None = None
    ) -> tuple[dict[str, float], Watch]:
        """Train over an epoch's batches (or the first `limit`); returns the mean loss and accuracy, and what was watched."""
        cells, split = self.prepared.cells, self.prepared.split
        if kind[1] != self.side:
            # One graph a side, traced with its exact shapes: a resumed run then computes by the same graph as a straight one.
            self.graphs[self.side] = self.model.train_function
            self.model.train_function, self.side = self.graphs.get(kind[1]), kind[1]
        with (
            Batches(
                cells.images,
                cells.labels,
                split.train[self.plan.rows],
                copy=self.plan.copy,
                augmentation=self.augmentation,
                batch=self.batch,
                seed=self.seed,
                stream=stream,
                epoch=epoch,
                side=kind[1] if kind[1] < IMAGE_SIDE else None,
                shuffle=True,
                limit=limit,
                workers=self.decision.workers,
            ) as batches,
            bar() as progress,
        ):
            watch = Watch(
                progress,
                title=title,
                images=len(batches) * self.batch,
                batch=self.batch,
                after=lambda rate: self.timetable.remaining(epoch + 1, self.facts["total"], {kind: rate}),
                stop=self.stop,
            )
            # shuffle=False: the order is ours; keras would draw another one from Python's global generator.
            history = self.model.fit(batches, epochs=1, verbose=0, shuffle=False, callbacks=[watch]).history
        return {name: values[-1] for name, values in history.items()}, watch

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Time spent on this run so far, all sessions together."""
        return self.facts["seconds"] + time.perf_counter() - self.began

    def _try_kinds(self) -> None:
        """Measure a few steps of each kind of epoch, where there are several, then put everything back as it was."""
        total, kinds = self.facts["total"], self.timetable.kinds(self.facts["total"])
        if len(kinds) < 2:
            return
        network, rates, start = checkpoint.snapshot(self.network.variables), {}, 0.0
        # The first phase last: what was traced for it is then at hand.
        for name in reversed(dict.fromkeys(name for name, _ in kinds)):
            first = next(epoch for epoch in range(total) if self.timetable.kind(epoch, total)[0] == name)
            self._enter(self.timetable.phase(first, total))
            optimizer = checkpoint.snapshot(self.model.optimizer.variables)
            for kind in (kind for kind in kinds if kind[0] == name):
                _, watch = self._steps(kind, TRIAL, 0, f"trying {kind[1]} px", limit=TRIAL_STEPS)
                rates[kind], start = watch.seconds_an_image, watch.start_seconds
            checkpoint.restore(self.network.variables, network)
            checkpoint.restore(self.model.optimizer.variables, optimizer)
        self.timetable.costs = dataclasses.replace(self.timetable.costs, rates=rates, start=start)

    def _decide(self) -> None:
        """Settle the number of epochs after the first one; lower it later only if the machine has become too slow for it."""
        facts, left = self.facts, self.recipe.minutes * 60 - self.seconds
        if facts["decided"] and self.timetable.remaining(facts["done"], facts["total"]) <= left:
            return
        total = self.timetable.fitting(facts["done"], facts["total"], left * (1 if facts["decided"] else SHARE))
        console.print(
            f"Within {self.recipe.minutes:g} minutes this machine trains {total} of the recipe's {self.recipe.epochs} epochs."
        )
        facts |= {"total": total, "decided": True}
        phase = self.timetable.phase(facts["done"] - 1, total)
        if phase.name == self.phase:
            self.optimizer.total_steps.assign(float(phase.epochs * self.steps))

    # --- what is kept -----------------------------------------------------------------------------------------------

    def _begin(self, machine: hardware.Machine, spec: dict) -> None:
        cells, split = self.prepared.cells, self.prepared.split
        split.save(self.run.split_path)
        self.run.update(
            seed=self.seed,
            backend=machine.backend,
            data={"source": cells.source, "sha256": cells.sha256},
            device=machine.device,
            decided=dataclasses.asdict(self.decision),
            parameters=int(self.network.count_params()),
            spec=spec,
            classes=list(contract.CLASSES),
            counts=self.plan.facts(),
            images={side: len(getattr(split, side)) for side in ("train", "validation", "test")},
            status="running",
        )
        console.print(self.plan.table(contract.CLASSES))
        console.print(
            f"Run {self.run.folder}: {self.steps} steps of {self.batch} images an epoch, at most {self.facts['total']} epochs."
        )

    def _save(self) -> None:
        facts = self.facts | {"seconds": self.seconds, "costs": self.timetable.facts(), "phase": self.phase}
        checkpoint.save(self.run.checkpoint_path, self.network.variables, self.model.optimizer.variables, facts)
        self.run.write_history(self.facts["history"])
        began = datetime.fromisoformat(self.run.facts["created"]).timestamp()
        tensorboard.write(self.facts["history"], self.run.tensorboard_path, began)

    def _resume(self) -> None:
        path = self.run.checkpoint_path
        facts = checkpoint.load_facts(path)
        self.timetable.recall(facts.pop("costs"))
        phase, done, total = facts.pop("phase"), facts["done"], facts["total"]
        self.facts |= facts
        if done < total and self.timetable.kind(done, total)[0] == phase:
            self._enter(self.timetable.phase(done, total))
            checkpoint.load_variables(path, self.network.variables, self.model.optimizer.variables)
        else:
            checkpoint.load_variables(path, self.network.variables, None)
        console.print(f"Going on with run {self.run.id} after epoch {done} of {total}.")

    def _finish(self) -> None:
        """Write the result and the curves, after the last epoch and after Ctrl-C alike; Interrupted after the latter."""
        facts, best, run = self.facts, self.facts["best"], self.run
        done, total = facts["done"], facts["total"]
        status = "finished" if done >= total else "stopped early" if self._patience_is_over() else "interrupted"
        run.update(
            status=status,
            minutes=round(self.seconds / 60, 2),
            epochs={"done": done, "total": total, "recipe": self.recipe.epochs},
            result=best,
        )
        curves.draw(facts["history"], run.curves_path, f"{run.id}: {status} after {done} of {total} epochs")
        if status == "interrupted":
            kept = f"the weights of epoch {best['epoch']}, the best so far, are kept" if best else "no epoch was whole"
            console.print(
                f"Interrupted after {done} of {total} epochs: {kept}. Go on with: python -m build train --resume {run.id}"
            )
            raise Interrupted(run)
        console.print(
            f"Run {run.id} {status} after {done} epochs and {clock(self.seconds)}: best epoch {best['epoch']}, "
            f"validation {best['validation_accuracy']:.3f}, perturbed {best['perturbed_accuracy']:.3f}."
        )
