"""What a training leaves in its run folder while it runs, and how it is taken up again.

    run = create(root, recipe, ...)
    save(run, state, timetable, learner.variables, phase="all")    after every epoch
    state, phase = recall(run, timetable)                           in another process
    finish(run, state, status, minutes=43.0)

A run folder exists from the moment on at which nothing in recipe or data can be wrong any more, so `runs/latest` never points at a
training that could not begin.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import keras

from build.console import console
from build.data.split import SIDES, Split
from build.errors import UserError
from build.recipe import Recipe
from build.run_cells import split_of
from build.runs import Run
from build.standing import FAILED, INTERRUPTED, RUNNING, SOUP, score_of
from build.train import checkpoint, curves, hardware, pretrained, tensorboard
from build.train.budget import Kind, Timetable
from build.train.distillation import TeacherFile
from submission import contract


@dataclass
class State:
    """What a training knows between two epochs."""

    total: int
    """Epochs in all; a time budget may lower it."""
    done: int = 0
    decided: bool = False
    """Whether the time budget has settled the total."""
    history: list[dict] = field(default_factory=list)
    """One row an epoch, as in history.csv."""
    best: dict | None = None
    """The row of the best epoch, whose weights are kept."""
    seconds: float = 0.0
    """Spent before this session."""


def create(root: Path, recipe: Recipe, prepared, seed: int, **facts: object) -> Run:
    """Make the run folder of one training or several of the same cells: what `check_same` compares, `facts`, and the split.

    Whoever trains it says when it is the latest run.
    """
    cells, split = prepared.cells, prepared.split
    run = Run.create(
        root,
        recipe,
        seed=seed,
        backend=keras.backend.backend(),
        data={"source": cells.source, "sha256": cells.sha256},
        classes=list(contract.CLASSES),
        images={side: len(getattr(split, side)) for side in ("train", "validation", "test")},
        **facts,
        status=RUNNING,
    )
    split.save(run.split_path, cells.files)
    return run


def decision_of(
    run: Run, recipe: Recipe, prepared, seed: int, teachers: Sequence[TeacherFile] = ()
) -> hardware.Decision:
    """The decision of a run that is gone on with; UserError where recipe, data, seed, backend or teachers are not the run's."""
    facts = run.facts
    if facts.get("status") == SOUP:
        raise UserError(f"Run {run.id} is a soup of trained runs: there is nothing to go on with; resume one of those.")
    check_same(run, recipe, prepared, seed)
    for known, teacher in zip(facts.get("teachers", []), teachers, strict=True):
        if known["sha256"] != teacher.sha256:
            raise UserError(
                f"The teacher {teacher.name} has other weights than when run {run.id} began (SHA-256 {teacher.sha256[:12]} "
                f"instead of {known['sha256'][:12]}); put the old file back, or train a new run."
            )
    try:
        decision = hardware.Decision(**facts["decided"])
    except TypeError as error:
        raise _of_another_version(run, "notes") from error
    if not run.checkpoint_path.exists():  # it begins from them again
        found = pretrained.hash_of(decision.weights, recipe.network, facts["spec"].get("size"))
        if found != facts["weights_sha256"]:
            raise UserError(
                f"The weights {decision.weights} are others than when run {run.id} began; put the old ones back, or train a new run."
            )
    return decision


def check_split(split: Split) -> None:
    """UserError where a side of the split is empty: without test cells no zip of this training could be judged."""
    for side in SIDES:
        if not len(getattr(split, side)):
            remedy = "give more cells" if side == "train" else f"raise the recipe's {side}_share"
            raise UserError(f"The {side} side of the split is empty; {remedy}.")


def check_same(run: Run, recipe: Recipe, prepared, seed: int) -> None:
    """UserError where a run that is gone on with was begun with another recipe, data, seed or backend."""
    facts = run.facts
    for what, theirs, ours in (
        ("recipe", run.recipe, recipe),
        ("seed", facts["seed"], seed),
        ("data", facts["data"]["sha256"], prepared.cells.sha256),
        ("keras backend", facts["backend"], keras.backend.backend()),
    ):
        if theirs != ours:
            raise UserError(
                f"Run {run.id} was trained with another {what}; resume it with its own, or train a new run."
            )
    if not split_of(run).divides_as(prepared.split):  # of the same cells, recipe and seed
        raise _of_another_version(run, "split")


def _of_another_version(run: Run, what: str) -> UserError:
    return UserError(
        f"Run {run.id} was trained with another {what} than this version of the code, or of its packages, makes; check out the commit "
        f"named in {run.facts_path}, or train a new run."
    )


def row(
    epoch: int, kind: Kind, logs: dict[str, float], measured: dict[str, float], *, learning_rate: float, speed: float
) -> dict:
    """A line of history.csv: the epoch counted from 0, training's and validation's means, images a second."""
    phase, side = kind
    return {
        "epoch": epoch + 1,
        "phase": phase,
        "side": side,
        "loss": logs["loss"],
        "accuracy": logs["accuracy"],
        "validation_loss": measured["loss"],
        "validation_accuracy": measured["accuracy"],
        "perturbed_loss": measured["perturbed_loss"],
        "perturbed_accuracy": measured["perturbed_accuracy"],
        "score": score_of(measured["accuracy"], measured["perturbed_accuracy"]),
        "learning_rate": learning_rate,
        "images_per_second": speed,
    }


def save(run: Run, state: State, timetable: Timetable, variables: tuple, *, phase: str) -> None:
    """Write the checkpoint, then history.csv and TensorBoard's file, which can be made from it.

    variables: of the network, and of the optimizer of `phase`.
    """
    facts = dataclasses.asdict(state) | {"costs": timetable.facts(), "phase": phase}
    checkpoint.save(run.checkpoint_path, *variables, facts)
    run.write_history(state.history)
    began = datetime.fromisoformat(run.facts["created"]).timestamp()
    tensorboard.write(state.history, run.tensorboard_path, began)


def recall(run: Run, timetable: Timetable) -> tuple[State, str]:
    """The state of the last `save`, and the phase whose optimizer is in the checkpoint; the timetable gets its costs back."""
    facts = checkpoint.load_facts(run.checkpoint_path)
    try:
        timetable.recall(facts.pop("costs"))
        phase = facts.pop("phase")
        return State(**facts), phase
    except (TypeError, KeyError, ValueError) as error:
        raise _of_another_version(run, "notes") from error


def finish(run: Run, state: State, status: str, *, minutes: float) -> None:
    """Write how it ended and draw the curves."""
    run.update(
        status=status,
        minutes=round(minutes, 2),
        epochs={"done": state.done, "total": state.total, "recipe": run.recipe.epochs},
        result=state.best,
    )
    best = state.best
    title = f"{run.id}: {status} after {state.done} of {state.total} epochs"
    curves.draw(state.history, run.curves_path, title, best=best["epoch"] if best else 0)
    if status == INTERRUPTED:
        kept = f"the weights of epoch {best['epoch']}, the best so far, are kept" if best else "no epoch was whole"
        # How to go on says who knows what this run is part of: an ensemble, a sweep, several hosts.
        console.print(f"Interrupted after {state.done} of {state.total} epochs: {kept}.")
    elif status != FAILED:
        console.print(
            f"Run {run.id} {status} after {state.done} epochs and {minutes:.1f} minutes: best epoch {best['epoch']}, "
            f"validation {best['validation_accuracy']:.3f}, perturbed {best['perturbed_accuracy']:.3f}.",
            markup=False,
        )
