"""How the benchmarks measure: contenders in turns, processor time, medians, the machine in one line."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from build import files

RESULTS = Path("runs/bench")


def take(contenders: Mapping[str, Callable], images: np.ndarray, *, rounds: int) -> dict[str, np.ndarray]:
    """Processor milliseconds an image of each contender, (rounds,) float64, called once in every round.

    In turns, so that what else the machine does falls on all of them alike; the order is turned round every second round.
    Time is the process's, all threads: a contender that spreads over cores gains nothing by it.
    """
    spent = {name: np.empty(rounds) for name in contenders}
    for number in range(rounds):
        for name, function in reversed(contenders.items()) if number % 2 else contenders.items():
            start = time.process_time()
            function(images)
            spent[name][number] = (time.process_time() - start) * 1000 / len(images)
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


@contextmanager
def quiet() -> Iterator[None]:
    """Send what C libraries print at their start (TensorFlow, a dozen lines) to nowhere; exceptions come through."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def machine() -> str:
    """One line: processor, cores at hand, Python, NumPy and OpenCV."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{name}, {cores} cores, Python {platform.python_version()}, NumPy {np.__version__}, OpenCV {cv2.__version__}"
    )


def load() -> float:
    """Programs that wanted a processor in the last minute, for each core at hand; 0 where the system does not say."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return os.getloadavg()[0] / cores if hasattr(os, "getloadavg") else 0.0


def save(subject: str, facts: dict) -> Path:
    """Write `facts` to runs/bench/SUBJECT.json below the working folder, atomically; returns the path."""
    path = RESULTS / f"{subject}.json"
    files.write_text(path, json.dumps(facts, indent=2) + "\n")
    return path
