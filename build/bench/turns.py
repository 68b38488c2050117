"""How the benchmarks measure: contenders in turns, processor time, medians, the machine in one line."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from build import files
from build import machine as where
from build.console import console

RESULTS = Path("runs/bench")


def take(
    contenders: Mapping[str, Callable], images: np.ndarray, *, rounds: int, walls: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Processor milliseconds an image of each contender, (rounds,) float64, called once in every round.

    In turns, so that what else the machine does falls on all of them alike; the order is turned round every second round.
    Time is the process's, all threads: a contender that spreads over cores gains nothing by it. One that works in a process of
    its own has a method `cpu()`, the seconds that process has spent. `walls`, where given, takes the same calls' milliseconds
    an image by the clock.
    """
    spent = {name: np.empty(rounds) for name in contenders}
    walls = {} if walls is None else walls
    walls |= {name: np.empty(rounds) for name in contenders}
    for number in range(rounds):
        for name, function in reversed(contenders.items()) if number % 2 else contenders.items():
            clock = getattr(function, "cpu", time.process_time)
            start, began = clock(), time.perf_counter()
            function(images)
            spent[name][number] = (clock() - start) * 1000 / len(images)
            walls[name][number] = (time.perf_counter() - began) * 1000 / len(images)
    return spent


def images_a_second(epoch_of: Callable[[int], Iterable], *, epochs: int) -> float:
    """Images a second of wall time in the fastest of some epochs; `epoch_of(epoch)` is a context manager with len() and
    items (x, y).
    """
    speeds = []
    for epoch in range(epochs):
        with epoch_of(epoch) as batches:
            start = time.perf_counter()
            count = sum(len(batches[index][0]) for index in range(len(batches)))
            speeds.append(count / (time.perf_counter() - start))
    return max(speeds)


def machine() -> str:
    """One line: cores and processor, Python, NumPy and OpenCV."""
    return f"{where.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, OpenCV {cv2.__version__}"


def load() -> float:
    """Programs that wanted a processor in the last minute, for each core at hand; 0 where the system does not say."""
    return os.getloadavg()[0] / where.cores() if hasattr(os, "getloadavg") else 0.0


def begin(
    title: str, *versions: str, advice: str = "look at the ratios rather than the times", busy: float = 1.0
) -> dict:
    """Print what is measured and on which machine, and a warning with this advice where it is busy; returns machine and load.

    versions: of what takes part, beside those of `machine`; busy: `load` above which the advice is given.
    """
    here, found = machine(), load()
    console.print(f"[bold]{title}[/]: {', '.join((here, *versions))}", highlight=False)
    if found > busy:
        console.print(f"Other work wants {found:.1f} times this machine's cores: {advice}.")
    return {"machine": here, "load": round(found, 2)}


def table(
    spent: Mapping[str, np.ndarray],
    *,
    ours: str,
    head: str,
    digits: int = 2,
    remarks: tuple[str, Mapping[str, str]] | None = None,
) -> dict[str, dict[str, float]]:
    """Print medians and ratios of `take`'s figures, the fastest first; name -> cpu_ms, times_ours (medians of the rounds).

    digits: of the milliseconds printed; remarks: head of one more column, and each contender's text in it.
    """
    rounds = len(spent[ours])
    grid = Table(head, title=f"Processor time, median of {rounds} rounds", title_justify="left")
    for column in ("cpu-ms an image", "25..75 %", "times ours"):
        grid.add_column(column, justify="right", no_wrap=True)
    if remarks:
        grid.add_column(remarks[0])
    facts = {}
    for name, milliseconds in sorted(spent.items(), key=lambda item: float(np.median(item[1]))):
        low, middle, high = np.percentile(milliseconds, [25, 50, 75])
        ratio = float(np.median(milliseconds / spent[ours]))
        style = "bold green" if name == ours else ""
        shown = [f"{middle:.{digits}f}", f"{low:.{digits}f}..{high:.{digits}f}", f"{ratio:.1f}"]
        grid.add_row(name, *shown, *([remarks[1][name]] if remarks else []), style=style)
        facts[name] = {"cpu_ms": round(float(middle), digits + 1), "times_ours": round(ratio, 2)}
    console.print(grid)
    return facts


def save(subject: str, facts: dict) -> Path:
    """Write `facts` to runs/bench/SUBJECT.json below the working folder, atomically, and say so; returns the path."""
    path = RESULTS / f"{subject}.json"
    files.write_text(path, json.dumps(facts, indent=2) + "\n")
    console.print(f"Written to {path}.")
    return path
