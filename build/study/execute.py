"""One row of a study: a recipe, a seed and a data source -> a trained run folder and the measures of its zip.

    task = Task(recipe, seed=0, data="training_set.npz", rows=256)
    result = perform(task)                  # finds, resumes or trains; judges; never raises because of the row
    for position, result in execute(tasks): ...     # one after another in this process

`perform` depends on its arguments and on the files below `root` and `cache` only, and what goes in and comes out can be pickled: another
engine may call it in another process. What is finished is found again by the run folder itself: same recipe, seed and cells. So a row
that two studies share is trained once, and a run of `python -m build train` counts too.
"""

import contextlib
import dataclasses
import functools
import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from build import package
from build.compress.command import compressed_path
from build.console import console, muffled
from build.data.cells import Cells
from build.data.prepare import prepare
from build.data.split import Split
from build.errors import UserError
from build.files import sha256, write_text, write_zip
from build.gpu_troubles import is_trouble
from build.recipe import Recipe
from build.run_cells import split_of
from build.runs import Run
from build.score import held_out
from build.score.leaderboard.store import Store
from build.score.rehearsal import rehearse
from build.score.reports import read_json
from build.score.suite_checksums import definition
from build.score.suites import load
from build.scratch import scratch_folder
from build.standing import ENDED, FAILED, PRUNED

Watch = Callable[[Run, list[dict]], bool]
"""Told a run and its history after every epoch; True ends the training there (build/train/fit.py)."""
SUITES = ("held-out", "microscopy", "stacked")
RANDAUGMENT = "keras-cv-randaugment"
"""The corruption of the stacked suite whose accuracy lay closest to the server's."""
FORMAT = 1
MEASURES = "measures.json"
ENTRIES = Path("studies/entries")
"""Below the runs: the judge's entries of the studies' zips, which are no candidates for an upload."""


@dataclass(frozen=True)
class Task:
    """What is asked for."""

    recipe: Recipe
    seed: int
    data: str
    """A data source, as for `train`."""
    rows: int = 256
    """Test images a condition."""
    suites: tuple[str, ...] = SUITES
    engine: str = "auto"
    """Of the judge's sandbox."""
    train: bool = True
    """False only looks up what is there."""
    judge: bool = True
    """False leaves the zip unjudged: where runs are chosen by validation, nobody looks at the test side."""


@dataclass(frozen=True)
class Result:
    """What came of it."""

    task: Task
    run: str = ""
    """ID of the run folder; empty where none was made."""
    facts: dict = dataclasses.field(default_factory=dict)
    """Of the training: minutes, parameters, epochs, network, device, commit."""
    measures: dict | None = None
    """Of the zip (`measure`); None where there is none."""
    failure: str = ""
    """One sentence; empty where all went well."""
    reused: bool = False
    """Whether nothing had to be trained."""


def perform(
    task: Task,
    *,
    root: Path = Path("runs"),
    cache: Path = Path("data"),
    cells: Cells | None = None,
    watch: Watch | None = None,
) -> Result:
    """Find the task's finished run, or resume it, or train it; then judge its zip unless that was done.

    cells: of task.data, where they were read already. watch: may end the training after an epoch; such a run has no measures, and its
    facts say "pruned"; where it is found again, `watch` is asked before it goes on. A failure of the row is in the result; Ctrl-C
    passes through, and what was begun is taken up by the next call.
    """
    run, reused, prepared = None, False, None
    try:
        prepared = prepare(task.data, task.recipe, seed=task.seed, cache=cache, cells=cells)
        run = find(task, prepared.cells.sha256, root, prepared.split)
        reused = run is not None and ended(run)
        if not reused and not task.train:
            return Result(task, run.id if run else "", facts_of(run), failure="Not trained yet.")
        if not reused:
            if run is not None and (known := run.facts.get("failure")):
                raise UserError(known)
            given_up = watch and run is not None and run.facts.get("status") == PRUNED and watch(run, epochs_of(run))
            run = run if given_up else _train(task, prepared, run, root, watch)
        if not task.judge or not ended(run):
            return Result(task, run.id, facts_of(run), reused=reused)
        measures = known_measures(run, task)
        if measures is None:
            if not task.train:
                return Result(task, run.id, facts_of(run), failure="Not judged yet.", reused=reused)
            measures = measure(run, task, cache=cache, cells=cells)
        return Result(task, run.id, facts_of(run), measures, reused=reused)
    except UserError as error:
        failure = str(error)
    except Exception as error:  # noqa: BLE001 - hours of other rows must not end by one row's fault, which is shown in full
        console.print(traceback.format_exc(), markup=False)
        failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if run is None and prepared is not None:
        run = find(task, prepared.cells.sha256, root, prepared.split)  # a training that broke off has left one
    return Result(task, run.id if run else "", facts_of(run), failure=failure, reused=reused)


def execute(
    tasks: Iterable[Task],
    work: Callable[..., Result] = perform,
    begin: Callable[[int], None] = lambda _: None,
    heard: Callable[[int, str, list[dict]], bool] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Perform tasks that do not depend on each other; yields each one's position and result.

    This engine does so one after another in this process; another (build/sweep/ray_engine.py) may yield in any order. A task is taken
    from `tasks` when there is room for it, so a generator can choose it by the results so far.

    begin: told the position of a task that is about to begin. heard: told position, run ID and history after every epoch; True prunes.
    """
    for position, task in enumerate(tasks):
        begin(position)
        if heard is None:
            yield position, work(task)
        else:
            watch = functools.partial(_told, heard, position)
            yield position, work(task, watch=watch)


def _told(heard: Callable[[int, str, list[dict]], bool], position: int, run: Run, history: list[dict]) -> bool:
    return heard(position, run.id, history)


def find(task: Task, data_sha256: str, root: Path, split: Split | None = None) -> Run | None:
    """The run folder of a task: one that is finished, else the latest that can be gone on with, else the latest.

    split: the one that this version of the code makes. What an earlier one split otherwise, or a full disk left without its split, is
    passed over unless it is finished: it cannot be gone on with, and its row would fail by it for good.
    """
    found = []
    for run in Run.each(root):
        with contextlib.suppress(UserError, OSError, ValueError, KeyError):
            facts = run.facts
            same = (facts["seed"], facts["data"]["sha256"]) == (task.seed, data_sha256)
            if not same or run.recipe != task.recipe:
                continue
            if ended(run) or split is None or split_of(run).divides_as(split):
                found.append((ended(run), run.checkpoint_path.exists(), run.id, run))
    return max(found)[-1] if found else None


def epochs_of(run: Run) -> list[dict]:
    """Epoch (from 1 on) and score of a run's history, as the trainer tells them after every epoch; UserError where it was changed."""
    try:
        return [{"epoch": int(row["epoch"]), "score": float(row["score"])} for row in run.history]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{run.folder / 'history.csv'} is not as the trainer wrote it ({error}); a spreadsheet may have saved it. Put it back, or "
            "remove the run's folder."
        ) from error


def ended(run: Run) -> bool:
    """Whether the training of a run is over and left weights."""
    return run.facts.get("status") in ENDED and run.weights_path.is_file()


def _train(task: Task, prepared, run: Run | None, root: Path, watch: Watch | None = None) -> Run:
    """Train the task or go on with `run`. A training that broke off for a reason of its own is marked, so that it is not tried again."""
    with muffled():  # imports the framework: after the data was found to be good
        from build.train import hardware
        from build.train.fit import train as fit

        hardware.find()
    try:
        return fit(task.recipe, prepared, seed=task.seed, resume=run, root=root, watch=watch)
    except UserError as error:
        broken = find(task, prepared.cells.sha256, root, prepared.split)
        # A full disk, or a GPU that another program filled, is none of the training's faults.
        ours = not isinstance(error.__cause__, OSError) and not is_trouble(error.__cause__)
        if ours and broken is not None and broken.facts.get("status") == FAILED:
            broken.update(failure=str(error))
        raise
    finally:
        hardware.release()


def measure(run: Run, task: Task, *, cache: Path = Path("data"), cells: Cells | None = None) -> dict:
    """Stage, zip and judge a run as packaging does, without probes, and keep runs/ID/measures.json.

    Where the recipe leaves the number of views to packaging, which goes by the speed of the moment, there is one, and weights that
    somebody compressed are taken only where the recipe has a size limit: figures must compare.

    Returns what `asked` was, the held-out metrics, each suite's accuracy with its interval, the accuracy under keras_cv's RandAugment
    (None without the package), the zip's bytes, seconds for 1,000 images, peak MiB. UserError where the zip would fail.
    """
    recipe = dataclasses.replace(run.recipe, views=run.recipe.views or 1)
    held = held_out.of_run(run, cache, cells)
    root = run.folder.parent
    with scratch_folder(root, ".judging-") as work:
        staged, candidate = work / "zip", work / "submission.zip"
        staged.mkdir()
        package.stage(run, recipe, staged, compressed=bool(recipe.size_limit_mb))
        write_zip(staged, candidate)
        rehearsal = rehearse(
            candidate,
            held,
            suites=task.suites,
            rows=task.rows,
            submission={"file": "submission.zip", "run": run.id, "commit": run.facts.get("commit")},
            recipe=dataclasses.asdict(recipe),
            store=Store(root / ENTRIES),
            cache=cache / "suites",
            scratch=cache / "judge",
            engine=task.engine,
            probes=False,
        )
        zip_bytes = candidate.stat().st_size
    if rehearsal.verdict.exit_code:
        raise UserError(rehearsal.verdict.sentence)
    card = rehearsal.card
    kept = ("accuracy", "low", "high", "n", "images", "definition")
    errors = card["suites"].get("stacked", {"corruptions": {}})["corruptions"]
    measures = {
        "format": FORMAT,
        "asked": _asked(run, task),
        "judged": datetime.now(UTC).isoformat(timespec="seconds"),
        "held_out": {k: card["held_out"][k] for k in ("n", "accuracy", "low", "high", "precision", "recall", "f1")},
        "suites": {name: {k: suite[k] for k in kept} for name, suite in card["suites"].items()},
        "randaugment": 1 - errors[RANDAUGMENT]["error"] if RANDAUGMENT in errors else None,
        "zip_bytes": zip_bytes,
        "seconds_per_1000": card["seconds_per_1000"],
        "peak_mib": card["peak_mib"],
        "device": card["device"],
    }
    write_text(run.folder / MEASURES, json.dumps(measures, indent=1) + "\n")
    return measures


def _asked(run: Run, task: Task) -> dict:
    """What measures depend on, apart from the code."""
    asked = {"suites": list(task.suites), "rows": task.rows, "weights_sha256": sha256(run.weights_path)}
    asked["definitions"] = {name: definition(load(name)) for name in task.suites}
    if run.recipe.size_limit_mb and compressed_path(run).is_file():
        asked["compressed_sha256"] = sha256(compressed_path(run))
    return asked


def known_measures(run: Run, task: Task) -> dict | None:
    """The measures of an earlier call, where they are of these weights, suites as they are now, and rows."""
    measures = read_json(run.folder / MEASURES)
    same = measures.get("format") == FORMAT and measures.get("asked") == _asked(run, task)
    return measures if same else None


def facts_of(run: Run | None) -> dict:
    """What a study's table says of a training; fields are None where the run does not have them yet, or where there is none."""
    facts = run.facts if run else {}
    best = facts.get("result") or {}
    decided = facts.get("decided") or {}
    spec = facts.get("spec") or {}
    network = spec.get("network", "")
    if spec.get("size"):
        network += f" {spec['size']}"
    if spec.get("width", 1.0) != 1.0:
        network += f" x{spec['width']:g}"
    return {
        "network": network or None,
        "weights": decided.get("weights"),
        "parameters": facts.get("parameters"),
        "minutes": facts.get("minutes"),
        "epochs": (facts.get("epochs") or {}).get("done"),
        "best_epoch": best.get("epoch"),
        "validation": best.get("validation_accuracy"),
        "validation_perturbed": best.get("perturbed_accuracy"),
        "status": facts.get("status"),
        "device": facts.get("device"),
        "commit": facts.get("commit"),
    }
