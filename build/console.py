"""Where the program speaks: one console on standard error for progress, plain standard output for results."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

WIDTH = 120
"""Columns where there is no terminal to ask: rich's own 80 would break tables in a log."""

console = Console(stderr=True, highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = WIDTH


@contextmanager
def bar(description: str, total: int | None, unit: str = "images") -> Iterator[Progress]:
    """Progress bar with rate-based ETA. Yields (progress); call `progress.advance(progress.task_ids[0], n)`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(description, total=total)
        yield progress
