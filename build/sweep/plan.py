"""What a sweep consists of: arms (a recipe, or a recipe with a trial's settings) at spots (a seed, a fold, a member) -> tasks.

asked = Asked((find("podium"),), data="training_set.npz", seeds=3, folds=5)
[task_of(asked, arm, spot) for spot in spots(asked) for arm in asked.recipes]
asked.id(cells.sha256)           the same for the same question, so that the same command goes on with its sweep
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple

from build.errors import UserError
from build.recipe import Recipe
from build.study.execute import Task


class Spot(NamedTuple):
    """Where an arm is tried. Runs of the same seed and fold share their test cells."""

    seed: int
    fold: int
    """0 where there are no folds."""
    member: int

    def text(self, asked: "Asked") -> str:
        """For tables, only what there are several of."""
        parts = [f"seed {self.seed}"]
        parts += [f"fold {self.fold + 1}/{asked.folds}"] if asked.folds else []
        parts += [f"member {self.member}"] if asked.members > 1 else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Asked:
    """The question that a sweep answers. UserError where it cannot be one."""

    recipes: tuple[Recipe, ...]
    data: str
    """A data source, as for `train`."""
    seeds: int = 1
    """How many, from 0 on; each draws a split."""
    folds: int = 0
    """Rounds of cross-validation a seed; 0: the recipe's own shares."""
    members: int = 1
    """Runs with other first weights on each split: these can be put together in one zip."""
    search: str = ""
    """Distributions of recipe fields (build/sweep/search.py); empty: the recipes as they are."""
    trials: int = 0
    """Of the search, a recipe."""
    search_seed: int = 0
    rows: int = 256
    """Test images a condition."""
    judge: bool = True
    """Whether each run's zip is judged on its test side. A search chooses by validation and leaves that to the end."""
    engine: str = "auto"
    """Of the judge's sandbox."""

    def __post_init__(self):
        names = [recipe.name for recipe in self.recipes]
        if not names or len(set(names)) < len(names):
            raise UserError(f"Expected different recipes, at least one, got {', '.join(names) or 'none'}.")
        for recipe in self.recipes:
            if recipe.ensemble:
                raise UserError(
                    f"The recipe {recipe.name} is an ensemble, and a sweep trains single networks; name {', '.join(recipe.ensemble)}, "
                    "and --pack puts the best of them together."
                )
        if self.folds == 1:
            raise UserError("Cross-validation needs 2 folds or more; leave --folds out for one split a seed.")
        if bool(self.search) != bool(self.trials):
            raise UserError("A search needs both --search, what to vary, and --trials, how often.")

    def id(self, data_sha256: str) -> str:
        """Names the sweep's folder. The engine is no part of the question."""
        facts = dataclasses.asdict(self) | {"data_sha256": data_sha256}
        del facts["engine"]
        if not self.judge:
            del facts["rows"]  # nothing is asked about them
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
        return f"{'+'.join(recipe.name for recipe in self.recipes)[:48]}-{digest}"


def spots(asked: Asked) -> list[Spot]:
    """All spots of an arm; seeds outside, so that a table of one seed is whole as early as can be."""
    return [
        Spot(seed, fold, member)
        for seed in range(asked.seeds)
        for fold in range(asked.folds or 1)
        for member in range(asked.members)
    ]


def task_of(asked: Asked, recipe: Recipe, spot: Spot) -> Task:
    """The task of an arm's recipe at a spot."""
    changes = {"member": recipe.member + spot.member}
    if asked.folds:
        changes |= {"folds": asked.folds, "fold": spot.fold}
    recipe = dataclasses.replace(recipe, **changes)
    return Task(recipe, spot.seed, asked.data, rows=asked.rows, engine=asked.engine, judge=asked.judge)
