"""The network with its optimizer of the present phase: what an epoch's batches go through.

learner = Learner(recipe, decision, prepared, seed=0, load_weights=True)
learner.enter(phase)
logs, watch = learner.steps(TRAIN, epoch=0, side=96, strength=1.0, title="epoch 1", after=lambda rate: 0.0, stop=stop)
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras

from build.augment.balance import Plan, plan
from build.augment.pipeline import Augmentation
from build.augment.settings import weakened
from build.errors import UserError
from build.gpu_troubles import is_out_of_memory
from build.recipe import IMAGE_SIDE, Recipe
from build.train import checkpoint, schedule
from build.train.batches import Batches, check_shares
from build.train.budget import Kind
from build.train.classifier import (
    Classifier,
    part_dropouts,
    parts_of,
    precision,
    set_learning,
    spec_of,
    strategy_of,
    undecayed,
    unite_statistics,
)
from build.train.distillation import Teacher
from build.train.feed import feed
from build.train.hardware import Decision
from build.train.hosts import Hosts, distribution
from build.train.losses import Objective, accuracy
from build.train.optimizers import build_optimizer, check_optimizer, scaled
from build.train.progress import StopSignal, Watch, bar
from build.train.streams import PLAN, generator
from submission import contract
from submission import network as networks


class Learner:
    """Built once a training; `enter` begins a phase. Everything that changes is in `variables`' two lists."""

    def __init__(
        self,
        recipe: Recipe,
        decision: Decision,
        prepared,
        *,
        seed: int,
        load_weights: bool,
        teachers: Sequence[Path] = (),
        hosts: Hosts | None = None,
    ):
        """Build the network for the training cells of `prepared`; UserError for settings that cannot work.

        load_weights: fetch the decision's pretrained weights; False where a checkpoint follows.
        teachers: weights files of the networks to learn from (build/train/distillation.py).
        hosts: the processes that train it together; None for this one alone.
        """
        self.hosts = hosts or Hosts()
        self.recipe, self.decision, self.prepared, self.seed = recipe, decision, prepared, seed
        check_optimizer(recipe)
        classes = len(contract.CLASSES)
        self.plan = self._plan(epoch=0)
        self.batch = min(recipe.batch, len(self.plan.rows))
        check_shares(self.batch, self.hosts)
        self.steps_per_epoch = len(self.plan.rows) // self.batch
        self.augmentations = {
            factor: Augmentation(weakened(recipe, factor), classes=classes) for factor, _ in recipe.curriculum
        }
        self.spec = spec_of(recipe, decision, classes=classes, image_shape=contract.IMAGE_SHAPE, seed=seed)
        self.strategy, self.distribution = strategy_of(decision.replicas), distribution(self.batch)
        with self._scope():
            smaller = any(side < IMAGE_SIDE for side, _ in recipe.resolutions)
            any_side = {"image_shape": [None, None, contract.IMAGE_SHAPE[2]]} if smaller else {}
            try:
                self.network = networks.build(self.spec | any_side, parts=parts_of(decision))
            except ValueError as error:
                found = str(error).partition("\n")[0].rstrip(".;")
                raise UserError(f"The recipe's network cannot be built ({found}); change its settings.") from error
            if load_weights and decision.weights != "none":
                from build.train.pretrained import load

                load(self.network, self.spec, decision.weights)
            with precision("float32"):  # a teacher's answers do not depend on the student's precision
                teacher = Teacher(teachers) if teachers else None
            self.model = Classifier(self.network, teacher)
        self.optimizer, self.phase, self.side, self.graphs = None, None, None, {}
        self._judge = None

    @contextlib.contextmanager
    def _scope(self):
        strategy = self.strategy.scope() if self.strategy else contextlib.nullcontext()
        with strategy, self._spread(), precision(self.decision.policy):
            yield

    def _spread(self):
        return self.distribution.scope() if self.distribution else contextlib.nullcontext()

    def _plan(self, epoch: int) -> Plan:
        """What an epoch shows. Every one has as many copies of a class and the same weights, and other images copied."""
        labels = self.prepared.cells.labels[self.prepared.split.train]
        return plan(labels, self.recipe, rng=generator(self.seed, PLAN, epoch), classes=len(contract.CLASSES))

    @property
    def images(self) -> int:
        """Images an epoch: whole batches only."""
        return self.steps_per_epoch * self.batch

    @property
    def together(self) -> int:
        """Steps that one call of the device makes."""
        return max(1, min(self.decision.steps_per_execution, self.steps_per_epoch // 4))

    @property
    def variables(self) -> tuple[list[keras.Variable], list[keras.Variable]]:
        """Of the network (weights, statistics, random generators) and of the present phase's optimizer."""
        return self.network.variables, self.model.optimizer.variables

    def enter(self, phase: schedule.Phase) -> None:
        """Begin a phase: its learning layers, a new optimizer, a new graph."""
        set_learning(self.network, phase.name, self.recipe.fine_tune_layers)
        with self._scope():
            self.optimizer = build_optimizer(
                self.recipe, phase, steps_per_epoch=self.steps_per_epoch, undecayed=undecayed(self.network)
            )
            self.model.compile(
                optimizer=scaled(self.optimizer, self.decision.policy),
                loss=self._objective(),
                metrics=[accuracy],
                jit_compile=self.decision.xla,
                steps_per_execution=self.together,
            )
            # The wrapper that scales the loss has variables of its own.
            self.model.optimizer.build(self.model.trainable_variables)
        self.phase, self.side, self.graphs = phase.name, None, {}

    @contextlib.contextmanager
    def trial(self, phase: schedule.Phase) -> Iterator[None]:
        """Begin a phase for a few steps that leave no trace: afterwards every variable is what it was before them."""
        network = checkpoint.snapshot(self.network.variables)
        self.enter(phase)
        optimizer = checkpoint.snapshot(self.model.optimizer.variables)
        yield
        checkpoint.restore(self.network.variables, network)
        checkpoint.restore(self.model.optimizer.variables, optimizer)

    def _objective(self) -> Objective:
        return Objective(
            class_weight=self.plan.class_weight,
            label_smoothing=self.recipe.label_smoothing,
            jsd_weight=self.recipe.jsd_weight,
            teacher_weight=self.recipe.teacher_weight,
            temperature=self.recipe.teacher_temperature,
        )

    @property
    def judge(self) -> Classifier:
        """What validates: the model itself; where it is spread over devices under JAX, a copy on this host's first device.

        There every host validates other batches, of any size; a spread model takes the same number of images on each device.
        """
        if self.distribution is None:
            return self.model
        if self._judge is None:
            with precision(self.decision.policy):
                self._judge = Classifier(networks.build(self.spec))
            self._judge.compile(loss=self._objective(), metrics=[accuracy])
        return self._judge

    def resume(self, path: Path, phase: schedule.Phase | None) -> None:
        """Take a checkpoint's variables; the optimizer's too if its `phase` goes on, None where another one follows."""
        if phase:
            self.enter(phase)
        checkpoint.load_variables(path, self.network.variables, self.model.optimizer.variables if phase else None)

    def lengthen(self, phase: schedule.Phase) -> None:
        """Stretch or shorten the present phase's schedule to the phase as it is planned now."""
        if phase.name == self.phase:
            self.optimizer.total_steps.assign(float(phase.epochs * self.steps_per_epoch))

    def knows(self, kind: Kind) -> bool:
        """Whether the graph of this kind of epoch is traced."""
        phase, side = kind
        return phase == self.phase and side in (self.side, *self.graphs)

    def steps(
        self,
        stream: int,
        *,
        epoch: int,
        side: int,
        strength: float,
        title: str,
        after: Callable[[float], float],
        stop: StopSignal,
        limit: int | None = None,
    ) -> tuple[dict[str, float], Watch]:
        """Train over an epoch's batches (or the first `limit`); returns the mean loss and accuracy, and what was watched.

        strength: a factor of the recipe's curriculum.
        after: seconds of the epochs that follow, from this one's seconds an image.
        """
        cells, shown = self.prepared.cells, self._plan(epoch)
        if side != self.side:
            # One graph a side, traced with its exact shapes: a resumed run then computes by the same graph as a straight one.
            self.graphs[self.side] = self.model.train_function
            self.model.train_function, self.side = self.graphs.get(side), side
        part_dropouts(self.strategy, self.network)
        with (
            Batches(
                cells.images,
                cells.labels,
                self.prepared.split.train[shown.rows],
                copy=shown.copy,
                augmentation=self.augmentations[strength],
                batch=self.batch,
                seed=self.seed,
                stream=stream,
                epoch=epoch,
                side=side if side < IMAGE_SIDE else None,
                shuffle=True,
                limit=limit,
                workers=self.decision.workers,
                hosts=self.hosts,
            ) as batches,
            self._spread(),
            bar() as progress,
        ):
            watch = Watch(
                progress, title=title, images=len(batches) * self.batch, batch=self.batch, after=after, stop=stop
            )
            # Several hosts read the losses at the same step, or they would wait for each other.
            watch.async_safe &= self.hosts.count == 1
            try:
                # shuffle=False: the order is ours; keras would draw another one from Python's global generator.
                history = self.model.fit(feed(batches), epochs=1, verbose=0, shuffle=False, callbacks=[watch]).history
            except Exception as error:  # the backends' own classes have nothing in common
                if is_out_of_memory(error):
                    raise UserError(
                        f"The device's memory does not hold a batch of {self.batch} images; halve it, or take a smaller network "
                        "(train --set batch=N, --set size=NAME; elsewhere in build/recipes.py)."
                    ) from error
                raise
        unite_statistics(self.strategy, self.network)
        return {name: values[-1] for name, values in history.items()}, watch
