"""`python -m build compress [RUN]`: make a run's weights small in several ways, judge each, keep the one that the recipe's limits choose.

    chosen = compress("latest", size_limit_mb=2.0, budget=0.5)

Leaves in the run's folder compression.json, compression.md, compression.png and, where a candidate meets the limits, compressed.npz,
which packaging then takes in the place of the run's weights. Every candidate is kept under compress/ with its answers, so a call that was
interrupted, or asks for more methods, makes only what is missing. A candidate's fine-tuning is begun anew: it takes minutes.
"""

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from build.compress import ROWS, STEPS, candidates, values
from build.compress.candidates import BASELINE, DEFAULT, Material, Method
from build.compress.measure import answers, difference, validation_conditions
from build.compress.report import Row, choose, draw, facts, markdown
from build.console import console, muffled
from build.errors import UserError
from build.files import arrays as read_arrays
from build.files import atomic, sha256, write_text, write_zip
from build.members import open_network
from build.runs import Run
from build.score.reports import read_json
from submission import weights


def compressed_path(run: Run) -> Path:
    """The weights that packaging takes in the place of the run's own."""
    return run.folder / "compressed.npz"


def compress(
    name: str,
    *,
    size_limit_mb: float | None = None,
    budget: float | None = None,
    methods: Sequence[str] = DEFAULT,
    rows: int = ROWS,
    steps: int = STEPS,
) -> Row | None:
    """Make, judge and choose; returns the chosen candidate, None where none meets the limits.

    Args:
        name: of the run.
        size_limit_mb: of the whole zip; None takes the recipe's, 0 means none.
        budget: points of accuracy that each suite may lose; None takes the recipe's.
        methods: names that candidates.find knows.
        rows: validation images a condition.
        steps: of every fine-tuning, at most an epoch.

    A method that fails is left out, which is said. UserError where there is no such run or method, or where the only one fails.

    """
    run = open_network(name)
    size_limit_mb = run.recipe.size_limit_mb if size_limit_mb is None else size_limit_mb
    budget = run.recipe.accuracy_budget if budget is None else budget
    chosen_methods = candidates.find(methods)
    with muffled():  # imports the framework
        from build.train import hardware

        hardware.find()  # the first look at the devices is the talkative one
    with run.locked():  # a training that goes on would change the weights under way
        material = Material(run, steps=steps)
        conditions = validation_conditions(run, rows)
        reference = reference_bytes(run, material)
        found, baseline, failure = [], None, None
        for method in chosen_methods:
            try:
                row, right = _candidate(method, material, conditions, baseline)
            except UserError as error:
                if method.name == BASELINE:
                    raise
                failure = error
                console.print(f"{method.name} is left out: {error}", style="yellow", markup=False)
                continue
            baseline = right if method.name == BASELINE else baseline
            found.append(row)
            console.print(
                f"{row.name}: {row.zip_bytes / 1e6:.2f} MB, "
                + ", ".join(
                    f"{suite} {accuracy:.4f} ({row.change[suite]:+.2f})" for suite, accuracy in row.accuracy.items()
                )
            )
        if failure is not None and len(found) == 1:  # all that was asked for
            raise failure
        best = choose(found, size_limit_mb=size_limit_mb, budget=budget)
        _write(run, found, best, size_limit_mb=size_limit_mb, budget=budget, reference=reference)
        return best


def _candidate(method: Method, material: Material, conditions, baseline) -> tuple[Row, dict[str, np.ndarray]]:
    """The candidate's row and answers, from the run's folder where they are there."""
    folder = material.run.folder / "compress"
    folder.mkdir(exist_ok=True)
    path, held = folder / f"{method.name}.npz", folder / f"{method.name}.answers.npz"
    marker = folder / f"{method.name}.json"
    made = {"key": _key(method, material)}
    judged = hashlib.sha256(
        json.dumps([c.key + c.definition + str(len(c.labels)) for c in conditions]).encode()
    ).hexdigest()
    known = read_json(marker)
    if known.get("key") != made["key"] or not _is_whole(path):
        candidates.make(method, material, path)
        known = made
        write_text(marker, json.dumps(known))
    right = None
    if known.get("judged") == judged:
        with contextlib.suppress(OSError, ValueError):
            right = read_arrays(held)
    if right is None:
        right = answers(path, conditions, f"judging {method.name}")
        with atomic(held) as file:
            np.savez(file, **right)
        write_text(marker, json.dumps(known | {"judged": judged}))
    began = time.perf_counter()
    weights.load(path)
    seconds = time.perf_counter() - began
    against = baseline or right
    changes = {suite: difference(right[suite], against[suite]) for suite in right}
    row = Row(
        method.name,
        zip_bytes(path),
        round(seconds, 3),
        {suite: float(mine.mean()) for suite, mine in right.items()},
        {suite: round(points, 4) for suite, (points, _) in changes.items()},
        {suite: round(float(margin), 4) for suite, (_, margin) in changes.items()},
    )
    return row, right


def _is_whole(path: Path) -> bool:
    """Whether weights are there and undamaged."""
    try:
        weights.load(path)
    except (OSError, weights.WeightsError):
        return False
    return True


def _key(method: Method, material: Material) -> str:
    """What a candidate depends on: the run's weights, the method, and the code that makes it."""
    sources = sorted(Path(values.__file__).parent.glob("*.py"))
    code = [sha256(path) for path in sources if path.name not in ("report.py", "command.py", "measure.py")]
    code.append(sha256(Path(weights.__file__)))
    steps = material.fine_tuning_steps if method.tuned or method.tfmot else 0
    return hashlib.sha256(repr((sha256(material.run.weights_path), method, steps, code)).encode()).hexdigest()


def zip_bytes(path: Path) -> int:
    """Size of the whole submission's zip with this weights file."""
    from build.package import WEIGHTS, copy_code

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "zip"
        copy_code(folder)
        (folder / WEIGHTS).write_bytes(path.read_bytes())
        write_zip(folder, Path(scratch) / "submission.zip")
        return (Path(scratch) / "submission.zip").stat().st_size


def reference_bytes(run: Run, material: Material) -> int:
    """What sizes are measured against: the network as keras saves it (.keras, float32, no optimizer), zipped."""
    path = run.folder / "compress" / "reference.json"
    known = read_json(path)
    digest = sha256(run.weights_path)
    if known.get("weights_sha256") != digest:
        from submission.network import assign, build  # imports the framework

        model = build(material.meta["spec"], initialize=False)
        assign(model, material.arrays)
        with tempfile.TemporaryDirectory() as scratch:
            folder, target = Path(scratch) / "zip", Path(scratch) / "model.zip"
            folder.mkdir()
            model.save(folder / "model.keras")
            write_zip(folder, target)
            known = {"weights_sha256": digest, "bytes": target.stat().st_size}
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(known))
    return known["bytes"]


def _write(run: Run, rows: list[Row], best: Row | None, *, size_limit_mb: float, budget: float, reference: int) -> None:
    """Put table, plot and the chosen weights in the run's folder and show the table."""
    target, title = compressed_path(run), f"Compression of run {run.id}, validation side"
    target.unlink(missing_ok=True)
    name = best.name if best else ""
    known = {
        "run": run.id,
        "weights_sha256": sha256(run.weights_path),
        "size_limit_mb": size_limit_mb,
        "accuracy_budget": budget,
        "reference_bytes": reference,
        "chosen": name,
        "rows": facts(rows),
    }
    table_text = markdown(
        rows, chosen=name, reference_bytes=reference, title=title, size_limit_mb=size_limit_mb, budget=budget
    )
    write_text(run.folder / "compression.json", json.dumps(known, indent=2) + "\n")
    write_text(run.folder / "compression.md", table_text)
    draw(
        rows,
        run.folder / "compression.png",
        chosen=name,
        reference_bytes=reference,
        size_limit_mb=size_limit_mb,
        title=title,
    )
    if best:  # last: weights without their report would be of nobody knows which run
        with atomic(target) as file:
            file.write((run.folder / "compress" / f"{best.name}.npz").read_bytes())
    table = Table(title=title, title_justify="left")
    for column in ("method", "zip MB", "times smaller", *rows[0].accuracy, ""):
        table.add_column(column, justify="left" if column in ("method", "") else "right")
    for row in sorted(rows, key=lambda row: -row.zip_bytes):
        accuracies = [f"{row.accuracy[suite]:.4f} ({row.change[suite]:+.2f})" for suite in row.accuracy]
        ratio = f"{reference / row.zip_bytes:.1f}"
        table.add_row(
            row.name, f"{row.zip_bytes / 1e6:.2f}", ratio, *accuracies, "[green]chosen[/]" if row is best else ""
        )
    console.print(table)
    limit = f"a zip of at most {size_limit_mb:g} MB and " if size_limit_mb else ""
    if best:
        console.print(f"{best.name} is chosen: nox -s package -- {run.id} takes it.", style="bold green", markup=False)
    else:
        console.print(
            f"No candidate meets {limit}a loss of at most {budget:g} points on each suite; raise a limit or try more methods.",
            style="bold red",
        )


def staged_weights(run: Run) -> Path | None:
    """The run's compressed weights, made now where its recipe has a size limit and there are none; None where it has no use for them.

    UserError where they belong to other weights of the run or are damaged, or nothing meets the recipe's limits.
    """
    target, report = compressed_path(run), run.folder / "compression.json"
    if target.exists():
        outdated = read_json(report).get("weights_sha256") != sha256(run.weights_path)
        if outdated or not _is_whole(target):
            why = "were made before its training went on" if outdated else "are damaged"
            raise UserError(
                f"The compressed weights of run {run.id} {why}; make them again: nox -s compress -- {run.id}."
            )
        return target
    if not run.recipe.size_limit_mb:
        if chosen := read_json(report).get("chosen"):
            raise UserError(
                f"{report} says that {chosen} was chosen, and its weights are not there: a compress was stopped. Make them again (nox -s "
                f"compress -- {run.id}), or remove that file to package the weights as they were trained."
            )
        return None
    if compress(run.folder) is None:
        raise UserError(
            f"No compression of run {run.id} meets its recipe: a zip of at most {run.recipe.size_limit_mb:g} MB that loses at most "
            f"{run.recipe.accuracy_budget:g} points; see {run.folder / 'compression.md'}."
        )
    return target
