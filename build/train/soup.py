"""Soups: one network whose weights are the mean of several runs' (Wortsman et al. 2022), as accurate as a small ensemble, as fast as one.

    python -m build soup RUN RUN ... [--greedy]

    run = soup(["ID_1", "ID_2"], greedy=True)        # a run like any other: package it

It needs runs that began with the same trained weights: those lie in one basin, in whose middle the mean is. Runs that began with other
random weights have no such basin between them. Where a network has BatchNorm, the statistics of the mean are measured anew
(Izmailov et al. 2018, section 3.2): those of the ingredients are of other features. Norms that no ingredient's training moved
(fine_tune_layers) keep theirs.
"""

import dataclasses
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
from rich.markup import escape
from rich.table import Table

from build.augment.balance import plan
from build.augment.pipeline import Augmentation
from build.augment.settings import unmixed
from build.console import bar, console
from build.data.prepare import Prepared
from build.errors import UserError
from build.files import sha256
from build.members import open_members, operations_of
from build.run_cells import cells_of_run, split_of
from build.runs import Run
from build.standing import SOUP, merit, score_of
from build.train.batches import Batches
from build.train.classifier import Classifier
from build.train.losses import Objective, accuracy
from build.train.streams import PLAN, STATISTICS, generator
from build.train.validation import Validation
from submission import contract, weights
from submission import network as networks

STATISTICS_BATCHES = 32
"""Training batches, of at least 64 images each, that the statistics of a mean are measured on."""
TRAINING_ONLY = ("seed", "dropout", "stochastic_depth", "layer_scale", "l1", "l2")
"""Settings of a spec that do not change what trained weights compute."""
STATISTICS_OF_NORMS = ("/moving_mean", "/moving_variance")
Arrays = dict[str, np.ndarray]


def soup(names: Sequence[str | Path], *, greedy: bool, root: Path = Path("runs"), cache: Path = Path("data")) -> Run:
    """Average runs of one network and return the new run folder with its weights, not yet packaged.

    Args:
        names: runs, by ID or folder. The first one's recipe is the soup's (views, storage, gates) and perturbs the validation cells; the
            order of the others does not matter.
        greedy: take the runs from the best to the worst, and keep only those with which the score does not fall
            (Wortsman et al. 2022, recipe 1); else take all. The score is the training's: mean accuracy on clean and on
            perturbed validation cells.
        root: where runs are.
        cache: of prepared data.

    Raises UserError where the runs are of other networks, or one has seen the validation or test cells of the first.

    """
    runs = open_members(names, root)
    pot = Pot(runs, cache)
    with bar("scoring", 2 * len(runs) if greedy else len(runs) + 1, "networks") as advance:
        scores = []
        for run in runs:
            scores.append(pot.score([run])[1])
            advance()
        order = sorted(range(len(runs)), key=lambda number: merit(scores[number]), reverse=True)
        kept = order[:1] if greedy else order
        arrays, measured = pot.score([runs[number] for number in kept])
        advance()
        for number in order[1:] if greedy else ():
            tried, result = pot.score([runs[kept_number] for kept_number in (*kept, number)])
            if result["score"] >= measured["score"]:
                kept, arrays, measured = [*kept, number], tried, result
            advance()
    return _write(root, runs, scores, kept, arrays, measured, pot, greedy=greedy)


class Pot:
    """One network of the runs' kind, and the first run's cells to measure any mean of them on."""

    def __init__(self, runs: Sequence[Run], cache: Path):
        first = runs[0]
        self.recipe, self.seed = first.recipe, first.facts["seed"]
        cells, self.split = cells_of_run(first, cache)
        self.prepared = Prepared(cells, None, self.split)
        kinds = {run.id: _kind(run) for run in runs}
        for run in runs[1:]:
            if kinds[run.id] != kinds[first.id]:
                raise UserError(
                    f"The runs {first.id} and {run.id} are of different networks, whose weights have no mean; "
                    "package them as an ensemble instead: nox -s package -- RUN RUN."
                )
            if len(np.intersect1d(self.split.validation, split_of(run).train)):
                raise UserError(
                    f"Run {run.id} was trained on validation cells of run {first.id}, so their scores cannot be compared; "
                    "train the runs with the same --seed and tell them apart by --member."
                )
        self.spec = weights.load(first.weights_path)[1]["spec"]
        self.network = networks.build(self.spec, initialize=False)
        self.model = Classifier(self.network)
        classes = len(contract.CLASSES)
        self.model.compile(loss=Objective(class_weight=[1.0] * classes), metrics=[accuracy])
        self.validation = Validation(self.prepared, self.recipe, seed=self.seed, workers=2)

    def score(self, runs: Sequence[Run]) -> tuple[Arrays, dict[str, float]]:
        """The mean of the runs' weights, and what validation says of it."""
        targets, paths = networks.variables(self.network), [run.weights_path for run in runs]
        for name, array in mean(paths).items():
            targets[name].assign(array)
        if len(runs) > 1:
            with self._batches() as batches:
                pixels = (x for x, _ in map(batches.__getitem__, range(len(batches))))
                measure_statistics(self.network, pixels, frozen=frozen_norms(paths))
        measured = self.validation.evaluate(self.model)
        measured["validation_accuracy"], measured["validation_loss"] = measured.pop("accuracy"), measured.pop("loss")
        measured["score"] = score_of(measured["validation_accuracy"], measured["perturbed_accuracy"])
        return {name: np.array(keras.ops.convert_to_numpy(target)) for name, target in targets.items()}, measured

    def _batches(self) -> Batches:
        """Training batches as an epoch shows them, but with labels of one image each."""
        cells, classes = self.prepared.cells, len(contract.CLASSES)
        labels = cells.labels[self.split.train]
        epoch = plan(labels, self.recipe, rng=generator(self.seed, PLAN), classes=classes)
        return Batches(
            cells.images,
            cells.labels,
            self.split.train[epoch.rows],
            copy=epoch.copy,
            augmentation=Augmentation(unmixed(self.recipe), classes=classes),
            batch=self.validation.batch,
            seed=self.seed,
            stream=STATISTICS,
            shuffle=True,
            limit=STATISTICS_BATCHES,
        )


def _kind(run: Run) -> tuple[dict, dict]:
    """What runs of one pot have in common: the arrays' shapes, and the spec without what only a training needs."""
    arrays, meta = weights.load(run.weights_path)
    spec = networks.complete(meta["spec"])
    function = {name: value for name, value in spec.items() if name not in TRAINING_ONLY}
    return {name: array.shape for name, array in arrays.items()}, function


def mean(paths: Iterable[Path]) -> Arrays:
    """The mean of the arrays of weights files of one network, float32; two files' arrays are held at a time."""
    total: Arrays = {}
    for count, path in enumerate(paths, 1):
        for name, array in weights.load(path)[0].items():
            total[name] = array.astype(np.float64) + total[name] if count > 1 else array.astype(np.float64)
    return {name: (array / count).astype(np.float32) for name, array in total.items()}


def frozen_norms(paths: Iterable[Path]) -> set[str]:
    """The BatchNorms whose statistics are equal in all weights files: no training moved what was published or drawn."""
    first, *others = (
        {name: array for name, array in weights.load(path)[0].items() if name.endswith(STATISTICS_OF_NORMS)}
        for path in paths
    )
    moved = {name for name in first if any((first[name] != other[name]).any() for other in others)}
    return {name.rpartition("/")[0] for name in first} - {name.rpartition("/")[0] for name in moved}


def measure_statistics(network: keras.Model, batches: Iterable[np.ndarray], *, frozen: Container[str] = ()) -> None:
    """Set the moving statistics of every BatchNorm to their mean over `batches`, each (B, H, W, 3); at least one batch.

    frozen: names of norms that compute with the statistics that they have, and keep them.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == sum(name.endswith("/moving_mean") for name in networks.variables(network))
    for norm in norms:
        norm.trainable = norm.name not in frozen  # one that does not learn uses its statistics in training too
    norms = [norm for norm in norms if norm.trainable]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    moving = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    for norm in norms:
        norm.momentum = 0.0  # then a batch leaves exactly its own statistics
    totals, count = [np.zeros(variable.shape) for variable in moving], 0
    for pixels in batches:
        network(pixels, training=True)
        count += 1
        for total, variable in zip(totals, moving, strict=True):
            total += keras.ops.convert_to_numpy(variable)
    for variable, total in zip(moving, totals, strict=True):
        variable.assign(total / count)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _write(
    root: Path,
    runs: list[Run],
    scores: list[dict],
    kept: list[int],
    arrays: Arrays,
    measured: dict,
    pot: Pot,
    *,
    greedy: bool,
) -> Run:
    """The new run's folder, and a table for the console."""
    first = runs[0]
    recipe = dataclasses.replace(pot.recipe, name=f"{pot.recipe.name}-soup")
    taken = {
        key: first.facts[key]
        for key in ("seed", "backend", "data", "parameters", "classes", "images")
        if key in first.facts
    }
    ingredients = [
        {"run": run.id, "sha256": sha256(run.weights_path), "used": number in kept} | score
        for number, (run, score) in enumerate(zip(runs, scores, strict=True))
    ]
    run = Run.create(
        root,
        recipe,
        **taken,
        spec=pot.spec,
        status=SOUP,
        soup={"greedy": greedy, "ingredients": ingredients},
        operations=sorted({operation for number in kept for operation in operations_of(runs[number])}),
        result=measured,
    )
    pot.split.save(run.split_path, pot.prepared.cells.files)
    meta = {"spec": pot.spec, "recipe": recipe.name, "views": recipe.views}
    run.save_weights(arrays, meta)
    run.become_latest()  # not before: a soup that met a full disk is nothing to go on with
    _show(run, ingredients, measured)
    return run


def _show(run: Run, ingredients: list[dict], measured: dict) -> None:
    table = Table("run", title=escape(f"Soup {run.id}"))
    for head in ("validation", "perturbed", "score", "used"):
        table.add_column(head, justify="right")
    for row in (*ingredients, measured | {"run": "soup", "used": None}):
        figures = (f"{row[key]:.3f}" for key in ("validation_accuracy", "perturbed_accuracy", "score"))
        table.add_row(escape(row["run"]), *figures, {True: "yes", False: "no", None: ""}[row["used"]])
    console.print(table)
    if measured["score"] < max(row["score"] for row in ingredients):
        console.print(
            "The soup scores below its best ingredient: use --greedy, or runs that began with the same trained weights.",
            style="yellow",
        )
