"""The search: what --search says, and Optuna's sampler and pruner behind it.

    space = parse("lr=loguniform(1e-4,3e-3), dropout=uniform(0,0.5), optimizer=choice(adamw,lion), augmix_width=int(1,4)")
    search = Search(space, seed=0, epochs=40)
    settings = search.ask(0)              {"learning_rate": ..., ...}
    search.report(0, step=1, value=0.6)   True: give this trial up
    search.tell(0, 0.8)

Names are fields of a recipe; lr is short for learning_rate. Optuna and not Ray Tune: a search without a cluster must not need Ray, and
one sampler and one pruner then serve both. Sampler: TPE (Bergstra et al. 2011), whose suggestion depends on the seed, the trial's
number and the values so far. Pruner: asynchronous successive halving (ASHA; Li et al. 2020, algorithm 2) with a factor of 3.
Optuna is imported where a search begins, and not for reading one.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from build.errors import UserError
from build.machine import pip_install
from build.recipe_fields import IN_WORDS, find_field, read_value

FIXED = (
    *("name", "validation_share", "test_share", "folds", "fold", "member", "storage", "views", "hidden_images"),
    *("teachers", "teacher_weight", "teacher_temperature"),
)
"""Fields that change which cells are judged, or nothing of a training: no recipe of a sweep names a teacher."""
PACKAGING = ("minimum_", "maximum_", "size_limit", "accuracy_budget", "time_limit")
KINDS = ("uniform", "loguniform", "int", "choice")
FACTOR = 3
"""Of the trials that reach a rung, one in so many goes on to the next, which has so many times the epochs."""
RUNGS = 2
"""Rungs before the last epoch: at a ninth and a third of the epochs."""
STARTUP = 8
"""Trials drawn at random before TPE has enough to go by."""


@dataclass(frozen=True)
class Distribution:
    """Of one field: low and high of uniform, loguniform and int, both included, or the values of a choice."""

    kind: str
    low: float = 0.0
    high: float = 0.0
    values: tuple = ()


Space = dict[str, Distribution]
Settings = dict[str, float | int | str | bool]


def parse(text: str) -> Space:
    """Read the distributions of fields; UserError with one sentence where a name, a kind or a number is none."""
    space: Space = {}
    rest = text.strip()
    while rest:
        found = re.match(r"(\w+)\s*=\s*(\w+)\s*\(([^()]*)\)\s*[,;]?\s*", rest)
        if found is None:
            raise UserError(
                f'Expected NAME=KIND(A,B) in --search, such as "lr=loguniform(1e-4,3e-3), optimizer=choice(adamw,lion)", got {rest!r}.'
            )
        name, kind, inside = found.groups()
        field = _field(name)
        if field.name in space:
            raise UserError(f"--search names {field.name} twice; name every field once.")
        space[field.name] = _distribution(field, kind, [part.strip() for part in inside.split(",")])
        rest = rest[found.end() :]
    if not space:
        raise UserError("--search is empty; name at least one field of the recipe, or leave it out.")
    return space


def _field(name: str) -> dataclasses.Field:
    field = find_field(name, asked_by="--search")
    if field.name in FIXED or field.name.startswith(PACKAGING) or field.type not in (float, int, str, bool):
        raise UserError(f"{field.name} cannot be searched: expected a number or a word that changes the training.")
    return field


def _distribution(field: dataclasses.Field, kind: str, parts: list[str]) -> Distribution:
    if kind not in KINDS:
        raise UserError(f"{field.name}: expected one of {', '.join(KINDS)}, got {kind}.")
    if kind == "choice":
        values = tuple(read_value(field, part) for part in parts)
        if len(set(values)) < max(2, len(values)):
            raise UserError(f"{field.name}: a choice needs two or more different values, got {', '.join(parts)}.")
        return Distribution(kind, values=values)
    if field.type is not (int if kind == "int" else float):
        raise UserError(f"{field.name} is {IN_WORDS[field.type]}: {kind} does not fit; use {_fitting(field.type)}.")
    numbers = [read_value(field, part) for part in parts]
    if len(numbers) != 2 or not numbers[0] < numbers[1] or (kind == "loguniform" and numbers[0] <= 0):
        above = " above 0" if kind == "loguniform" else ""
        raise UserError(f"{field.name}: expected {kind}(LOW,HIGH) with LOW{above} below HIGH, got {', '.join(parts)}.")
    return Distribution(kind, *numbers)


def _fitting(kind: type) -> str:
    return {float: "uniform, loguniform or choice", int: "int or choice"}.get(kind, "choice")


class Search:
    """Trials of one recipe, by the numbers that the sweep gives them; nothing here is kept on disk (`recall` gets it back)."""

    def __init__(self, space: Space, *, seed: int, epochs: int):
        """For runs of at most `epochs`. UserError where Optuna is not installed."""
        try:
            import optuna
        except ImportError as error:
            raise UserError(
                f"A search needs the package optuna: nox -s install -- search, or {pip_install('optuna~=5.0')}."
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._seed = optuna, seed
        self._space = {name: self._translated(distribution) for name, distribution in space.items()}
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            # Rounded up: Optuna's rungs go on without end, and the next one is not to come before a run is finished.
            min_resource=-(-epochs // FACTOR**RUNGS),
            reduction_factor=FACTOR,
        )
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._trials: dict[int, object] = {}
        self._steps: dict[int, set[int]] = {}

    def _translated(self, distribution: Distribution):
        kinds = self._optuna.distributions
        if distribution.kind == "choice":
            return kinds.CategoricalDistribution(distribution.values)
        if distribution.kind == "int":
            return kinds.IntDistribution(int(distribution.low), int(distribution.high))
        return kinds.FloatDistribution(distribution.low, distribution.high, log=distribution.kind == "loguniform")

    def ask(self, number: int, known: Mapping | None = None) -> Settings:
        """Settings of a new trial; known: those that it had in an earlier process."""
        # A sampler of its own for each trial: after a restart, the same values so far lead to the same suggestion.
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=self._seed * 1_000_003 + number, n_startup_trials=STARTUP
        )
        if known is not None:
            self._study.enqueue_trial(dict(known))
        trial = self._study.ask(self._space)
        self._trials[number], self._steps[number] = trial, set()
        return dict(trial.params)

    def report(self, number: int, step: int, value: float) -> bool:
        """Take in the value after epoch `step` (from 1 on); whether to give the trial up."""
        if step in self._steps[number]:
            return False
        self._steps[number].add(step)
        self._trials[number].report(value, step)
        return bool(self._trials[number].should_prune())

    def tell(self, number: int, value: float | None) -> None:
        """The trial is over; None where it was given up or failed."""
        states = self._optuna.trial.TrialState
        if value is not None:
            self._study.tell(self._trials[number], value)
        else:
            self._study.tell(self._trials[number], state=states.PRUNED if self._steps[number] else states.FAIL)

    def recall(self, number: int, settings: Mapping, values: Mapping[int, float], value: float | None) -> None:
        """Take in a trial that was over in an earlier process: its values by epoch, and `tell`'s. In the order of numbers."""
        self.ask(number, settings)
        for step in sorted(values):
            self.report(number, step, values[step])  # the pruner notes each rung that it is asked about
        self.tell(number, value)
