"""Where the program speaks: one console on standard error for progress, plain standard output for results."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from build.machine import nvidia_smi

WIDTH = 120
"""Columns where there is no terminal to ask: rich's own 80 would break tables in a log."""

console = Console(stderr=True, highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = WIDTH


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


@contextmanager
def muffled() -> Iterator[None]:
    """Hold back what libraries write on file descriptor 2: TensorFlow's notices on import, which no setting stops.

    Where an NVIDIA driver is installed they may say why a GPU is not found, so nothing is held back there; and an exception lets
    all of it out.
    """
    if nvidia_smi():
        yield
        return
    try:
        held = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the `with` below
    except OSError:  # a full disk must not keep anybody from a command that writes elsewhere
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def bar(description: str, total: int | None, unit: str = "images") -> Iterator[Callable[..., None]]:
    """Progress bar with rate-based ETA. Yields `advance`: advance(n) tells that n further units are done, advance() that one is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    # Where there is no terminal a transient bar would leave an empty line and nothing else.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count=1: progress.advance(task, count)
