"""What `python -m build compat` does: every version set answers, one table, dist/compat.json and dist/compat.md."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from build.console import bar, console
from build.files import check_writable, sha256, write_text
from build.machine import machine
from build.score import held_out
from build.score.compat.compare import TOLERANCE, Answer, Difference, ask, difference, fixture
from build.score.compat.environments import NEWEST, VersionSet, choose, folder_of, provide, version_sets
from build.score.held_out import HeldOut
from build.score.suites import CACHE
from build.score.unpack import check_zip

ROWS, QUICK_ROWS = 128, 32
NOT_INSTALLED, FAILS, DIFFERS, EQUAL, REFERENCE = "not installed", "fails", "differs", "equal", "reference"
COLUMNS = ("set", "Python", "TensorFlow", "Keras", "numpy", "import + load", "labels", "logits", "verdict")


@dataclass(frozen=True)
class Row:
    """One version set and what came of it."""

    versions: VersionSet
    answer: Answer
    verdict: str
    difference: Difference | None = None

    def to_dict(self) -> dict:
        """JSON-able."""
        apart = self.difference
        return {
            "set": self.versions.name,
            "server": self.versions.server,
            "requirements": self.versions.requirements,
            "verdict": self.verdict,
            "problem": self.answer.problem,
            "versions": self.answer.versions,
            "seconds": {name: round(value, 2) for name, value in self.answer.seconds.items()},
            "images": apart.images if apart else None,
            "other_labels": apart.labels if apart else None,
            "logit_difference": apart.logits if apart else None,
            "largest_logit": apart.scale if apart else None,
        }

    def cells(self) -> tuple[str, ...]:
        """The row as texts under COLUMNS."""
        found, seconds, apart = self.answer.versions, self.answer.seconds, self.difference
        python = found.get("python", "{}.{}".format(*self.versions.python))
        planned = dict(text.replace("~=", "==").split("==") for text in self.versions.requirements)
        loaded = f"{seconds['import']:.1f} + {seconds['load']:.1f} s" if "load" in seconds else ""
        labels = f"{apart.images - apart.labels} of {apart.images}" if apart else ""
        logits = "" if not apart else "not shown" if apart.logits is None else f"{apart.logits:.1e}"
        name = f"{self.versions.name} (server)" if self.versions.server else self.versions.name
        return (
            name,
            python,
            *(found.get(package, "") or planned.get(package, "") for package in ("tensorflow", "keras", "numpy")),
            loaded,
            labels,
            logits,
            self.verdict,
        )


def compat(
    zip_path: Path,
    *,
    only: tuple[str, ...] = (),
    quick: bool = False,
    data: str | None = None,
    environments: Path,
    dist: Path = Path("dist"),
    cache: Path = CACHE,
) -> int:
    """Ask the zip under every version set; returns 0, or 1 where an answer differs or fails.

    Args:
        zip_path: what would be uploaded.
        only: names of version sets; none takes all.
        quick: the server's set alone, on a quarter of the images.
        data: source of the cells; None takes the last run's test cells, or synthetic ones.
        environments: folder that keeps an environment a set.
        dist: where compat.json and compat.md go.
        cache: of perturbed images.

    UserError where there is no zip or a name is unknown.

    """
    check_zip(zip_path)
    sets = choose(version_sets(), only, quick=quick)
    check_writable(dist / "compat.json")
    held = held_out.of_data(data) if data is not None else held_out.default()
    answers = _answers(zip_path, sets, held, QUICK_ROWS if quick else ROWS, environments, cache)
    rows = compare(sets, answers)
    facts = {
        "zip": zip_path.name,
        "zip_sha256": sha256(zip_path),
        "cells": held.source,
        "machine": machine(),
        "tolerance": TOLERANCE,
        "sets": [row.to_dict() for row in rows],
        "verdict": verdict(rows),
    }
    write_text(dist / "compat.json", json.dumps(facts, indent=2) + "\n")
    write_text(dist / "compat.md", markdown(facts, rows))
    _show(rows, facts, dist)
    return exit_code(rows)


def _answers(zip_path, sets: list[VersionSet], held: HeldOut, rows: int, environments: Path, cache: Path) -> dict:
    """Set's name -> Answer, or a text why it is not installed."""
    answers: dict[str, Answer | str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        images = fixture(held, cache, rows=rows, folder=Path(scratch))
        with bar("versions", len(sets), "sets") as advance:
            for versions in sets:
                if versions.name != NEWEST and not folder_of(versions, environments).exists():
                    console.print(f"Making {folder_of(versions, environments)}: {', '.join(versions.requirements)}.")
                environment = provide(versions, environments)
                if environment.python is None:
                    answers[versions.name] = environment.problem
                else:
                    answers[versions.name] = ask(zip_path, environment.python, images, Path(scratch))
                advance()
    return answers


def compare(sets: list[VersionSet], answers: dict[str, Answer | str]) -> list[Row]:
    """Judge each answer beside the reference: the server's where it answered, else the newest that did."""
    answered = [one for one in sets if isinstance(answers[one.name], Answer) and not answers[one.name].problem]
    reference = next((one for one in answered if one.server), answered[-1] if answered else None)
    rows = []
    for versions in sets:
        answer = answers[versions.name]
        if isinstance(answer, str):
            rows.append(Row(versions, Answer(problem=answer), NOT_INSTALLED))
        elif answer.problem:
            rows.append(Row(versions, answer, FAILS))
        else:
            apart = difference(answer, answers[reference.name])
            judged = REFERENCE if versions is reference else EQUAL if apart.equal else DIFFERS
            rows.append(Row(versions, answer, judged, apart))
    return rows


def exit_code(rows: list[Row]) -> int:
    """1 where a set's answer differs or fails, where there is none at all, or where the server's was asked for and is not installed."""
    verdicts = {row.verdict for row in rows}
    return int(bool(verdicts & {FAILS, DIFFERS}) or REFERENCE not in verdicts or _lacks_server(rows))


def _lacks_server(rows: list[Row]) -> bool:
    return any(row.versions.server and row.verdict == NOT_INSTALLED for row in rows)


def verdict(rows: list[Row]) -> str:
    """All of it in a sentence or two."""
    names = {kind: [row.versions.name for row in rows if row.verdict == kind] for kind in {row.verdict for row in rows}}
    told = [f"{kind}: {', '.join(names[kind])}" for kind in (DIFFERS, FAILS, NOT_INSTALLED) if kind in names]
    if not exit_code(rows):
        count = len(rows) - len(names.get(NOT_INSTALLED, ()))
        sentence = (
            f"The same answers under {count} version sets." if count > 1 else "It answers; nothing to compare with."
        )
        if not any(row.versions.server and row.verdict == REFERENCE for row in rows):
            sentence += " The server's versions are NOT among them."
    elif _lacks_server(rows) and not names.keys() & {FAILS, DIFFERS}:
        sentence = "The server's versions were not asked: their environment needs uv (pip install uv) or the server's Python here."
    elif REFERENCE not in names:
        sentence = "It answers under none of the versions that were asked, which is no matter of versions."
    else:
        sentence = "The answers depend on the versions."
    return " ".join((sentence, *(f"{one.capitalize()}." for one in told)))


def markdown(facts: dict, rows: list[Row]) -> str:
    """The table for people who were not there."""
    lines = [f"# {facts['zip']} under other versions", "", facts["verdict"], "", f"| {' | '.join(COLUMNS)} |"]
    lines.append("|" + "---|" * len(COLUMNS))
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    lines += [f"\n{row.versions.name}: {row.answer.problem}" for row in rows if row.answer.problem]
    lines += ["", f"{facts['cells']}; {facts['machine']}; zip SHA-256 {facts['zip_sha256']}.", ""]
    return "\n".join(lines)


def _show(rows: list[Row], facts: dict, dist: Path) -> None:
    table = Table(
        title=f"{facts['zip']} under other versions", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    styles = {EQUAL: "green", REFERENCE: "green", NOT_INSTALLED: "yellow"}
    for row in rows:
        table.add_row(*row.cells(), style=styles.get(row.verdict, "bold red"))
    console.print(table)
    for row in rows:
        if row.answer.problem:
            console.print(f"{row.versions.name}: {row.answer.problem}", markup=False)
    console.print(f"Cells: {facts['cells']}. Written to {dist / 'compat.json'} and {dist / 'compat.md'}.", markup=False)
    console.print(facts["verdict"], style="bold red" if exit_code(rows) else "bold green", markup=False)
