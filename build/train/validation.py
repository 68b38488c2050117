"""Validation on clean and on perturbed cells, with the averaged weights.

Clean accuracy says nothing about a perturbed test set, so the validation cells are also shown as the recipe's own augmentation at full
strength would show them (`podium`'s where it has none): one by one, and the same in every epoch.
"""

import dataclasses

import numpy as np

from build.augment.pipeline import Augmentation
from build.augment.settings import unmixed
from build.recipe import Recipe
from build.train import checkpoint
from build.train.batches import Batches, Plain
from build.train.classifier import Classifier
from build.train.feed import feed
from build.train.hosts import Hosts
from build.train.streams import PERTURB
from submission import contract
from submission import network as networks

LEAST_BATCH = 64
"""Images a batch; validation keeps no activations, so it takes at least so many at once."""


class Validation:
    """The validation cells of a run, ready to be measured after every epoch."""

    def __init__(
        self,
        prepared,
        recipe: Recipe,
        *,
        seed: int,
        workers: int,
        hosts: Hosts | None = None,
        replicas: int = 1,
    ):
        """Take the validation side of `prepared`; the augmentation is the recipe's without what mixes images or makes views of them.

        hosts: the processes that share the batches; None for this one alone. replicas: GPUs of this process that share each batch.
        """
        self.hosts = hosts or Hosts()
        augmenter = "podium" if recipe.augmenter == "none" else recipe.augmenter
        # Surroundings would make an image depend on which others share its batch.
        shown = dataclasses.replace(unmixed(recipe), augmenter=augmenter, surroundings_probability=0.0)
        self.prepared, self.seed, self.workers = prepared, seed, workers
        self.batch = max(LEAST_BATCH, recipe.batch)
        if replicas > 1:  # keras needs equal shares of the first batch
            most = min(self.batch, len(prepared.split.validation))
            self.batch = max(most - most % replicas, replicas)
        classes = len(contract.CLASSES)
        self.kinds = {"": Plain(classes), "perturbed_": Augmentation(shown, classes=classes)}

    def batches(self, augmentation) -> Batches:
        """All validation cells in order; images at their own size."""
        cells = self.prepared.cells
        return Batches(
            cells.images,
            cells.labels,
            self.prepared.split.validation,
            augmentation=augmentation,
            batch=self.batch,
            seed=self.seed,
            stream=PERTURB,
            workers=self.workers,
            hosts=self.hosts,
        )

    def evaluate(self, model: Classifier, judge: Classifier | None = None) -> dict[str, float]:
        """Measure the model as it is: "loss", "accuracy", "perturbed_loss", "perturbed_accuracy".

        judge: a compiled copy that sees the images in the model's place, with its weights; None for the model itself.
        """
        judge = judge or model
        if judge is not model:
            checkpoint.restore(judge.network.variables, checkpoint.snapshot(model.network.variables))
        measured = {}
        for prefix, augmentation in self.kinds.items():
            measured |= {prefix + name: value for name, value in self._means(judge, augmentation).items()}
        return measured

    def measure(
        self, model: Classifier, optimizer, judge: Classifier | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Measure the model with the optimizer's averaged weights; the raw weights are back afterwards.

        judge: as in `evaluate`.

        Returns the averaged weights by name, and what `evaluate` does.
        """
        trainable = model.trainable_variables
        raw = checkpoint.snapshot(trainable)
        optimizer.load_average(trainable)
        measured = self.evaluate(model, judge)
        named = networks.variables(model.network)
        arrays = dict(zip(named, checkpoint.snapshot(list(named.values())), strict=True))
        checkpoint.restore(trainable, raw)
        return arrays, measured

    def trace(self, judge: Classifier) -> None:
        """Have the graph traced and compiled that measuring goes through: the first time takes XLA a minute."""
        self._means(judge, self.kinds[""])

    def _means(self, judge: Classifier, augmentation) -> dict[str, float]:
        """Loss, without the penalties of large weights, and accuracy over the validation cells, those of all hosts together."""
        with self.batches(augmentation) as batches:
            images = batches.images_made
            logs = judge.evaluate(feed(batches), verbose=0, return_dict=True) if images else {}
        if logs:
            # Keras adds l1 and l2 of the layers that learn, which tell nothing of a cell and differ between phases.
            logs["loss"] -= float(sum(judge.losses))
        if self.hosts.count == 1:
            return {name: float(value) for name, value in logs.items()}
        names = ("loss", "accuracy")
        *sums, images = self.hosts.sum([*(images * float(logs.get(name, 0.0)) for name in names), images])
        return {name: float(value / images) for name, value in zip(names, sums, strict=True)}
