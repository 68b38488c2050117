"""A sweep's table: mean and spread of every arm over its seeds, folds and members, and which runs are the best.

    rows = arms_of(state); console.print(table(rows, title)); markdown(rows, title)
    best(entries, 3)            the three runs to put into one zip

Runs are chosen by their validation score, never by the test side.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

from build.errors import UserError
from build.study.results import MISSING, percent
from build.sweep.state import DONE, FAILED, PRUNED, Entry, State

HEADS = ("arm", "runs", "score", "validation", "test", "stacked", "minutes")


class Row(NamedTuple):
    """An arm. (mean, sample standard deviation) of shares 0..1; None where there is none."""

    arm: str
    settings: dict
    done: int
    pruned: int
    failed: int
    score: tuple[float | None, float | None]
    validation: tuple[float | None, float | None]
    test: tuple[float | None, float | None]
    stacked: tuple[float | None, float | None]
    minutes: float | None
    """Mean of the runs' training times."""
    failures: tuple[str, ...]


def arms_of(state: State) -> list[Row]:
    """All arms with an entry, the best score first."""
    settings = {trial.label: trial.settings for trials in state.trials.values() for trial in trials}
    groups: dict[str, list[Entry]] = {}
    for entry in state.entries.values():
        groups.setdefault(entry.arm, []).append(entry)
    rows = [_row(arm, settings.get(arm, {}), entries) for arm, entries in groups.items()]
    return sorted(rows, key=lambda row: (row.score[0] is not None, row.score[0] or 0.0), reverse=True)


def _row(arm: str, settings: dict, entries: Sequence[Entry]) -> Row:
    done = [entry for entry in entries if entry.state == DONE]
    judged = [entry.figures for entry in done if entry.figures]
    minutes = [entry.minutes for entry in done if entry.minutes is not None]
    counts = [sum(entry.state == state for entry in entries) for state in (DONE, PRUNED, FAILED)]
    return Row(
        arm,
        settings,
        *counts,
        _spread(entry.score for entry in done),
        _spread(entry.validation for entry in done),
        _spread(figures["accuracy"] for figures in judged),
        _spread(figures["stacked"] for figures in judged),
        statistics.fmean(minutes) if minutes else None,
        tuple(dict.fromkeys(entry.failure for entry in entries if entry.failure)),
    )


def _spread(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    known = [value for value in values if value is not None]
    return (statistics.fmean(known) if known else None, statistics.stdev(known) if len(known) > 1 else None)


def _cells(row: Row) -> list[str]:
    settings = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.settings.items())
    parts = [f"{row.done}", f"{row.pruned} pruned" if row.pruned else "", f"{row.failed} failed" if row.failed else ""]
    shares = [percent(*value) for value in (row.score, row.validation, row.test, row.stacked)]
    minutes = MISSING if row.minutes is None else f"{row.minutes:.1f}"
    return [row.arm + (f": {settings}" if settings else ""), ", ".join(filter(None, parts)), *shares, minutes]


def table(rows: Sequence[Row], title: str) -> Table:
    """For the console."""
    shown = Table(title=title, title_justify="left")
    for head in HEADS:
        shown.add_column(head, justify="left" if head == "arm" else "right")
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def markdown(rows: Sequence[Row], title: str) -> str:
    """The same as Markdown, with failures."""
    legend = (
        "Shares in percent; ± is the standard deviation over an arm's runs. score: mean accuracy on clean and perturbed validation "
        "cells; test and stacked: the judged zip, clean and perturbed test cells, of one view unless the recipe says more."
    )
    lines = [f"# {title}", "", legend, ""]
    lines += ["| " + " | ".join(HEADS) + " |", "|---|" + "---:|" * (len(HEADS) - 1)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(row)) + " |" for row in rows]
    failures = [f"- {row.arm}: {failure}" for row in rows for failure in row.failures]
    return "\n".join(lines + (["", "Failed:", "", *failures] if failures else [])) + "\n"


def best(entries: Iterable[Entry], count: int) -> list[Entry]:
    """The `count` best runs that share their test cells, best first; of several splits the one where they score the most.

    UserError where no split has so many finished runs.
    """
    # By run: a search may draw the same settings twice.
    splits: dict[tuple[int, int], dict[str, Entry]] = {}
    for entry in entries:
        if entry.state == DONE and entry.score is not None:
            splits.setdefault((entry.seed, entry.fold), {}).setdefault(entry.run, entry)
    ranked = [sorted(runs.values(), key=lambda entry: entry.score, reverse=True) for runs in splits.values()]
    large = [runs[:count] for runs in ranked if len(runs) >= count]
    if not large:
        most = max(map(len, ranked), default=0)
        raise UserError(
            f"Expected {count} finished runs of one split to pack, there are at most {most}: runs of other seeds and folds were trained "
            "on each other's test cells; pack fewer, or sweep --members or more recipes or trials."
        )
    return max(large, key=lambda runs: statistics.fmean(entry.score for entry in runs))
