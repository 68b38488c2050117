"""Drive a sweep: plan -> tasks, through the door of build/study/execute.py -> entries, a table, the best runs.

    sweep = Sweep(Asked((find("podium"),), data="training_set.npz", seeds=3))
    failed = sweep.run()                      one run after another in this process
    failed = sweep.run(Cluster("auto").execute, live=True)      on a Ray cluster (build/sweep/ray_engine.py)
    sweep.best(3)

Ctrl-C, a killed driver and a killed worker lose nothing but the epoch under way: the same question finds its folder again.
"""

import dataclasses
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from build.console import console
from build.data.cells import Cells
from build.data.read import read
from build.errors import Interrupted, UserError
from build.files import write_text
from build.recipe import Recipe
from build.runs import Run
from build.study.execute import Result, Task, epochs_of, execute, known_measures, perform
from build.sweep import table
from build.sweep.board import Board
from build.sweep.plan import Asked, Spot, spots, task_of
from build.sweep.search import Search, parse
from build.sweep.state import DONE, FAILED, PRUNED, Entry, State, Trial
from submission.contract import CLASSES


class Sweep:
    """One sweep, from its question to its table."""

    def __init__(self, asked: Asked, *, root: Path = Path("runs"), cache: Path = Path("data")):
        """Read the data (UserError where it is bad), and what an earlier call of the same question left."""
        self.asked, self.root, self.cache = asked, Path(root), Path(cache)
        self.cells = read(asked.data, seed=0, cache=self.cache)
        _check_folds(asked.folds, self.cells)
        self.id = asked.id(self.cells.sha256)
        self.folder = self.root / "sweeps" / self.id
        self.state = State.open(self.folder, asked, self.cells.sha256)
        self.spots = spots(asked)
        self.pending: dict[int, tuple[str, Spot, Trial | None]] = {}
        """Tasks that are under way, by position."""
        self.given = 0
        self.follow: deque[tuple[Trial, Spot]] = deque()
        """Further runs of trials whose first one was not given up."""
        self.searches: dict[str, Search] = {}
        self.board = Board(len(asked.recipes) * (asked.trials or 1) * len(self.spots))

    def run(self, engine: Callable | None = None, *, live: bool = False) -> int:
        """Perform what is not done yet; returns how many runs failed. Raises Interrupted.

        engine: called with tasks, begin and heard as `execute`; default: in this process. live: show a table that changes, for an
        engine whose trainings print elsewhere.
        """
        engine = engine or self._in_process
        with self.state.locked(), self.board.shown(live=live):
            self.state = State.open(self.folder, self.asked, self.cells.sha256)  # another driver may have ended since
            self.board.before = sum(self._is_over(arm, spot) for arm, spot in self.state.entries)
            self.state.write()
            try:
                for position, result in engine(self._tasks(), begin=self._begin, heard=self._heard):
                    self._over(position, result)
            except KeyboardInterrupt as error:
                self.state.write()
                raise Interrupted(
                    f"Interrupted; the same command goes on with sweep {self.id}: what is finished is kept, what was begun is resumed."
                ) from error
            self.state.write()
        rows = table.arms_of(self.state)
        write_text(self.folder / "table.md", table.markdown(rows, f"Sweep {self.id}"))
        console.print(table.table(rows, f"Sweep {self.id}, in percent"))
        for row in rows:
            for failure in row.failures:
                console.print(f"{row.arm}: {failure}", style="bold red", markup=False)
        console.print(f"Sweep {self.id}: {self.folder / 'table.md'}, {self.state.path}.", markup=False)
        return sum(row.failed for row in rows)

    def best(self, count: int) -> list[Entry]:
        """The best runs that can be put into one zip (build/sweep/table.py)."""
        return table.best(self.state.entries.values(), count)

    def _in_process(self, tasks: Iterator[Task], begin: Callable, heard: Callable) -> Iterator[tuple[int, Result]]:
        def work(task: Task, watch: Callable) -> Result:
            return perform(task, root=self.root, cache=self.cache, watch=watch)

        return execute(tasks, work, begin, heard)

    # --- tasks ------------------------------------------------------------------------------------------------------

    def _tasks(self) -> Iterator[Task | None]:
        """Tasks that are not done, each when there is room for it; None where the next one depends on a result to come."""
        if self.asked.trials:
            yield from self._searched()
            return
        for spot in self.spots:
            for recipe in self.asked.recipes:
                if not self._is_over(recipe.name, spot):
                    yield self._give(recipe.name, recipe, spot)

    def _searched(self) -> Iterator[Task | None]:
        space, begun = parse(self.asked.search), deque()
        for recipe in self.asked.recipes:
            search = Search(space, seed=self.asked.search_seed, epochs=recipe.epochs)
            self.searches[recipe.name] = search
            for trial in self.state.trials[recipe.name]:
                runs = [self.state.entries.get((trial.label, spot)) for spot in self.spots]
                # What failed is tried again: a full disk or a lost node is no fault of the settings (what diverged is told to be so
                # by its run, and not trained anew).
                trial.over &= not any(entry and entry.state == FAILED for entry in runs)
                if trial.over:
                    search.recall(trial.number, trial.settings, trial.values, trial.value)
                else:
                    search.ask(trial.number, trial.settings)
                    if self._is_over(trial.label, self.spots[0]):  # it says no more by itself
                        for step in sorted(trial.values):
                            search.report(trial.number, step, trial.values[step])
                    begun.append(trial)
        later: list[tuple[Trial, Spot]] = []
        """Equal to one that is under way, whose run they will find."""
        while True:
            free = next((number for number, waiting in enumerate(later) if not self._under_way(*waiting)), None)
            if free is not None:
                trial, spot = later.pop(free)
            elif self.follow:
                trial, spot = self.follow.popleft()
            elif begun:
                trial, spot = begun.popleft(), self.spots[0]
            elif (trial := self._new_trial()) is not None:
                spot = self.spots[0]
            elif self.pending:
                yield None
                continue
            else:
                return
            if self._is_over(trial.label, spot):
                self._settle(trial, spot)
            elif self._under_way(trial, spot):
                later.append((trial, spot))
            else:
                yield self._give(trial.label, self._recipe(trial), spot, trial)

    def _new_trial(self) -> Trial | None:
        """Of the recipe that has the fewest; None where all have theirs."""
        name = min(self.state.trials, key=lambda name: len(self.state.trials[name]))
        number = len(self.state.trials[name])
        if number >= self.asked.trials:
            return None
        trial = Trial(name, number, self.searches[name].ask(number))
        self.state.trials[name].append(trial)
        return trial

    def _under_way(self, trial: Trial, spot: Spot) -> bool:
        """Whether a trial of the same recipe and settings is being trained: two at once would want the same run folder."""
        return any(
            other and (other.recipe, other.settings, where) == (trial.recipe, trial.settings, spot)
            for _, where, other in self.pending.values()
        )

    def _recipe(self, trial: Trial) -> Recipe:
        base = next(recipe for recipe in self.asked.recipes if recipe.name == trial.recipe)
        return dataclasses.replace(base, **trial.settings)

    def _is_over(self, arm: str, spot: Spot) -> bool:
        entry = self.state.entries.get((arm, spot))
        if entry is None or entry.state not in (DONE, PRUNED):
            return False
        if entry.state == PRUNED:
            return True
        run = Run(self.root / entry.run)
        if not run.weights_path.is_file():
            return False
        # The suites may have changed since it was judged; means over two kinds of images would say nothing.
        return (
            entry.figures is None or known_measures(run, task_of(self.asked, self.asked.recipes[0], spot)) is not None
        )

    def _give(self, arm: str, recipe: Recipe, spot: Spot, trial: Trial | None = None) -> Task:
        self.pending[self.given] = arm, spot, trial
        self.given += 1
        self.state.write()
        return task_of(self.asked, recipe, spot)

    # --- events -----------------------------------------------------------------------------------------------------

    def _begin(self, position: int) -> None:
        arm, spot, _ = self.pending[position]
        self.board.begin(position, arm, spot.text(self.asked))

    def _heard(self, position: int, run: str, history: list[dict]) -> bool:
        """After an epoch: whether to give the run up."""
        if position not in self.pending:
            return False
        _, spot, trial = self.pending[position]
        self.board.epoch(position, run, history)
        if trial is None or spot != self.spots[0]:
            return False
        search, stop = self.searches[trial.recipe], False
        for row in history:
            trial.values[row["epoch"]] = row["score"]
            stop |= search.report(trial.number, row["epoch"], row["score"])
        return stop

    def _over(self, position: int, result: Result) -> None:
        arm, spot, trial = self.pending.pop(position)
        entry = Entry.of(arm, spot, result)
        self.state.add(entry)
        if trial is not None:
            if spot == self.spots[0]:
                self._recall_epochs(trial, result.run)
            self._settle(trial, spot)
        self.state.write()
        self.board.over(position, entry, reused=result.reused)

    def _recall_epochs(self, trial: Trial, run: str) -> None:
        """Tell the search what nobody told in this process: the epochs of a run that was found again or broke off before."""
        try:
            trial.values |= {row["epoch"]: row["score"] for row in epochs_of(Run(self.root / run))} if run else {}
        except UserError as error:  # the others go on; the search knows less
            console.print(str(error), style="yellow", markup=False)
        for epoch in sorted(trial.values):
            self.searches[trial.recipe].report(trial.number, epoch, trial.values[epoch])

    def _settle(self, trial: Trial, spot: Spot) -> None:
        """After a run of a trial: ask for the others, or tell the search how the trial ended."""
        entries = [self.state.entries.get((trial.label, other)) for other in self.spots]
        scores = [entry.score for entry in entries if entry and entry.state == DONE]
        went_well = self.state.entries[trial.label, spot].state == DONE
        if went_well and spot == self.spots[0]:
            self.follow.extend((trial, other) for other in self.spots[1:])
        if trial.over or (went_well and len(scores) < len(self.spots)):
            return
        trial.over = True
        trial.value = statistics.fmean(scores) if len(scores) == len(self.spots) else None
        self.searches[trial.recipe].tell(trial.number, trial.value)


def _check_folds(folds: int, cells: Cells) -> None:
    """UserError where a class has too few images for a test side of every round beside the other sides: each run would fail by it."""
    counts = np.bincount(cells.labels, minlength=len(CLASSES))
    rarest = int(counts.argmin())
    if counts[rarest] < folds:
        raise UserError(
            f"{CLASSES[rarest]} has {counts[rarest]} images in {cells.source}, too few for {folds} folds; take fewer folds or add images."
        )
