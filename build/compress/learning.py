"""What a fine-tuning takes from its run: training cells in the recipe's balance and augmentation. No framework here.

The uncompressed network's answers are the labels, so what mixes images or makes views of one is left out of the recipe.
"""

from dataclasses import dataclass

import numpy as np

from build.augment.balance import plan
from build.augment.pipeline import Augmentation
from build.augment.settings import unmixed
from build.run_cells import cells_of_run
from build.runs import Run
from build.train.streams import PLAN, generator
from submission import contract

LEARNING_RATE_SHARE = 0.1
"""Of the recipe's learning rate: the fine-tuning begins where the training ended."""
TEMPERATURE = 2.0
"""By which logits are divided before they are compared (Hinton et al. 2015, section 2)."""


def still(spec: dict) -> dict:
    """The spec without what a fine-tuning leaves out: dropped features and branches, penalties."""
    return spec | {name: 0.0 for name in ("dropout", "stochastic_depth", "l1", "l2") if name in spec}


@dataclass(frozen=True)
class Lessons:
    """An epoch of a run's training cells."""

    images: np.ndarray
    """(N, H, W, 3) uint8, a memory map."""
    labels: np.ndarray
    """(N,) int64."""
    rows: np.ndarray
    """(m,) rows of an epoch, balancing copies among them."""
    copy: np.ndarray
    """(m,) bool, which of them AugMix takes as copies (build/augment/balance.py)."""
    augmentation: Augmentation
    batch: int
    seed: int
    learning_rate: float


def lessons_of(run: Run) -> Lessons:
    """The lessons of `run`, with the balancing copies of a first epoch; UserError where its data is no longer the same."""
    recipe = unmixed(run.recipe)
    cells, split = cells_of_run(run)
    classes, seed = len(contract.CLASSES), run.facts["seed"]
    chosen = plan(cells.labels[split.train], recipe, rng=generator(seed, PLAN), classes=classes)
    return Lessons(
        cells.images,
        cells.labels,
        split.train[chosen.rows],
        chosen.copy,
        Augmentation(recipe, classes=classes),
        min(recipe.batch, len(chosen.rows)),
        seed,
        LEARNING_RATE_SHARE * recipe.learning_rate,
    )
