"""From a source to split cells in one call: read -> curate -> split. A second call reads everything from the cache.

prepared = prepare("training_set.npz", recipe, seed=0)
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.console import console
from build.data import curate as curation_module
from build.data import features, foreign, near
from build.data.cells import Cells
from build.data.curate import Curation, curate
from build.data.read import read
from build.data.split import Split, fold, split
from build.recipe import Recipe


@dataclass(frozen=True)
class Prepared:
    """Cells, what curation kept of them, and the split of the kept rows; all rows count in `cells`."""

    cells: Cells
    curation: Curation
    split: Split


def prepare(
    source: str,
    recipe: Recipe,
    *,
    seed: int,
    cache: Path = Path("data"),
    cells: Cells | None = None,
    whole: bool = False,
) -> Prepared:
    """Read, curate and split `source` with the shares of `recipe`, or for its fold; `cells`, where given, are the source's.

    Curation depends on the cells alone and is kept under `cache` by their hash; the split takes milliseconds and is
    made anew, so a changed seed or share never meets a stale one. Raises UserError as `read` and `split` do, and where
    `cache` cannot be written.
    """
    cells = cells or read(source, seed=seed, cache=cache)
    curation = _curated(cells, Path(cache))
    if curation.caveat:
        console.print(curation.caveat, style="yellow")
    asked = {
        "validation_share": recipe.validation_share,
        "seed": seed,
        "stratified": "unstratified" not in recipe.defects,
    }
    if whole:
        none = np.empty(0, np.int64)
        parts = Split(curation.kept, none, none, curation.dropped, seed, cells.sha256)
    elif recipe.folds:
        parts = fold(cells, curation, number=recipe.fold, folds=recipe.folds, **asked)
    else:
        parts = split(cells, curation, test_share=recipe.test_share, **asked)
    assert len(parts.train) + len(parts.validation) + len(parts.test) + len(parts.dropped) == len(cells)
    return Prepared(cells, curation, parts)


def curation_path(cells: Cells, cache: Path) -> Path:
    """Where the cells' curation is kept. The name changes with the code that decides."""
    digest = hashlib.sha256(cells.sha256.encode())
    for module in (curation_module, features, foreign, near):
        digest.update(Path(module.__file__).read_bytes())
    return cache / f"curation-{digest.hexdigest()[:20]}.npz"


def _curated(cells: Cells, cache: Path) -> Curation:
    """Curation from the cache, or made and put there."""
    path = curation_path(cells, cache)
    if path.exists():
        try:
            return Curation.load(path)
        except (OSError, ValueError, KeyError):
            # Damaged: made again below.
            path.unlink()
    curation = curate(cells)
    curation.save(path)
    return curation
