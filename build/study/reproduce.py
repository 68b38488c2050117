"""Run studies: `python -m build reproduce --study models --data training_set.npz`.

Table, plot and page are brought up to date after every row. Ctrl-C leaves all of it resumable: the same command goes on.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.markup import escape

from build.console import clock, console
from build.data.read import is_synthetic, read
from build.errors import Interrupted, UserError
from build.files import atomic, make_folder, write_text
from build.gpu_troubles import has_gpu
from build.machine import machine
from build.study import page, protocol, results
from build.study.catalogue import STUDIES, Study, find
from build.study.execute import Result, Task, execute, facts_of, perform
from build.study.results import Line

ALL = "all"


def reproduce(
    name: str,
    *,
    data: str,
    seeds: int = 1,
    scale: str = "auto",
    epochs: int | None = None,
    rows: int = 256,
    only: str = "",
    engine: str = "auto",
    root: Path = Path("runs"),
    dist: Path = Path("dist"),
    work: Callable[..., Result] = perform,
    carry: Callable | None = None,
) -> int:
    """Train and judge every row of a study (or of "all") that is not done yet; returns 0, or 1 where a row failed.

    seeds: how many, from 0 on. epochs: overrides the protocol's. rows: test images a condition. only: train the rows whose label
    contains this text; the others are shown if they are done. work: performs a task (build/study/execute.py). carry: another engine,
    called with tasks and `begin`, such as a cluster's (build/sweep/ray_engine.py).

    Raises UserError for an unknown study, a scale that is none, or a text that no label contains, and Interrupted.
    """
    studies = list(STUDIES.values()) if name == ALL else [find(name)]
    if only and not any(only.lower() in row.label.lower() for study in studies for row in study.rows):
        known = "; ".join(row.label for study in studies for row in study.rows)
        raise UserError(f"No row's label contains {only!r}; the rows are: {known}.")
    # The others' tables are not made anew for rows that this call does not have.
    studies = [study for study in studies if any(only.lower() in row.label.lower() for row in study.rows)]
    chosen = protocol.choose(scale, gpu=scale == "auto" and has_gpu())
    told = protocol.describe(chosen, epochs=epochs, seeds=seeds)
    if is_synthetic(data):
        told += " The cells are synthetic: figures show that everything works and say nothing about real cells."
    console.print(told)
    make_folder(Path(dist) / "studies")
    cells = read(data, seed=0)  # bad data is refused here and not once a row
    facts = {
        "scale": chosen,
        "protocol": told,
        "seeds": seeds,
        "data": {"source": data, "sha256": cells.sha256},
        "device": machine(),
        "test_rows": rows,
    }
    carry = carry or functools.partial(execute, work=functools.partial(work, root=root))
    failed = 0
    for study in studies:
        ask = functools.partial(Task, data=data, rows=rows, engine=engine)
        under_way = UnderWay(study, facts, epochs=epochs, only=only, folder=Path(dist) / "studies", carry=carry)
        failed += under_way.run(ask)
    return int(failed > 0)


class UnderWay:
    """One study while it is performed."""

    def __init__(self, study: Study, facts: dict, *, epochs: int | None, only: str, folder: Path, carry: Callable):
        self.study, self.facts, self.only, self.folder, self.carry = study, facts, only, folder, carry
        self.lines: list[Line] = []
        self.times: list[float] = []
        """Seconds of each task that was trained or judged in this call."""
        for row in study.rows:
            recipe = protocol.at_scale(row.recipe, facts["scale"], epochs=epochs)
            if recipe.epochs >= row.least_epochs:
                self.lines.append(Line(row, recipe))
                continue
            console.print(
                f"{row.label}: left out, it needs {row.least_epochs} epochs or more (--epochs).", markup=False
            )

    def run(self, ask: Callable[..., Task]) -> int:
        """Perform all rows; `ask` makes a task of a recipe and a seed. Returns how many tasks failed."""
        try:
            # Taught rows need their teachers' runs. Seeds outside: a table of one seed is whole as early as can be.
            for taught in (False, True):
                lines = [line for line in self.lines if bool(line.row.teachers) is taught]
                pairs = [(line, seed) for seed in range(self.facts["seeds"]) for line in lines]
                self._wave([(line, task) for line, seed in pairs if (task := self._task(line, seed, ask))])
        except KeyboardInterrupt as error:
            self.write()
            raise Interrupted(
                f"Interrupted; the same command goes on with study {self.study.name}: what is finished is kept, "
                "what was begun is resumed."
            ) from error
        self.write()
        console.print(results.console_table(self.table()))
        console.print(f"Study {self.study.name}: {self.folder / self.study.name}.html, .md, .json, .png.", markup=False)
        return sum(bool(done.failure) for line in self.lines if self._wanted(line) for done in line.results.values())

    def _wanted(self, line: Line) -> bool:
        return self.only.lower() in line.row.label.lower()

    def _task(self, line: Line, seed: int, ask: Callable[..., Task]) -> Task | None:
        """The task of a row and a seed; None, and a failure in its place, where a teacher is missing."""
        by_label = {other.row.label: other.results.get(seed) for other in self.lines}
        teachers = [by_label.get(label) for label in line.row.teachers]
        names = tuple(teacher.run for teacher in teachers if teacher and teacher.measures)
        recipe = dataclasses.replace(line.recipe, teachers=names) if names else line.recipe
        task = ask(recipe, seed, train=self._wanted(line))
        if len(names) == len(teachers):
            return task
        failure = f"Not taught: {' or '.join(line.row.teachers)} has no run yet."
        line.results[seed] = Result(task, facts=facts_of(None), failure=failure)
        self._say(line, line.results[seed])
        return None

    def _wave(self, pairs: list[tuple[Line, Task]]) -> None:
        began: dict[int, float] = {}
        """When each began: on a cluster several are under way."""

        def begin(position: int) -> None:
            line, task = pairs[position]
            eta = ""
            if self.times:
                left = (len(pairs) - position) * sum(self.times) / len(self.times)
                eta = f", ETA {clock(left)} at most"
            name = f"{self.study.name} {position + 1}/{len(pairs)}: {line.row.label}, seed {task.seed}{eta}"
            console.rule(escape(name), align="left")
            began[position] = time.monotonic()

        for position, result in self.carry([task for _, task in pairs], begin=begin):
            line, task = pairs[position]
            line.results[task.seed] = result
            if result.measures and not result.reused:
                self.times.append(time.monotonic() - began[position])
            self.write()
            self._say(line, result)

    def _say(self, line: Line, result: Result) -> None:
        if result.failure:
            style = "bold red" if self._wanted(line) else None
            console.print(f"{line.row.label}: {result.failure}", style=style, markup=False)
            return
        figures = results.figures_of(result.measures)
        told = ", ".join(f"{name} {results.percent(value)}" for name, value in figures.items())
        console.print(f"{line.row.label}: {told}{' (done before)' if result.reused else ''}.", markup=False)

    def table(self) -> dict:
        """The study so far."""
        return results.assemble(self.study, self.lines, **self.facts)

    def write(self) -> None:
        """Bring the four files up to date."""
        table, path = self.table(), self.folder / self.study.name
        picture = page.plot(table)
        write_text(path.with_suffix(".json"), json.dumps(table, indent=1, allow_nan=False) + "\n")
        write_text(path.with_suffix(".md"), results.markdown(table))
        with atomic(path.with_suffix(".png")) as file:
            file.write(picture)
        page.write_html(table, path.with_suffix(".html"), picture)
