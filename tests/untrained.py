"""Run folders that no training made, for tests of what follows one: with a tiny untrained network in it, or still without weights."""

from pathlib import Path

import numpy as np

from build.data.prepare import prepare
from build.recipe import Recipe
from build.runs import Run
from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.network import build, complete, variables


def run_without_weights(folder: Path, recipe: Recipe, *, cells: int, seed: int = 3) -> Run:
    """A run in folder/runs with its split of `cells` synthetic cells, which are cached in folder/data."""
    prepared = prepare(f"synthetic:{cells}", recipe, seed=seed, cache=folder / "data")
    run = Run.create(folder / "runs", recipe)
    run.become_latest()
    prepared.split.save(run.split_path)
    run.update(seed=seed, data={"source": prepared.cells.source, "sha256": prepared.cells.sha256})
    return run


def make_run(folder: Path, recipe: Recipe, *, cells: int, seed: int = 3) -> Run:
    """The same with the weights of the recipe's custom CNN, as they were drawn."""
    run = run_without_weights(folder, recipe, cells=cells, seed=seed)
    spec = {"network": recipe.network, "depth": recipe.depth, "filters": recipe.filters}
    spec = complete(spec | {"classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)})
    arrays = {name: np.asarray(value) for name, value in variables(build(spec)).items()}
    weights.save(run.weights_path, arrays, {"spec": spec, "recipe": recipe.name}, storage="float32")
    return run
