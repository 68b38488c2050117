"""Runs that are put together: the members of an ensemble in one zip, the ingredients of a soup.

    runs = open_members(["latest"])
    runs = open_members(["ID_1", "ID_2"])     # trained on the same cells, none on another's test cells

Such runs come from one --seed, which draws the split, and differ by recipe or by --member.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from build.data.split import Split
from build.errors import UserError
from build.runs import Run
from build.score.seen import operations_trained_with


def open_members(names: Sequence[str | Path], root: Path | str = "runs") -> list[Run]:
    """Open runs that have weights and may be judged together on the first one's test cells, at least one.

    Raises UserError with one sentence if one does not exist, has no weights, is named twice, was trained on other cells, or was
    trained on test cells of the first.
    """
    runs = [Run.open(name, root) for name in names]
    for run in runs:
        if not run.weights_path.is_file():
            raise UserError(
                f"Run {run.id} has no weights yet: it was stopped in its first epoch; python -m build train --resume {run.id}"
            )
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


def split_of(run: Run) -> Split:
    """The split that a run was trained with; UserError if it cannot be read."""
    try:
        return Split.load(run.split_path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The split of run {run.id} cannot be read ({error}); train a new run.") from error


def operations_of(run: Run) -> tuple[str, ...]:
    """The operations that a run trained with, or any ingredient of a soup (build/score/seen.py)."""
    return run.facts.get("operations") or operations_trained_with(dataclasses.asdict(run.recipe))


def _cells(run: Run) -> str | None:
    return run.facts.get("data", {}).get("sha256")
