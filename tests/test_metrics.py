"""Metrics against scikit-learn, scipy, and numbers worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from build.score.metrics import clustered, measure, wilson

CLASSES = ("a", "b", "c", "d")


def test_measures_agree_with_scikit_learn(rng):
    labels = rng.integers(0, 3, 500)  # class d has no image
    predicted = np.where(rng.random(500) < 0.7, labels, rng.integers(0, 4, 500))
    ours = measure(labels, predicted, CLASSES)
    assert ours.accuracy == accuracy_score(labels, predicted)
    options = {"average": "weighted", "zero_division": 0}
    assert ours.precision == pytest.approx(precision_score(labels, predicted, **options))
    assert ours.recall == pytest.approx(recall_score(labels, predicted, **options))
    assert ours.f1 == pytest.approx(f1_score(labels, predicted, **options))
    assert np.array_equal(ours.confusion, confusion_matrix(labels, predicted, labels=range(4)))
    each = recall_score(labels, predicted, labels=range(4), average=None, zero_division=0)
    assert [row["recall"] for row in ours.classes] == pytest.approx(each)
    assert [row["n"] for row in ours.classes] == np.bincount(labels, minlength=4).tolist()
    assert ours.classes[3]["recall_low"] == 0
    assert ours.classes[3]["recall_high"] == 1


def test_a_small_case_worked_out_by_hand():
    ours = measure([0, 0, 0, 1], [0, 0, 1, 1], ("a", "b"))
    assert (ours.n, ours.correct, ours.accuracy) == (4, 3, 0.75)
    assert ours.confusion == ((2, 1), (0, 1))
    assert ours.classes[0]["precision"] == 1
    assert ours.classes[0]["recall"] == pytest.approx(2 / 3)
    assert ours.precision == pytest.approx((3 * 1 + 1 * 0.5) / 4)
    assert ours.f1 == pytest.approx((3 * 0.8 + 1 * 2 / 3) / 4)


def test_predictions_outside_the_classes_are_caught():
    with pytest.raises(AssertionError, match="outside the classes"):
        measure([0, 1], [0, 7], ("a", "b"))


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (1, 10), (7, 10), (10, 10), (83, 97), (999, 1000), (1000, 1000)])
def test_the_wilson_interval_is_scipys_and_holds_the_share(correct, n):
    theirs = binomtest(correct, n).proportion_ci(method="wilson")
    low, high = wilson(correct, n)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= low <= correct / n <= high <= 1


def test_the_wilson_interval_of_every_count_holds_its_share():
    for n in (1, 3, 47, 400):
        for correct in range(n + 1):
            low, high = wilson(correct, n)
            assert low <= correct / n <= high
            low, high = clustered(np.arange(n) < correct, np.arange(n))
            assert low <= np.mean(np.arange(n) < correct) <= high


def test_the_wilson_interval_covers_as_often_as_it_says():
    n, share = 60, 0.9
    covered = [low <= share <= high for low, high in (wilson(k, n) for k in range(n + 1))]
    chance = float(binom.pmf(np.arange(n + 1), n, share) @ covered)
    assert 0.92 < chance < 0.98


def test_answers_about_one_image_count_as_few(rng):
    """100 images, 10 answers each: all ten alike tell as much as 100 answers, all ten unrelated as much as 1,000."""
    image = np.repeat(np.arange(100), 10)
    alike, unrelated = np.repeat(rng.random(100) < 0.8, 10), rng.random(1000) < 0.8
    narrow = np.diff(clustered(unrelated, image)).item()
    wide = np.diff(clustered(alike, image)).item()
    low, high = wilson(alike[::10].sum(), 100)
    assert wide == pytest.approx(high - low, rel=0.03)
    low, high = wilson(unrelated.sum(), 1000)
    assert narrow == pytest.approx(high - low, rel=0.2)
    # All right: nothing tells how alike they are, so an image counts once.
    assert clustered(np.ones(100, bool), np.repeat(np.arange(10), 10)) == pytest.approx(wilson(10, 10))


def test_the_clustered_interval_covers_the_truth_where_a_plain_one_does_not(rng):
    """Images of different difficulty, asked about eight times: a plain interval is far too narrow."""
    inside = {"plain": 0, "clustered": 0}
    for _ in range(300):
        difficulty = rng.beta(2, 0.5, 80)
        image = np.repeat(np.arange(80), 8)
        correct = rng.random(640) < difficulty[image]
        for name, (low, high) in (("plain", wilson(correct.sum(), 640)), ("clustered", clustered(correct, image))):
            inside[name] += low <= 0.8 <= high
    assert inside["clustered"] > 0.91 * 300
    assert inside["plain"] < 0.85 * 300
