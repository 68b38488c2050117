"""How a training stands: the words that run.json has for it, and what its epochs are chosen by.

    run.facts["status"] in ENDED
    score_of(0.98, 0.88)         # 0.93

Asked by the trainer, by studies and by sweeps; no framework is imported here.
"""

from collections.abc import Mapping

RUNNING, FINISHED, EARLY, INTERRUPTED, FAILED = "running", "finished", "stopped early", "interrupted", "failed"
PRUNED = "pruned"
"""Of a run that a sweep gave up; it can be gone on with."""
SOUP = "soup"
"""Of a run that is the mean of others (build/train/soup.py)."""
ENDED = (FINISHED, EARLY)
"""Of a training that is over and was not broken off."""


def score_of(validation: float, perturbed: float) -> float:
    """Accuracies 0..1 on clean and on perturbed validation cells -> what epochs, soups and trials are chosen by."""
    return (validation + perturbed) / 2


def merit(row: Mapping[str, float]) -> tuple[float, float]:
    """What the best epoch or soup has most of: the score, and among equals (few validation cells) the smaller loss."""
    return row["score"], -row["validation_loss"] - row["perturbed_loss"]
