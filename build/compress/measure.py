"""Accuracy of a weights file on the validation side of its run: as the cells are, and perturbed by the judge's suites.

    conditions = validation_conditions(run, rows=128)
    correct = answers(path, conditions)                 # {"held-out": bool (n,), "microscopy": bool (m,), ...}
    difference(correct["microscopy"], reference["microscopy"])

Candidates are chosen among here, so the test side must not be looked at: it would then promise more than the server gives. The
suites' pictures of validation cells are cells that the training chose its best epoch by, so absolute accuracies are a little high; what
counts is the difference between two files on the same pictures. One view an image: further views make differences smaller.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from build.console import bar
from build.run_cells import cells_of_run
from build.runs import Run
from build.score.held_out import Rows
from build.score.suites import CACHE, Condition, materialise

SUITES = ("held-out", "microscopy", "stacked")
Z_95 = 1.96


def validation_conditions(run: Run, rows: int) -> list[Condition]:
    """The validation side as it is, and `rows` images of it a condition of the perturbing suites; found again when made before."""
    cells, split = cells_of_run(run)
    held = Rows(cells.images, split.validation)
    return materialise(
        SUITES, held, cells.labels[split.validation], seed=split.seed, rows_per_condition=rows, cache=CACHE
    )


def answers(path: Path, conditions: list[Condition], title: str = "judging") -> dict[str, np.ndarray]:
    """Suite -> whether each of its images was named rightly, bool, in the conditions' order."""
    from submission.inference import Predictor  # imports the framework

    predictor = Predictor(path, views=1)
    right = defaultdict(list)
    with bar(title, sum(len(condition.labels) for condition in conditions)) as advance:
        for condition in conditions:
            labels = predictor.labels(np.load(condition.images_path, mmap_mode="r"))
            right[condition.suite].append(labels == condition.labels)
            advance(len(labels))
    return {suite: np.concatenate(parts) for suite, parts in right.items()}


def difference(right: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Points (0..100) that `right` lies above `reference` on the same images, and half the width of its 95 % interval.

    Of paired answers (McNemar's setting): only images count that the two answer differently. The same cell occurs in several
    conditions, so the interval is a little too narrow.
    """
    gained, lost = np.count_nonzero(right & ~reference), np.count_nonzero(reference & ~right)
    count = len(right)
    spread = np.sqrt(max(gained + lost - (gained - lost) ** 2 / count, 0.0))
    return 100 * (gained - lost) / count, 100 * Z_95 * spread / count
