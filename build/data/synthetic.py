"""Synthetic blood cells: the embedded default, so that everything can be tried without data.

    python -m build.data.synthetic sheet.png        a contact sheet: one row a class

They are meant to be learned by the same means as real ones: by the nucleus' shape (lobes, kidney, disc), granules and
their colour, the cytoplasm's extent and tint, size, with red cells, platelets, stain and light varying independently of
the class. They are no model of haematology and scores on them say nothing about real cells.

Cell i of seed s depends on (s, i) and the contract only, not on how many are drawn.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from build.data import cache as store
from build.data import kinds as kinds_module
from build.data import painting
from build.data.cells import Cells
from build.errors import UserError
from submission import contract

DEFAULT_COUNT = 2400
SHARES = {
    "basophil": 850,
    "eosinophil": 2180,
    "erythroblast": 1085,
    "immature granulocytes": 2023,
    "lymphocyte": 849,
    "monocyte": 993,
    "neutrophil": 2330,
    "platelet": 1641,
}
"""Kinds that can be drawn, and how often each occurs among the competition's 11,951 different cells."""
DRAWING = (__file__, painting.__file__, kinds_module.__file__)
"""Files that decide what is drawn: cells drawn by other ones are not taken from the cache."""
GOLDEN = (5**0.5 - 1) / 2


def read(source: str, *, seed: int, cache: Path) -> Cells:
    """Draw `synthetic` or `synthetic:N` cells (default 2400); UserError where N is no number or too small for cells of every class."""
    count = _count(source)
    kinds = kinds_of_classes()
    if (least := _least(seed, kinds)) > count:
        raise UserError(f"Expected N of synthetic:N to be {least} or more, so that every class is drawn, got {source}.")
    drawing = "".join(hashlib.sha256(Path(f).read_bytes()).hexdigest() for f in DRAWING)
    name = store.key("synthetic", str(count), str(seed), drawing)
    return store.find(cache, name, source) or store.write(
        cache, name, source, count, _pieces(count, seed, kinds), [], verb="Drawing"
    )


def _count(source: str) -> int:
    if source == "synthetic":
        return DEFAULT_COUNT
    if re.fullmatch(r"synthetic:[0-9]{1,7}", source) is None or int(source[10:]) == 0:
        raise UserError(f"Expected synthetic or synthetic:N with N from 1 to 9999999, got {source}.")
    return int(source[10:])


def _least(seed: int, kinds: list[str]) -> int:
    """How many of a seed's cells hold every class."""
    seen: set[int] = set()
    count = 0
    while len(seen) < len(kinds):
        seen.add(label(count, seed=seed, kinds=kinds))
        count += 1
    return count


def kinds_of_classes() -> list[str]:
    """The kind that is drawn for each class of the contract: the one of its name, else the first ones in order."""
    kinds = list(SHARES)
    named = [name.casefold() for name in contract.CLASSES]
    if all(name in SHARES for name in named):
        return named
    if len(named) > len(kinds):
        raise UserError(
            f"Synthetic cells know {len(kinds)} kinds, but submission/contract.py asks for {len(named)}; "
            "take cells of your own (--data), which pretraining does not: begin from other weights or from scratch."
        )
    return kinds[: len(named)]


def label(index: int, *, seed: int, kinds: list[str]) -> int:
    """Class of cell `index`: shares as in the competition, spread evenly so that every class turns up among few cells.

    A golden-ratio sequence (Kronecker) with a seeded start: any prefix has the shares within about one cell.
    """
    start = np.random.default_rng([seed, 2**31]).random()
    limits = np.cumsum([SHARES[kind] for kind in kinds])
    return int(np.searchsorted(limits, (start + index * GOLDEN) % 1 * limits[-1], side="right"))


def cell(index: int, *, seed: int, kinds: list[str]) -> tuple[np.ndarray, int]:
    """Cell `index` of `seed`: image of the contract's shape uint8 RGB, and its label."""
    chosen = label(index, seed=seed, kinds=kinds)
    return painting.paint(kinds[chosen], contract.IMAGE_SHAPE[:2], rng=np.random.default_rng([seed, index])), chosen


def cells(numbers: Iterable[int], *, seed: int, kinds: list[str] | None = None) -> store.Piece:
    """Images and labels of the cells of these numbers; of the contract's classes unless `kinds` says otherwise."""
    kinds = kinds or kinds_of_classes()
    drawn = [cell(number, seed=seed, kinds=kinds) for number in numbers]
    return np.stack([image for image, _ in drawn]), np.array([chosen for _, chosen in drawn], np.int64)


def _pieces(count: int, seed: int, kinds: list[str]) -> Iterator[store.Piece]:
    step = 32
    for start in range(0, count, step):
        yield cells(range(start, min(start + step, count)), seed=seed, kinds=kinds)


def sheet(columns: int, *, seed: int) -> np.ndarray:
    """Contact sheet: `columns` cells of each kind in a row, (rows*H, columns*W, 3) uint8."""
    rows = []
    for row, kind in enumerate(kinds_of_classes()):
        drawn = [
            painting.paint(kind, contract.IMAGE_SHAPE[:2], rng=np.random.default_rng([seed, row, i]))
            for i in range(columns)
        ]
        rows.append(np.hstack(drawn))
    return np.vstack(rows)


if __name__ == "__main__":
    cv2.imwrite(sys.argv[1], sheet(10, seed=0)[..., ::-1])
