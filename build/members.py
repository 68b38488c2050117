"""Runs that are put together: the members of an ensemble in one zip, the ingredients of a soup.

    runs = open_members(["latest"])
    runs = open_members(["ID_1", "ID_2"])     # trained on the same cells, none on another's test cells

Such runs come from one --seed, which draws the split, and differ by recipe or by --member. A run that was trained as an ensemble
(build/train/ensemble.py) stands for its members.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from build.errors import UserError
from build.files import check_readable
from build.run_cells import split_of
from build.runs import Run
from build.standing import FAILED
from build.trained_operations import operations_trained_with
from submission import weights


def open_network(name: str | Path, root: Path | str = "runs") -> Run:
    """Open a run of one network; UserError if it has no weights yet, if they are damaged, or if it is an ensemble."""
    run = Run.open(name, root)
    if not run.weights_path.is_file():
        named = ", ".join(run.facts.get("members") or ())
        if named:
            raise UserError(
                f"Run {run.id} is an ensemble, which has no weights of its own; name one of its members: {named}."
            )
        if run.facts.get("status") == FAILED:
            raise UserError(
                f"Run {run.id} has no weights: its training failed in its first epoch. Where the machine was at fault (memory, disk), "
                f"nox -s train -- --resume {run.id} goes on; else train a new run with other settings."
            )
        raise UserError(
            f"Run {run.id} has no weights yet: it was stopped in its first epoch; nox -s train -- --resume {run.id}"
        )
    check_readable(run.weights_path)  # whose permissions are no damage
    try:
        weights.load(run.weights_path)
    except weights.WeightsError as error:
        found, _, _ = str(error).partition("; ")
        raise UserError(f"{found}; copy the run's folder anew, or train a new run.") from error
    return run


def open_members(names: Sequence[str | Path], root: Path | str = "runs") -> list[Run]:
    """Open runs that have weights and may be judged together on the first one's test cells, at least one.

    Raises UserError with one sentence if one does not exist, has no weights, is named twice, was trained on other cells, or was
    trained on test cells of the first.
    """
    opened = [Run.open(name, root) for name in names]
    runs = [open_network(folder, root) for run in opened for folder in _member_folders(run)]
    first, *others = runs
    for number, run in enumerate(others, 1):
        if run.folder.resolve() in {known.folder.resolve() for known in runs[:number]}:
            raise UserError(f"Run {run.id} is named twice; name every run once.")
        if _cells(run) != _cells(first):
            raise UserError(
                f"The runs {first.id} and {run.id} were trained on other cells, so no cells are unseen by both for certain; "
                "name runs of the same data."
            )
        if seen := split_of(first).tests_seen_by(split_of(run)):
            raise UserError(
                f"Run {run.id} was trained on {seen} of the test cells of run {first.id}, so the held-out score would be too good; "
                "train the members with the same --seed and tell them apart by --member."
            )
    return runs


def operations_of(run: Run) -> tuple[str, ...]:
    """The operations that a run trained with, or any ingredient of a soup (build/trained_operations.py)."""
    return run.facts.get("operations") or operations_trained_with(dataclasses.asdict(run.recipe))


def known_of(runs: Sequence[Run]) -> dict:
    """What a scorecard says of the training of a zip's runs: the first one's recipe, all their names and operations."""
    operations = sorted({operation for run in runs for operation in operations_of(run)})
    named = {"name": " + ".join(run.recipe.name for run in runs), "operations": operations}
    return dataclasses.asdict(runs[0].recipe) | named


def _member_folders(run: Run) -> list[Path]:
    """Of an ensemble, as far as it was trained; of any other run its own."""
    return [run.folder.parent / member for member in run.facts.get("members") or (run.id,)]


def _cells(run: Run) -> str | None:
    return run.facts.get("data", {}).get("sha256")
