"""Run studies: `python -m build reproduce --study models --data training_set.npz`.

Table, plot and page are brought up to date after every row. Ctrl-C leaves all of it resumable: the same command goes on.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from build.console import console, muffled
from build.data.read import read
from build.errors import UserError
from build.files import write_text
from build.machine import machine
from build.study import page, protocol, results
from build.study.catalogue import STUDIES, Row, Study, find
from build.study.execute import Result, Task, facts_of, perform

ALL = "all"


class Interrupted(KeyboardInterrupt):
    """A study that was stopped by Ctrl-C; the same command goes on with it."""


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
) -> int:
    """Train and judge every row of a study (or of "all") that is not done yet; returns 0, or 1 where a row failed.

    seeds: how many, from 0 on. epochs: overrides the protocol's. rows: test images a condition. only: train the rows whose label
    contains this text; the others are shown if they are done. work: performs a task (build/study/execute.py).

    Raises UserError for an unknown study, a scale that is none, or a text that no label contains, and Interrupted.
    """
    studies = list(STUDIES.values()) if name == ALL else [find(name)]
    if only and not any(only.lower() in row.label.lower() for study in studies for row in study.rows):
        known = "; ".join(row.label for study in studies for row in study.rows)
        raise UserError(f"No row's label contains {only!r}; the rows are: {known}.")
    chosen = protocol.choose(scale, gpu=_has_gpu() if scale == "auto" else False)
    console.print(protocol.describe(chosen, epochs=epochs, seeds=seeds))
    cells = read(data, seed=0)  # bad data is refused here and not once a row
    failed = 0
    for study in studies:
        failed += _Progress(
            study, chosen, epochs, seeds, data, cells.sha256, rows, only, engine, root, dist, work
        ).run()
    return int(failed > 0)


def _has_gpu() -> bool:
    with muffled():
        from build.train import hardware

        return bool(hardware.find().gpus)


class _Progress:
    """One study under way."""

    def __init__(
        self,
        study: Study,
        scale: str,
        epochs,
        seeds: int,
        data: str,
        data_sha256: str,
        rows,
        only,
        engine,
        root,
        dist,
        work,
    ):
        self.study, self.scale, self.epochs, self.seeds, self.data = study, scale, epochs, seeds, data
        self.rows, self.only, self.engine, self.root, self.work = rows, only, engine, root, work
        self.data_sha256 = data_sha256
        self.folder = Path(dist) / "studies"
        self.lines: list[tuple[Row, list[Result]]] = []
        self.times: list[float] = []
        """Seconds of what was trained in this call."""

    def run(self) -> int:
        """Perform the study; returns how many tasks failed."""
        tasks = []
        for row in self.study.rows:
            recipe = protocol.at_scale(row.recipe, self.scale, epochs=self.epochs)
            if recipe.epochs < row.least_epochs:
                console.print(
                    f"{row.label}: left out, it needs {row.least_epochs} epochs or more (--epochs).", markup=False
                )
                continue
            line = (row, [])
            self.lines.append(line)
            tasks.append((line, recipe))
        # Seeds outside: the table is complete, if of one seed, as early as can be.
        order = [(line, recipe, seed) for seed in range(self.seeds) for line, recipe in tasks]
        try:
            for number, (line, recipe, seed) in enumerate(order, 1):
                self._row(line, Task(recipe, seed, self.data, self.rows, engine=self.engine), number, len(order))
        except KeyboardInterrupt as error:
            self.write()
            raise Interrupted(
                f"Interrupted; the same command goes on with study {self.study.name}: what is finished is kept, "
                "what was begun is resumed."
            ) from error
        console.print(results.console_table(self.table()))
        console.print(f"Study {self.study.name}: {self.folder / self.study.name}.html, .md, .json, .png.", markup=False)
        return sum(result.failure != "" for row, done in self.lines for result in done if self._is_wanted(row))

    def _is_wanted(self, row: Row) -> bool:
        return self.only.lower() in row.label.lower()

    def _row(self, line: tuple[Row, list[Result]], task: Task, number: int, total: int) -> None:
        row, done = line
        if row.teachers:
            task = dataclasses.replace(
                task, recipe=dataclasses.replace(task.recipe, teachers=self._teachers(row, task))
            )
        eta = ""
        if self.times:
            left = (total - number + 1) * sum(self.times) / len(self.times)
            eta = f", about {left / 60:.0f} minutes left if nothing else is done yet"
        console.rule(f"{self.study.name} {number}/{total}: {row.label}, seed {task.seed}{eta}", align="left")
        began = time.monotonic()
        if "" in task.recipe.teachers:
            result = Result(
                task, facts=facts_of(None), failure=f"Not taught: {' and '.join(row.teachers)} has no run yet."
            )
        else:
            result = self.work(task, root=self.root, train=self._is_wanted(row))
        done.append(result)
        if result.measures and not result.reused:
            self.times.append(time.monotonic() - began)
        self.write()
        if result.failure and not self._is_wanted(row):
            console.print(f"{row.label}: {result.failure}", markup=False)
        elif result.failure:
            console.print(f"{row.label}: {result.failure}", style="bold red", markup=False)
        else:
            figures = results.figures_of(result.measures)
            told = ", ".join(f"{name} {results.percent(value)}" for name, value in figures.items())
            console.print(f"{row.label}: {told}{' (done before)' if result.reused else ''}.", markup=False)

    def _teachers(self, row: Row, task: Task) -> tuple[str, ...]:
        """Runs of the rows that teach this one, of the same seed; "" for one that has no figures."""
        runs = {
            other.label: result.run
            for other, done in self.lines
            for result in done
            if result.task.seed == task.seed and result.measures
        }
        return tuple(runs.get(label, "") for label in row.teachers)

    def table(self) -> dict:
        """The study so far."""
        return results.assemble(
            self.study,
            self.lines,
            scale=self.scale,
            protocol=protocol.describe(self.scale, epochs=self.epochs, seeds=self.seeds),
            seeds=self.seeds,
            data={"source": self.data, "sha256": self.data_sha256},
            device=machine(),
            test_rows=self.rows,
        )

    def write(self) -> None:
        """Bring the four files up to date."""
        table, path = self.table(), self.folder / self.study.name
        picture = page.plot(table)
        results.write_json(table, path.with_suffix(".json"))
        write_text(path.with_suffix(".md"), results.markdown(table))
        page.write_png(picture, path.with_suffix(".png"))
        page.write_html(table, path.with_suffix(".html"), picture)
