"""A run folder with a tiny untrained network in it, for tests of what follows a training."""

from pathlib import Path

import numpy as np

from build.data.prepare import prepare
from build.recipe import Recipe
from build.runs import Run
from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.network import build, complete, variables


def make_run(folder: Path, recipe: Recipe, *, cells: int, seed: int = 3) -> Run:
    """A finished run of the recipe's custom CNN in folder/runs, on `cells` synthetic cells cached in folder/data."""
    prepared = prepare(f"synthetic:{cells}", recipe, seed=seed, cache=folder / "data", progress=False)
    run = Run.create(folder / "runs", recipe)
    prepared.split.save(run.split_path)
    run.update(seed=seed, data={"source": prepared.cells.source, "sha256": prepared.cells.sha256})
    spec = {"network": recipe.network, "depth": recipe.depth, "filters": recipe.filters}
    spec = complete(spec | {"classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)})
    arrays = {name: np.asarray(value) for name, value in variables(build(spec)).items()}
    weights.save(run.weights_path, arrays, {"spec": spec, "recipe": recipe.name}, storage="float32")
    return run
