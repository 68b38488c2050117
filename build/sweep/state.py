"""What a sweep knows, in runs/sweeps/ID/sweep.json: written after every event, read by the next call of the same command.

    state = State.open(folder, asked, cells.sha256)
    state.add(Entry(...)); state.write()

The trainings themselves are in their run folders; a sweep.json that is lost costs the search's history and no training.
"""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from build import standing
from build.errors import UserError
from build.files import locked, write_text
from build.study.execute import Result
from build.study.results import figures_of
from build.sweep.plan import Asked, Spot

FORMAT = 1
DONE, PRUNED, FAILED = "done", "pruned", "failed"


@dataclass(frozen=True)
class Entry:
    """One run of an arm at a spot that is over. Shares and scores are 0..1; None where there is none."""

    arm: str
    seed: int
    fold: int
    member: int
    state: str
    """DONE, PRUNED or FAILED."""
    run: str = ""
    score: float | None = None
    """Mean of the accuracies on clean and on perturbed validation cells, of the best epoch: what runs are chosen by."""
    validation: float | None = None
    epochs: int | None = None
    minutes: float | None = None
    figures: dict | None = None
    """Of the judged zip, on the test side (build/study/results.py)."""
    failure: str = ""

    @property
    def spot(self) -> Spot:
        """Where it was."""
        return Spot(self.seed, self.fold, self.member)

    @classmethod
    def of(cls, arm: str, spot: Spot, result: Result) -> "Entry":
        """What came of a task."""
        facts = result.facts
        scores = [facts.get("validation"), facts.get("validation_perturbed")]
        state = FAILED if result.failure else PRUNED if facts.get("status") == standing.PRUNED else DONE
        return cls(
            arm,
            *spot,
            state,
            result.run,
            standing.score_of(*scores) if None not in scores else None,
            facts.get("validation"),
            facts.get("epochs"),
            facts.get("minutes"),
            figures_of(result.measures) if result.measures else None,
            result.failure,
        )


@dataclass
class Trial:
    """A trial of the search."""

    recipe: str
    number: int
    settings: dict
    values: dict[int, float] = field(default_factory=dict)
    """Score after each epoch of its first run, the only one that can be given up."""
    over: bool = False
    value: float | None = None
    """Mean score of its runs; None where it was given up or failed."""

    @property
    def label(self) -> str:
        """The arm's name."""
        return f"{self.recipe} #{self.number}"


@dataclass
class State:
    """Entries by arm and spot; trials of each recipe in the order of their numbers."""

    path: Path
    asked: dict
    data_sha256: str
    entries: dict[tuple[str, Spot], Entry] = field(default_factory=dict)
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, asked: Asked, data_sha256: str) -> "State":
        """What an earlier call left, or nothing yet. UserError where it cannot be read."""
        path = folder / "sweep.json"
        state = cls(path, dataclasses.asdict(asked), data_sha256, trials={r.name: [] for r in asked.recipes})
        if not path.exists():
            return state
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["format"] != FORMAT:
                raise ValueError(f"format {known['format']}")
            for facts in known["entries"]:
                entry = Entry(**facts)
                state.entries[entry.arm, entry.spot] = entry
            for facts in known["trials"]:
                facts["values"] = {int(epoch): value for epoch, value in facts["values"].items()}
                state.trials[facts["recipe"]].append(Trial(**facts))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} cannot be read ({type(error).__name__}: {error}); move it away: its runs are found again."
            ) from error
        return state

    def add(self, entry: Entry) -> None:
        """Note an entry."""
        self.entries[entry.arm, entry.spot] = entry

    def write(self) -> None:
        """Write it atomically."""
        facts = {
            "format": FORMAT,
            "asked": self.asked,
            "data_sha256": self.data_sha256,
            "entries": [dataclasses.asdict(entry) for entry in self.entries.values()],
            "trials": [dataclasses.asdict(trial) for trials in self.trials.values() for trial in trials],
        }
        write_text(self.path, json.dumps(facts, indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep for this process; UserError where another one drives it."""
        told = f"Sweep {self.path.parent.name} is driven by another process; wait for it or stop it first."
        with locked(self.path.parent / "lock", told):
            yield
