"""From a run, or several as an ensemble, to dist/submission.zip: compress -> stage -> zip -> judge -> gates.

    python -m build package [RUN ...]

The zip is judged before it takes its final name. A build that misses a gate leaves no dist/submission.zip behind: a zip of an
earlier build is kept beside it under the name previous-submission.zip, one of them, so nothing is mistaken for new.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build import attention, gates, views
from build.compress.command import staged_weights
from build.console import console, muffled
from build.errors import UserError
from build.files import locked, make_folder, sha256, write_zip
from build.gpu_troubles import troubles_told
from build.member_shares import shares_of
from build.members import known_of, open_members
from build.processes import ROOT
from build.recipe import Recipe
from build.runs import Run, provenance
from build.score import held_out
from build.score.rehearsal import DEFAULT_SUITES, Rehearsal, rehearse
from build.score.sandbox import check_platform
from build.score.suites import CACHE, load_all, materialise
from build.scratch import scratch_folder
from build.standing import PRUNED, RUNNING
from submission import ensemble, weights

DIST = Path("dist")
SHIPPED = (
    "model.py",
    "submission/__init__.py",
    "submission/applications.py",
    "submission/contract.py",
    "submission/convnext.py",
    "submission/custom_cnn.py",
    "submission/efficientnet_lite.py",
    "submission/ensemble.py",
    "submission/folded_convnext.py",
    "submission/folded_efficientnet_lite.py",
    "submission/framing.py",
    "submission/inference.py",
    "submission/network.py",
    "submission/parts.py",
    "submission/views.py",
    "submission/weights.py",
)
"""The allow-list: what is uploaded, byte for byte as it stands in the repository."""
WEIGHTS = "weights.npz"
ATTENTION = 1000
"""Images of each set, at most, whose class activation maps are measured: half a minute."""


def copy_code(folder: Path) -> None:
    """Copy the allow-list from the repository's root into `folder`."""
    for name in SHIPPED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)


def stage(
    run: Run,
    recipe: Recipe,
    folder: Path,
    others: Sequence[Run] = (),
    *,
    shares: Sequence[float] | None = None,
    compressed: bool = True,
) -> None:
    """Copy the allow-list from the repository's root into `folder` and write the run's weights beside it, compressed if they are.

    others: further members of an ensemble, into the same file of weights; each is compressed by its own recipe, so the limit of one
    zip is a limit for each member. shares: of each member in the answer, None for equal ones.
    compressed: False takes the weights as they were trained.
    """
    copy_code(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".stored-") as scratch:
        stored = []
        for number, member in enumerate((run, *others)):
            path = staged_weights(member) if compressed else None
            if path is None:
                path = Path(scratch) / f"{number}.npz"
                weights.save(path, *weights.load(member.weights_path), storage=recipe.storage)
            stored.append(path)
        ensemble.join(stored, folder / WEIGHTS, views.settings(recipe), shares=shares)
    staged = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert staged == {*SHIPPED, WEIGHTS}, staged


def package(
    *names: str,
    force: bool = False,
    rows: int,
    suites: tuple[str, ...] | None = None,
    team: str,
    engine: str = "auto",
    hidden: int | None = None,
    time_limit: float | None = None,
    dist: Path = DIST,
) -> int:
    """Make, judge and name the zip of the runs called `names`; returns the exit code: 0, or 1 where a gate was missed.

    Several runs are an ensemble; the first one's recipe says storage, views and gates, and its test cells are judged on.
    `hidden` images and the phase's `time_limit` in seconds replace the recipe's: a recipe of 0 views gets as many as they allow.
    `rows` test images a condition; `suites` default to DEFAULT_SUITES, and always hold those that the gates ask for.
    UserError where there is no such run, it has no weights yet, or the runs cannot go together (build/members.py).
    """
    run, *others = open_members(names)
    title = " + ".join(member.id for member in (run, *others))
    replaced = {"hidden_images": hidden, "time_limit": time_limit}
    given = {name: value for name, value in replaced.items() if value is not None}
    recipe = dataclasses.replace(run.recipe, **given)
    known = known_of((run, *others)) | given
    asked = tuple(dict.fromkeys((*(suites or DEFAULT_SUITES), "held-out", "basic")))
    load_all(asked)  # before a minute of measuring views
    check_platform()
    held = held_out.of_run(run)
    for named in map(Run.open, names):
        wanted, begun = named.recipe.ensemble, named.facts.get("members") or ()
        if len(begun) < len(wanted):
            trained, missing = ", ".join(wanted[: len(begun)]), ", ".join(wanted[len(begun) :])
            told = (
                f"Of the ensemble {named.id} only {trained} has weights yet, so {missing} is not in this zip; go on with nox -s train -- "
                f"--resume {named.id}."
            )
            console.print(told, style="yellow", markup=False)
    for member in (run, *others):
        if why := {RUNNING: "has not ended", PRUNED: "was given up by a search"}.get(member.facts.get("status")):
            told = f"The training of run {member.id} {why}, so its best epoch so far is packaged."
            console.print(told, style="yellow", markup=False)
    make_folder(dist)
    shares = shares_of((run, *others))
    with scratch_folder(dist, ".packaging-") as work:
        staged, candidate = work / "zip", work / "submission.zip"
        staged.mkdir()
        if not recipe.views:
            stage(run, dataclasses.replace(recipe, views=1), staged, others)
            write_zip(staged, candidate)
            count = views.measured(candidate, held, recipe=recipe, others=[one.recipe for one in others], engine=engine)
            recipe = dataclasses.replace(recipe, views=count)
            known["views"] = count
        stage(run, recipe, staged, others, shares=shares)
        write_zip(staged, candidate)
        megabytes = candidate.stat().st_size / 1e6
        console.print(f"Packaged run {title}: {megabytes:.2f} MB. Judging it on {held.source}.", markup=False)
        submission = {
            "file": "submission.zip",
            "run": title,
            "team": team,
            "commit": _commit(),
            "weights_sha256": sha256(staged / WEIGHTS),
        }
        rehearsal = rehearse(
            candidate,
            held,
            suites=asked,
            rows=rows,
            submission=submission,
            recipe=known,
            engine=engine,
            hidden=recipe.hidden_images,
            time_limit=recipe.time_limit,
        )
        if sentence := views.lowered(rehearsal.verdict, recipe, chosen=not run.recipe.views):
            console.print(sentence, style="yellow", markup=False)
        found = gates.of(rehearsal.verdict, rehearsal.card, recipe, candidate.stat().st_size, networks=1 + len(others))
        rehearsal.card["gates"] = [dataclasses.asdict(gate) for gate in found]
        passed = all(gate.passed for gate in found)
        # Before the zip takes its name: what fails or is stopped here leaves the earlier zip beside its own scorecard.
        explain, rehearsal.card["attention"] = _attention(held, rehearsal.card, rows, run, bool(others))
        rehearsal.card["submission"]["file"] = "submission.zip" if passed or force else "rejected-submission.zip"
        written = work / "scorecard"
        written.mkdir()
        rehearsal.write(written, explain=explain)
        with locked(dist / ".lock"):  # two at once leave the zip and the scorecard of one of them
            _name(candidate, dist, keep=passed or force)
            for path in written.iterdir():
                path.replace(dist / path.name)
    rehearsal.show()
    console.print(gates.table(found))
    return _say(rehearsal, found, dist, force, [member.id for member in (run, *others)])


def _name(candidate: Path, dist: Path, *, keep: bool) -> None:
    """Give the candidate its name; an earlier zip with other bytes becomes previous-submission.zip."""
    final, previous, rejected = (
        dist / f"{stem}.zip" for stem in ("submission", "previous-submission", "rejected-submission")
    )
    if final.exists() and (not keep or sha256(final) != sha256(candidate)):
        final.replace(previous)
    rejected.unlink(missing_ok=True)
    candidate.replace(final if keep else rejected)


def _commit() -> str | None:
    """Of the code that goes into the zip, which may be newer than the training's; it says so where files were changed since."""
    code = provenance()
    return code["commit"] and code["commit"] + ("+changes" if code["dirty"] else "")


def _say(rehearsal: Rehearsal, found: list[gates.Gate], dist: Path, force: bool, runs: list[str]) -> int:
    """The last lines, and the exit code; runs: what was packaged."""
    missed = [gate for gate in found if not gate.passed]
    console.print(f"Scorecard: {dist / 'scorecard.html'}, leaderboard entry {rehearsal.entry}.", markup=False)
    if not missed:
        if rehearsal.card.get("synthetic"):
            console.print(
                f"{dist / 'submission.zip'} shows the way only: it knows synthetic cells only. Train with --data before you upload.",
                style="bold yellow",
            )
        else:
            console.print(f"{dist / 'submission.zip'} is ready.", style="bold green")
        return 0
    reasons = "; ".join(f"{gate.name}: wanted {gate.wanted}, got {gate.came}" for gate in missed)
    if force:
        console.rule("FORCED", style="bold red")
        console.print(
            f"{dist / 'submission.zip'} MISSES {len(missed)} GATE(S) and was kept by --force. {reasons}.",
            style="bold red",
            markup=False,
        )
        return 0
    remedies = ", and ".join(dict.fromkeys(gate.remedy for gate in missed))
    console.print(
        f"There is no {dist / 'submission.zip'}: {len(missed)} gate(s) missed. {reasons}. "
        f"The zip is {dist / 'rejected-submission.zip'}; {remedies}, or name this one submission.zip as it is: "
        f"`nox -s package -- {' '.join(runs)} --force`, with the other options of this call.",
        style="bold red",
        markup=False,
    )
    return 1


def _attention(held: held_out.HeldOut, card: dict, rows: int, run: Run, among_others: bool) -> tuple:
    """A Grad-CAM of the run's network for the scorecard's worst images, and where it looks on the sets that the zip was judged on.

    Each is None where there can be none (another backend, a GPU whose memory is taken): that says nothing of the zip.
    """
    from build.gradcam import explainer, possible

    suites = [name for name in attention.SUITES if name in card.get("suites", ())]
    try:
        with troubles_told():
            with muffled():  # imports the framework: only after the zip was judged without it
                explain = explainer(run.weights_path) if possible() else None
            if explain is None or not suites:
                return explain, None
            conditions = materialise(
                suites, held.images, held.labels, seed=held.seed, rows_per_condition=rows, cache=CACHE
            )
            found = attention.measure(explain.look, conditions, seed=held.seed, limit=ATTENTION)
    except UserError as error:
        console.print(f"No class activation maps: {error}", style="yellow", markup=False)
        return None, None
    alone = ", the first of the zip's networks," if among_others else ""
    return explain, found | {
        "network": f"run {run.id}{alone} as it was trained and with one view, so its answers may differ from the zip's"
    }
