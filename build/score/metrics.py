"""Labels and predictions -> metrics.

Every metric of the leaderboard declares which direction is better; a competition's columns never guess.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

CONFIDENCE = 0.95
Z = float(norm.ppf(0.5 + CONFIDENCE / 2))
"""Two-sided standard normal quantile."""
DRAWS = 2000
"""Samples of a bootstrap."""


@dataclass(frozen=True)
class Metric:
    """How a number of 0..1 is read."""

    title: str
    higher_is_better: bool


METRICS = {
    "accuracy": Metric("Accuracy", True),
    "precision": Metric("Precision (weighted)", True),
    "recall": Metric("Recall (weighted)", True),
    "f1": Metric("F1 (weighted)", True),
}
"""The columns of a competition's leaderboard, in their order; accuracy decides."""


@dataclass(frozen=True)
class Metrics:
    """Measures of one condition. Shares are 0..1; `confusion[i][j]` counts images of class i called j."""

    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    """Wilson interval of the accuracy at 95 %."""
    precision: float
    recall: float
    f1: float
    classes: tuple[dict, ...]
    """A row a class: name, n, precision, recall, f1, recall_low, recall_high."""
    confusion: tuple[tuple[int, ...], ...]


def wilson(correct: float, n: float) -> tuple[float, float]:
    """Wilson score interval of a share `correct` / `n` (Wilson 1927; Brown, Cai, DasGupta 2001, section 3.1.1).

    n may be an effective sample size and need not be whole; n = 0 gives (0, 1).
    """
    if n <= 0:
        return 0.0, 1.0
    share = correct / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * np.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    # At shares of 0 and 1 rounding may leave the share just outside.
    return float(max(0.0, min(middle - half, share))), float(min(1.0, max(middle + half, share)))


def clustered(correct: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """Wilson interval of a mean over conditions that share images.

    correct (m,) bool and image (m,) int, m > 0: which image each answer is about. Answers about one image resemble each other,
    so the sample size is divided by the design effect (Kish 1965, chapter 5): n_eff = p (1 - p) / Var(mean), the
    variance taken between images. Never above m and never below the number of images divided by the largest number of
    answers about one.
    """
    correct, image = np.asarray(correct, float), np.asarray(image)
    _, inverse, counts = np.unique(image, return_inverse=True, return_counts=True)
    share = correct.mean()
    residual = np.bincount(inverse, correct - share)
    variance = float((residual**2).sum()) / len(correct) ** 2 * len(counts) / max(1, len(counts) - 1)
    effective = share * (1 - share) / variance if variance > 0 else len(counts)
    effective = float(np.clip(effective, len(counts) / counts.max(), len(correct)))
    low, high = wilson(share * effective, effective)
    return min(low, float(share)), max(high, float(share))


def redrawn(images: int, *, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of `images` is in each of `draws` bootstrap samples, (at most 100, images) int64 at a time: images drawn as wholes."""
    for start in range(0, draws, 100):
        yield rng.multinomial(images, np.full(images, 1 / images), size=min(100, draws - start))


def bootstrap(
    row: np.ndarray, gain: np.ndarray, *, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean of `gain` (m,), the images in `row` (m,) being drawn anew as wholes."""
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    sums, images = np.bincount(inverse, gain), len(counts)
    means = np.concatenate([(times @ sums) / (times @ counts) for times in redrawn(images, draws=draws, rng=rng)])
    low, high = np.quantile(means, (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2))
    return float(low), float(high)


def measure(labels: np.ndarray, predictions: np.ndarray, classes: tuple[str, ...]) -> Metrics:
    """Measure predictions (n,) against labels (n,), both integers in 0..len(classes)-1, n > 0.

    Weighted precision, recall and F1 weigh the classes by their number of images (scikit-learn); a class without images
    or without predictions counts 0 there.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    assert labels.shape == predictions.shape == (len(labels),), (labels.shape, predictions.shape)
    n, numbers = len(labels), range(len(classes))
    correct = int((labels == predictions).sum())
    matrix = confusion_matrix(labels, predictions, labels=numbers)
    weighted = precision_recall_fscore_support(labels, predictions, labels=numbers, average="weighted", zero_division=0)
    each = precision_recall_fscore_support(labels, predictions, labels=numbers, average=None, zero_division=0)
    rows = []
    for index, (name, precision, recall, f1, count) in enumerate(zip(classes, *each, strict=True)):
        low, high = wilson(matrix[index, index], count)
        rows.append(
            {
                "name": name,
                "n": int(count),
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(f1),
                "recall_low": low,
                "recall_high": high,
            }
        )
    assert matrix.sum() == n, "predictions lie outside the classes"
    low, high = wilson(correct, n)
    return Metrics(
        n,
        correct,
        correct / n,
        low,
        high,
        *(float(value) for value in weighted[:3]),
        tuple(rows),
        tuple(tuple(int(count) for count in row) for row in matrix),
    )
