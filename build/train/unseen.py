"""Refuses weights from elsewhere, a teacher's or initial ones, that were trained on this run's test cells.

check("The teacher ID", path, prepared.split)
check_beginning(recipe.weights, prepared.split)
"""

from pathlib import Path

from build.console import console
from build.data.split import Split
from build.errors import UserError
from build.run_cells import split_of
from build.runs import Run
from build.train import pretrained
from submission import weights


def check(what: str, path: Path, split: Split) -> None:
    """Ask the split that a run leaves beside its weights; say so where there is none of these cells.

    Args:
        what: names the weights in the sentence, "The teacher ID".
        path: the weights file, which exists.
        split: of the training that takes them.

    Raises UserError where they were trained on cells that the training is tested with.

    """
    run = Run(path.parent)
    theirs = split_of(run) if run.split_path.is_file() else None
    if theirs is None and from_drawn_images(path):
        return
    if theirs is None or theirs.sha256 != split.sha256:
        console.print(
            f"Whether {what[0].lower()}{what[1:]} has seen this training's test cells cannot be told: it has no split of these cells.",
            style="yellow",
            markup=False,
        )
    elif seen := split.tests_seen_by(theirs):
        raise UserError(
            f"{what} was trained on {seen} of this training's test cells, so the held-out score would be too good; "
            "train both with the same --seed."
        )


def check_beginning(recipe_weights: str, split: Split) -> None:
    """`check` of what a recipe begins with, where that is a file: a run's, or one whose history nobody knows."""
    file = Path(recipe_weights)
    if file.is_file() and not pretrained.is_published_file(file):
        check(f"The network in {file}", file, split)


def from_drawn_images(path: Path) -> bool:
    """Whether the file is of a pretraining (build/pretrain/), which sees no cells, nor goes on from weights that did."""
    if path.suffix != ".npz":
        return False
    try:
        return "pretraining" in weights.load(path)[1]
    except weights.WeightsError:
        return True  # whoever loads it next tells what is wrong
