"""The cells that a zip is judged on: the test side of a run's split, or of a data source's own split.

    held = of_run(Run.open("latest"))
    conditions = materialise(SUITES, held.images, held.labels, seed=held.seed, cache=cache)

No network has been fitted to, or chosen by, the test side of its run.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.data.cells import Cells
from build.data.prepare import prepare
from build.data.read import is_synthetic
from build.data.split import Split
from build.errors import UserError
from build.recipe import Recipe
from build.run_cells import cells_of_run
from build.runs import Run


class Rows:
    """Some rows of an array of images, read when they are asked for: (n, H, W, 3) uint8 without a copy of n images."""

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self._images, self._rows = images, rows
        self.shape, self.dtype, self.ndim = (len(rows), *images.shape[1:]), images.dtype, images.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key) -> np.ndarray:
        """The image or images of one row, a slice, or an array of rows."""
        return self._images[self._rows[key]]


@dataclass(frozen=True)
class HeldOut:
    """Test cells."""

    images: Rows
    """(n, H, W, 3) uint8."""
    labels: np.ndarray
    """(n,) int64."""
    seed: int
    """Of the split; the suites' random numbers come from it too."""
    source: str
    """One line for people: which cells these are."""
    synthetic: bool = False
    """Whether the kit drew them: what a zip scores on them says nothing about real cells."""
    cells_sha256: str = ""
    """Of all cells that the split is of; empty where nobody asks."""
    split: Split | None = None
    files: tuple[str, ...] = ()
    """Of all cells, where the source is of image files (Cells.files)."""


def of_run(run: Run, cache: Path = Path("data"), cells: Cells | None = None) -> HeldOut:
    """The test side of the split that `run` was trained with; `cells`, where given, are its source's, read already.

    UserError where its data is no longer the same.
    """
    cells, parts = cells_of_run(run, cache, cells)
    return _held(cells, parts, run.facts["seed"], f"test cells of {cells.source}, run {run.id}")


def of_data(source: str, seed: int = 0, cache: Path = Path("data"), *, whole: bool = False) -> HeldOut:
    """The test side of the default split of a data source, or with `whole` all that curation keeps of it.

    A zip that was trained elsewhere may have seen them.
    """
    prepared = prepare(source, Recipe(name="judge"), seed=seed, cache=cache, whole=whole)
    cells, parts = prepared.cells, prepared.split
    if whole:
        parts = dataclasses.replace(parts, train=parts.test, test=parts.train)
    return _held(cells, parts, seed, f"{'all' if whole else 'test'} cells of {source}")


def _held(cells: Cells, parts: Split, seed: int, told: str) -> HeldOut:
    return HeldOut(
        Rows(cells.images, parts.test),
        cells.labels[parts.test],
        seed,
        told,
        is_synthetic(cells.source),
        cells.sha256,
        parts,
        cells.files,
    )


def default(root: Path | str = "runs", cache: Path = Path("data")) -> HeldOut:
    """The last run's test cells where there is a run, else synthetic ones."""
    try:
        run = Run.open("latest", root)
    except UserError:
        return of_data("synthetic", cache=cache)
    return of_run(run, cache)
