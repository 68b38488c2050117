"""The cells that a run was trained on, and its split of them: what judging, compressing and averaging it begin with.

cells, split = cells_of_run(Run.open("latest"))
"""

from pathlib import Path

from build.console import console
from build.data import cache as store
from build.data.cells import Cells
from build.data.read import read
from build.data.split import Split
from build.errors import UserError
from build.runs import Run
from submission.contract import CLASSES


def cells_of_run(run: Run, cache: Path = Path("data"), cells: Cells | None = None) -> tuple[Cells, Split]:
    """The cells of `run` and all sides of its split; `cells`, where given, are its source's, read already.

    Where the source was moved or replaced since, its cells come from the cache, and a line says so. UserError where they are gone.
    """
    facts = run.facts
    if "data" not in facts:
        raise UserError(f"Run {run.id} was stopped before its training began; train a new one.")
    if list(facts.get("classes", CLASSES)) != list(CLASSES):
        raise UserError(
            f"Run {run.id} was trained for other classes ({', '.join(facts['classes'])}) than submission/contract.py has; put those back, "
            "or train a new run."
        )
    source, wanted = facts["data"]["source"], facts["data"]["sha256"]
    try:
        cells = cells or read(source, seed=facts["seed"], cache=cache)
        told = f"{source} holds other cells than run {run.id} was trained on; those are in {cache}."
        gone = f"The cells of {source} are not those that run {run.id} was trained on; put the old file back or train a new run."
    except UserError as error:
        told = f"{source}, which run {run.id} was trained on, cannot be read any more; its cells are in {cache}."
        gone = f"The data of run {run.id} cannot be read: {error} Put it back there."
    if cells is None or cells.sha256 != wanted:
        if (cells := store.of_hash(Path(cache), wanted, source)) is None:
            raise UserError(gone)
        console.print(told, style="yellow", markup=False)
    return cells, split_of(run)


def split_of(run: Run) -> Split:
    """The split that a run was trained with; UserError if it cannot be read."""
    try:
        return Split.load(run.split_path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The split of run {run.id} cannot be read ({error}); train a new run.") from error
