"""What `python -m build score` and `python -m build bundle` do, as functions."""

import contextlib
import datetime
import json
from pathlib import Path

import click
import numpy as np

from build.console import console
from build.data.cells import class_counts
from build.data.read import is_synthetic
from build.errors import UserError
from build.files import check_writable, explained, sha256
from build.members import known_of
from build.run_cells import split_of
from build.runs import Run
from build.score import held_out, scorecard, transcript
from build.score.bundle import check_asked, write_competition
from build.score.environment import ServerEnvironment
from build.score.held_out import HeldOut, Rows
from build.score.judge import judge
from build.score.leaderboard.store import Store
from build.score.lint import lint
from build.score.outcome import Verdict
from build.score.rehearsal import DEFAULT_SUITES, rehearse
from build.score.sandbox import check_platform
from build.score.suites import CACHE, load_all, materialise
from build.score.unpack import check_zip
from submission.contract import CLASSES

JUDGED = Path("dist/judged")
PHASES = {"development": ("held-out", "basic"), "final": ("held-out", "basic", "microscopy", "stacked")}
"""Suites of a competition's phases: the final one holds damage that the development phase does not show."""


def score(
    zip_path: Path,
    *,
    bundle: Path | None,
    run: str | None,
    data: str | None,
    whole: bool,
    rows: int,
    suites: tuple[str, ...] | None,
    team: str,
    memory_limit: float | None,
    environment: Path | None,
    baseline: Path | None,
    as_json: bool,
    **options,
) -> int:
    """Judge a zip on test cells, or with a competition bundle; print the verdict; return 0 or 1 (Verdict.exit_code).

    On test cells it also writes dist/judged/NAME/scorecard.json and .html and adds a leaderboard entry. `memory_limit` is in GiB; the other
    options are those of build.score.judge.judge. UserError for a wrong call.
    """
    check_zip(zip_path)
    options["memory_limit"] = memory_limit * 1024 if memory_limit else None
    options["environment"] = ServerEnvironment.read(environment) if environment else None
    try:
        check_platform()  # before minutes of perturbed images
    except UserError:
        # What its source says is known without a rehearsal.
        transcript.show_findings(lint(zip_path, options["environment"] or ServerEnvironment.read()), console)
        raise
    if bundle is not None:
        verdict = judge(zip_path, bundle=bundle, **options)
        transcript.show(verdict, console)
        return _end(verdict, {}, as_json)
    if run is not None and data is not None:
        raise UserError("Test cells come from a run or from a data source: give one of --run and --data.")
    if whole and data is None:
        raise UserError("--whole is of a data source: give images that the zip never saw by --data.")
    folder = JUDGED / (zip_path.stem.strip(".") or zip_path.name)  # of "...zip" the stem is the folder above
    # What can be wrong is known before cells are read, images perturbed and the zip judged.
    check_writable(folder / "scorecard.json")
    compared = scorecard.read_json(baseline) if baseline else None
    names = tuple(dict.fromkeys(("held-out", *(suites or DEFAULT_SUITES))))
    load_all(names)
    held, seen, own = _held(zip_path, run, data, whole=whole)
    console.print(f"Judging {zip_path} on {held.source}.", markup=False)
    rehearsal = rehearse(
        zip_path,
        held,
        suites=names,
        rows=rows,
        submission={"team": team, "seen": seen} | ({"run": own} if own else {}),
        recipe=_recipe(own),
        baseline=compared,
        baseline_name=str(baseline or ""),
        **options,
    )
    rehearsal.write(folder)
    console.print(f"Scorecard: {folder / 'scorecard.html'}, leaderboard entry {rehearsal.entry}.", markup=False)
    rehearsal.show()
    return _end(rehearsal.verdict, {"scorecard": rehearsal.card, "entry": rehearsal.entry}, as_json)


def _recipe(title: str | None) -> dict | None:
    """What the runs that a zip was packaged from trained with, as packaging says it; None where one of them is not here."""
    try:
        return known_of([Run.open(name) for name in title.split(" + ")]) if title else None
    except UserError:
        return None


def _held(
    zip_path: Path, run: str | None, data: str | None, *, whole: bool = False
) -> tuple[HeldOut, int | None, str | None]:
    """The test cells that were asked for, with `whole` all of `data`; without a wish those of the run that the zip was packaged from,
    where that is known.

    Says so where the zip may have been trained on some of them; returns how many for certain, too (None where nobody knows), and the
    runs that the zip was packaged from.
    """
    with explained(zip_path, "read"):
        digest = sha256(zip_path)
    own, title = None, Store().runs_of(digest)
    if title:
        with contextlib.suppress(UserError):  # it was removed since
            own = Run.open(title.partition(" + ")[0])
    if data is not None:
        held = held_out.of_data(data, whole=whole)
    elif run is not None or own:
        held = held_out.of_run(own if run is None else Run.open(run))
    else:
        held = held_out.default()
    unknown = own is None and not (run or whole or held.synthetic)
    seen = None if unknown else _seen(held, own)
    if warning := _warning(held, own, seen, named=bool(run), whole=whole):
        console.print(warning, style="yellow", markup=False)
    return held, seen, title


def _seen(held: HeldOut, own: Run | None) -> int:
    """How many of the test cells the run `own`, which the zip was packaged from, was trained on; 0 for cells that it does not know."""
    if own is None or held.split is None or own.facts["data"]["sha256"] != held.cells_sha256:
        return 0
    return held.split.tests_seen_by(split_of(own))


def _warning(held: HeldOut, own: Run | None, seen: int, *, named: bool, whole: bool) -> str:
    """What there is to say about test cells that the zip may have been trained on; its user chose a run that goes with it (`named`), or
    says that it never saw them (`whole`).
    """
    if own is None:
        if held.synthetic:
            return "These cells are drawn by the kit: they show whether the zip runs, not how good it is. Give your images by --data."
        if named or whole:
            return ""
        return (
            f"Which cells this zip was trained on is not known here. If any of the {held.source} were among them, its accuracy comes "
            "out too good; --run names its run, --data with --whole gives cells that it never saw."
        )
    if not seen:
        data = own.facts["data"]
        if whole or held.synthetic or data["sha256"] == held.cells_sha256 or is_synthetic(data["source"]):
            return ""
        return (
            f"Run {own.id}, which this zip was packaged from, was trained on other data ({data['source']}). If any of the "
            f"{held.source} were among them, its accuracy comes out too good."
        )
    return (
        f"Run {own.id}, which this zip was packaged from, was trained on {seen} of these cells: its accuracy comes out too good. It gets "
        "no forecast and takes no part in the advice."
    )


def _end(verdict: Verdict, more: dict, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(verdict.to_dict() | more, indent=1, default=scorecard.refuse))
    return verdict.exit_code


def bundle(
    data: str,
    out: Path,
    *,
    seed: int,
    start: datetime.date | None,
    days: int,
    final_days: int,
    title: str,
    rows: int,
    cache: Path = CACHE,
    **phases,
) -> Path:
    """Write a competition bundle from the test cells of `data`, half for the development phase, half for the final one.

    BUNDLE-split.npz and .csv beside it say which cells these are. `phases` are arguments of build.score.bundle.write_competition.
    """
    start = start or datetime.datetime.now(datetime.UTC).date()
    check_asked(out, title=title, start=start, days=days, final_days=final_days)
    check_writable(out if out.suffix == ".zip" else out / "competition.yaml")
    held = held_out.of_data(data, seed)
    counts = class_counts(held.labels)
    if counts.min() < len(PHASES):
        scarce = CLASSES[counts.argmin()]
        raise UserError(
            f"{scarce} has {counts.min()} test cell(s) in {data}, and each of {len(PHASES)} phases needs one; add images of it."
        )
    # Every second cell of each class: both phases have all classes in their shares.
    order = np.argsort(held.labels, kind="stable")
    conditions = {}
    for name, chosen in (("development", np.sort(order[::2])), ("final", np.sort(order[1::2]))):
        images, labels = Rows(held.images, chosen), held.labels[chosen]
        conditions[name] = materialise(PHASES[name], images, labels, seed=seed, rows_per_condition=rows, cache=cache)
    made = write_competition(out, **conditions, start=start, days=days, final_days=final_days, title=title, **phases)
    sizes = " and ".join(f"{sum(len(one.labels) for one in each):,}" for each in conditions.values())
    console.print(
        f"One job answers {sizes} images in the two phases; --rows makes it fewer, --time-limit gives it longer.",
        markup=False,
    )
    sides = out.with_name(f"{out.stem}-split.npz")
    held.split.save(sides, held.files)
    console.print(
        f"Hidden are {len(held.labels):,} cells: publish only the rows that {sides.with_suffix('.csv')} calls train or validation; "
        "dropped ones may be copies of hidden ones.",
        markup=False,
    )
    return made
