"""The status of a training: its names in run.json, and how its best epoch is chosen.

    run.facts["status"] in ENDED
    score_of(0.98, 0.88)         # 0.93
    surpasses(row, kept, best, cells=1194)

Asked by the trainer, by studies and by sweeps; no framework is imported here.
"""

from collections.abc import Mapping
from math import sqrt

RUNNING, FINISHED, EARLY, INTERRUPTED, FAILED = "running", "finished", "stopped early", "interrupted", "failed"
PRUNED = "pruned"
"""Of a run that a sweep gave up; it can be gone on with."""
SOUP = "soup"
"""Of a run that is the mean of others (build/train/soup.py)."""
ENDED = (FINISHED, EARLY)
"""Of a training that is over and was not broken off."""


def score_of(validation: float, perturbed: float) -> float:
    """Accuracies 0..1 on clean and on perturbed validation cells -> what epochs, soups and trials are measured by."""
    return (validation + perturbed) / 2


def merit(row: Mapping[str, float]) -> tuple[float, float]:
    """What the best of several networks has most of: the score, and among equals (few validation cells) the smaller loss."""
    return row["score"], -_loss(row)


def surpasses(row: Mapping[str, float], kept: Mapping[str, float], best: Mapping[str, float], cells: int) -> bool:
    """Whether the weights of the epoch `row` are kept in the place of those of `kept`.

    The one-standard-error rule (Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3): among the epochs
    whose score lies within a standard error of the best, that of the smallest loss. Which of these has the highest score is
    chance, and chance rather takes an early epoch, whose weights have not come to rest; a loss asks every cell how sure it is.
    Only one epoch's weights are held: one that lost to another is not had back when a later best leaves that one behind.

    Args:
        row, kept, best: of history.csv: the new epoch, the one kept so far, the one with the highest score so far (row, too).
        cells: number of validation cells.

    """
    least = best["score"] - standard_error(best["validation_accuracy"], best["perturbed_accuracy"], cells)
    if row["score"] < least:
        return False
    return kept["score"] < least or _loss(row) < _loss(kept)


def standard_error(validation: float, perturbed: float, cells: int) -> float:
    """The standard error of `score_of` two accuracies of the same cells; as much as it can be, for they are not independent."""
    return sum(sqrt(accuracy * (1 - accuracy) / cells) for accuracy in (validation, perturbed)) / 2


def _loss(row: Mapping[str, float]) -> float:
    return row["validation_loss"] + row["perturbed_loss"]
