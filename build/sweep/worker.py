"""One task of a sweep beside a Ray worker: find the data and the run, perform, tell the driver after every epoch."""

import os
from collections.abc import Callable

from build.runs import Run, provenance
from build.study.execute import Result, Task, perform
from build.sweep.depot import Facts, Parcel, place


def perform_here(position: int, task: Task, parcel: Parcel, facts: Facts, commit: str | None, call: Callable) -> Result:
    """Perform a task; call(name, *arguments) reaches the driver's Depot.

    A failure of the row is in the result, as from `perform`; what is wrong with the node itself is raised.
    """
    here = provenance()["commit"]
    if commit and here and here != commit:
        return Result(task, failure=_other_code(commit, here))
    with place(call, facts) as at:
        cells = at.cells(parcel, task.data)
        at.fetch_run(task, cells.sha256)

        def watch(run: Run, history: list[dict]) -> bool:
            at.push()
            return bool(call("report", position, run.id, history))

        try:
            return perform(task, root=at.root, cache=at.cache, cells=cells, watch=watch)
        finally:
            at.push()


def _other_code(commit: str, here: str) -> str:
    return (
        f"The worker on {os.uname().nodename} has commit {here[:9]} of the kit and the driver {commit[:9]}; "
        "check the same commit out everywhere."
    )
