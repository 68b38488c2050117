"""Read a data source into `Cells`: the one door to every format.

    read("training_set.npz", seed=0)      the competition's file
    read("cells/", seed=0)                a folder with one folder of images a class
    read("labels.csv", seed=0)            a CSV of an image's file and its class a line
    read("medmnist:bloodmnist", seed=0)   BloodMNIST at 128 pixels (also @64, @224), downloaded once
    read("synthetic:2400", seed=0)        synthetic cells, the embedded default

A source is read once: its images are streamed into a memory-mapped file under `cache`, named by the hash of what the
source holds, so that a changed file is read again and an unchanged one opens in the time of its hash.
"""

import contextlib
from pathlib import Path

from build.console import console
from build.data import csv_labels, folders, medmnist, npz, synthetic
from build.data.cells import Cells
from build.errors import UserError
from build.files import explained
from submission import contract


def read(source: str, *, seed: int, cache: Path = Path("data")) -> Cells:
    """Read `source`; `seed` matters to synthetic cells only. Raises UserError with one sentence on bad input.

    What the reader decided on its own (a mapping of names, resized images) is printed and kept in `Cells.notes`.
    """
    source, cache = str(source), Path(cache)
    _check_contract()
    cells = _read(source, seed, cache)
    for note in cells.notes:
        console.print(f"Note: {note}.", markup=False)
    return cells


def is_synthetic(source: str) -> bool:
    """Whether a source is the kit's own synthetic cells, "synthetic" or "synthetic:N", and no file whose name begins so."""
    return source.partition(":")[0] == "synthetic"


def _check_contract() -> None:
    """UserError where the contract asks for what the kit cannot make; it is the file that another competition changes."""
    shape, classes = contract.IMAGE_SHAPE, contract.CLASSES
    if len(shape) != 3 or shape[2] != 3:
        raise UserError(
            f"IMAGE_SHAPE in submission/contract.py must be (height, width, 3), got {shape}; store grey images as RGB."
        )
    if len(set(classes)) < max(1, len(classes)):
        raise UserError(f"CLASSES in submission/contract.py must be different names, got {classes}.")


def _read(source: str, seed: int, cache: Path) -> Cells:
    if not source.strip():
        raise UserError(
            "Expected a data source, got an empty one; give an npz file, a folder, medmnist:bloodmnist or synthetic."
        )
    if is_synthetic(source):
        return synthetic.read(source, seed=seed, cache=cache)
    if source.startswith("medmnist:"):
        return medmnist.read(source, cache=cache)
    path = Path(source)
    with contextlib.suppress(RuntimeError):  # "~name" of nobody's home is a path that does not exist
        path = path.expanduser()
    with explained(source, "read"):
        folder, file = path.is_dir(), path.is_file()
    if folder:
        return folders.read(path, cache=cache)
    if file and path.suffix.lower() == ".csv":
        return csv_labels.read(path, cache=cache)
    if file:
        return npz.read(path, cache=cache)
    raise UserError(
        f"{source} does not exist; expected an npz file, a folder with one folder of images a class, a CSV of "
        "files and classes, medmnist:bloodmnist, or synthetic."
    )
