"""What a sweep costs beside its trainings: `python -m build.bench sweep`.

Tiny runs (a custom CNN of 2 filters, one epoch of a few steps) of one recipe, in this process and on a Ray cluster of this machine with a
core a run: seconds for all of them, seconds a run, and how that grows from 8 to 64 runs. In this process the first run pays for importing
and tracing; with Ray every worker does. Ray is left out where it is not installed. Results also go to runs/bench/sweep.json.
"""

import dataclasses
import importlib.util
import tempfile
import time
from pathlib import Path

from rich.table import Table

from build.bench import turns
from build.console import console
from build.recipes import find
from build.sweep.drive import Sweep
from build.sweep.plan import Asked

COUNTS = (8, 64)
RECIPE = dataclasses.replace(
    find("report-custom-cnn"), name="tiny", filters=2, epochs=1, batch=32, resolutions=((32, 1.0),)
)


def main() -> None:
    """Measure, print a table, write runs/bench/sweep.json."""
    begun, facts = turns.begin("Sweeps of tiny runs"), {}
    engines = ["in this process"]
    if importlib.util.find_spec("ray"):
        engines.append("Ray")
    else:
        console.print("Ray is left out: it is not installed.")
    for count in COUNTS:
        facts[str(count)] = {engine: measure(count, ray=engine == "Ray") for engine in engines}
    table = Table("runs", "engine", title="Wall time", title_justify="left")
    for head in ("seconds", "a run", "of which to start"):
        table.add_column(head, justify="right")
    for count, found in facts.items():
        for engine, took in found.items():
            start = f"{took['start']:.1f}"
            table.add_row(count, engine, f"{took['seconds']:.1f}", f"{took['seconds'] / int(count):.2f}", start)
    console.print(table)
    turns.save("sweep", begun | {"runs": facts})


def measure(count: int, *, ray: bool) -> dict[str, float]:
    """Seconds of a sweep of `count` runs in a fresh folder, and of them those before the first run began; data prepared before."""
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        root, cache = Path(folder) / "runs", Path(folder) / "data"
        asked = Asked((RECIPE,), "synthetic:160", members=count, judge=False)
        driven = Sweep(asked, root=root, cache=cache)
        began, first = time.perf_counter(), []
        begin = driven._begin

        def noted(position: int) -> None:
            first.append(time.perf_counter())
            begin(position)

        driven._begin = noted
        if ray:
            from build.sweep.ray_engine import Cluster

            with Cluster("local", root=root, cache=cache, cpus=1, gpus=None, memory_gib=0.25) as cluster:
                failed = driven.run(cluster.execute, live=True)
        else:
            failed = driven.run()
        assert not failed
        return {"seconds": time.perf_counter() - began, "start": first[0] - began}
