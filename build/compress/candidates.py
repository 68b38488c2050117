"""The ways to make a run's weights smaller, by name, each from the run's weights to a file of submission/weights.py.

    make(METHODS["tuned-grid-0.5"], material, path)

float16, int8            as recipe.storage would store them
grid-STEP                kernels rounded to grids whose steps follow their sensitivity; STEP is their mean, in deviations of a channel
tuned-grid-STEP          the same after a short fine-tuning through the grid
palette-N                k-means, N values a kernel (depthwise kernels 256)
tfmot-cluster-N          tfmot's weight clustering, N values a kernel, with its fine-tuning
tfmot-prune-P            tfmot's magnitude pruning to P percent zeros, then a fine grid that keeps them
tfmot-prune-P-cluster-N  both: pruned, then clustered so that zeros stay zeros

tfmot leaves depthwise kernels alone; they are 3-8 % of the weights and the most sensitive ones, so after it they get a fine grid (and so
does everything else that it left alone). Whatever takes few values then is stored as palettes, vectors as float16.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from build.compress import tfmot_process, values
from build.compress.learning import Lessons, lessons_of
from build.errors import UserError
from build.run_cells import cells_of_run
from build.runs import Run
from build.train.streams import COMPRESS
from submission import weights
from submission.weights import Palette

FINE_STEP = 0.05
DEPTHWISE_VALUES = 256
PROBED = 64
"""Training images that the sensitivity is measured on, without augmentation."""


@dataclass(frozen=True)
class Method:
    """One way; `step`, `values` and `zeros` (a share) say how far it goes, `tuned` and `tfmot` how it gets there."""

    name: str
    storage: str = ""
    step: float = 0.0
    values: int = 0
    zeros: float = 0.0
    tuned: bool = False
    tfmot: bool = False


STEPS = (0.1, 0.25, 0.5, 0.75, 1.0)
METHODS = {
    method.name: method
    for method in (
        *(Method(storage, storage=storage) for storage in weights.STORAGES),
        *(Method(f"grid-{step:g}", step=step) for step in STEPS),
        *(Method(f"tuned-grid-{step:g}", step=step, tuned=True) for step in STEPS[1:]),
        *(Method(f"palette-{count}", values=count) for count in (16, 32)),
        *(Method(f"tfmot-cluster-{count}", values=count, tfmot=True) for count in (16, 32)),
        Method("tfmot-prune-50", zeros=0.5, tfmot=True),
        Method("tfmot-prune-50-cluster-16", zeros=0.5, values=16, tfmot=True),
    )
}
BASELINE = "float32"
DEFAULT = tuple(name for name, method in METHODS.items() if not method.tfmot)


def find(names: Sequence[str]) -> list[Method]:
    """The methods of these names, the baseline first; "tfmot" stands for all of its own. UserError where there is none of a name."""
    meant = {name: [method] for name, method in METHODS.items()}
    meant["tfmot"] = [method for method in METHODS.values() if method.tfmot]
    for name in names:
        if name not in meant:
            raise UserError(
                f"There is no compression method named {name!r}; the methods are {', '.join(METHODS)}, and tfmot for all of its own."
            )
    return list(dict.fromkeys(method for name in (BASELINE, *names) for method in meant[name]))


class Material:
    """What the methods work on: a run's weights and, read only where a method asks for them, its training cells."""

    def __init__(self, run: Run, *, steps: int):
        """steps: of every fine-tuning; at most an epoch of the recipe."""
        self.run, self.fine_tuning_steps = run, steps
        self.arrays, self.meta = weights.load(run.weights_path)

    @cached_property
    def cells(self):
        """The cells and their split."""
        return cells_of_run(self.run)

    @cached_property
    def sensitivities(self) -> dict[str, float]:
        """Of every kernel, on some images of the training side."""
        from build.compress.sensitivity import sensitivities  # imports the framework

        cells, split = self.cells
        rows = np.random.default_rng(self.run.facts["seed"]).permutation(split.train)[:PROBED]
        return sensitivities(self.arrays, self.meta["spec"], np.asarray(cells.images[np.sort(rows)]))

    def grid_steps(self, step: float) -> dict[str, float]:
        """The grid's step of every kernel."""
        harm = self.sensitivities
        return values.allocate({name: self.arrays[name].size for name in harm}, harm, step)

    def batches(self, lessons: Lessons):
        """Training batches of a fine-tuning."""
        from build.train.batches import Batches  # imports the framework

        return Batches(
            lessons.images,
            lessons.labels,
            lessons.rows,
            copy=lessons.copy,
            augmentation=lessons.augmentation,
            batch=lessons.batch,
            seed=lessons.seed,
            stream=COMPRESS,
            shuffle=True,
            limit=self.fine_tuning_steps,
        )


def make(method: Method, material: Material, path: Path) -> None:
    """Write the candidate to `path`, atomically; UserError where a package is missing or the fine-tuning diverges."""
    if method.storage:
        weights.save(path, material.arrays, material.meta, storage=method.storage)
        return
    arrays = _arrays(method, material)
    weights.save(path, arrays, material.meta, storage="float16", vectors="float16")


def _arrays(method: Method, material: Material) -> dict[str, np.ndarray | Palette]:
    if method.tfmot:
        return _tidied(tfmot_process.run(method, material))
    arrays = material.arrays
    kernels = [name for name in arrays if name.endswith(weights.KERNELS)]
    if method.values:
        counts = {
            name: DEPTHWISE_VALUES if name.endswith(weights.DEPTHWISE_KERNELS) else method.values for name in kernels
        }
        return arrays | {name: values.k_means(arrays[name], counts[name]) for name in kernels}
    steps = material.grid_steps(method.step)
    if not method.tuned:
        return arrays | {name: values.grid(arrays[name], steps[name]) for name in steps}
    from build.compress.fine_tune import fine_tune  # imports the framework

    lessons = lessons_of(material.run)
    with material.batches(lessons) as batches:
        try:
            palettes, others = fine_tune(
                arrays,
                material.meta["spec"],
                steps,
                batches,
                learning_rate=lessons.learning_rate,
                title=f"fine-tuning {method.name}",
            )
        except FloatingPointError as error:
            raise UserError(f"{method.name} failed: {error}.") from error
    return palettes | others


def _tidied(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray | Palette]:
    """Kernels of few values as palettes, the others on a fine grid that keeps zeros."""
    return {
        name: (values.exact(array) or values.grid(array, FINE_STEP)) if name.endswith(weights.KERNELS) else array
        for name, array in arrays.items()
    }
