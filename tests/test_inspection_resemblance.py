"""Neighbours' labels: shares, classes that look alike, and labels that look wrong."""

import numpy as np
import pytest

from build.inspection.resemblance import agreement, doubtful, inner_cosine, likeness, shares, suspects
from build.inspection.similarity import cosines, unit


def blobs(rng) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of four classes of 40, of which 0 and 1 overlap and 3 is wide."""
    centres = np.eye(4, 12)
    centres[1] = centres[0] + 0.25 * centres[1]
    labels = np.repeat(np.arange(4), 40)
    spread = np.array([0.2, 0.2, 0.1, 0.3])[labels][:, None]
    return unit((centres[labels] + spread * rng.normal(size=(160, 12))).astype(np.float32)), labels


@pytest.fixture
def found(rng):
    units, labels = blobs(rng)
    return units, labels, cosines(units, neighbours=5, least=2, advance=lambda _: None).neighbours


def test_shares_are_those_of_the_neighbours_and_the_overlapping_classes_are_most_alike(found):
    _, labels, neighbours = found
    table = shares(labels, neighbours, 4)
    np.testing.assert_allclose(table.sum(1), 1)
    expected = np.mean([np.mean(labels[row] == 1) for row in neighbours[labels == 0]])
    assert table[0, 1] == pytest.approx(expected)
    pairs = likeness(table, labels)
    assert pairs[0][:2] == (0, 1)
    assert len(pairs) == 6
    assert pairs[0][2] > 0.5 > pairs[1][2]


def test_likeness_is_one_by_chance(rng):
    labels = rng.choice(3, 3000, p=[0.6, 0.3, 0.1])
    neighbours = rng.integers(0, 3000, (3000, 10))
    assert [lift for _, _, lift in likeness(shares(labels, neighbours, 3), labels)] == pytest.approx([1] * 3, abs=0.06)


def test_a_class_without_cells_has_no_shares():
    table = shares(np.array([0, 0, 2]), np.array([[1], [0], [0]]), 4)
    assert table.tolist() == [[1, 0, 0, 0], [0] * 4, [1, 0, 0, 0], [0] * 4]
    assert all(np.isfinite(lift) for *_, lift in likeness(table, np.array([0, 0, 2])))


def test_a_wrong_label_is_the_only_suspect_in_a_clean_class(found):
    _, labels, neighbours = found
    assert [s for s in suspects(labels, neighbours, 4) if labels[s.position] == 2] == []
    wrong = labels.copy()
    wrong[85] = 3  # lies among class 2
    (suspect,) = (s for s in suspects(wrong, neighbours, 4) if s.votes_for == 2 and s.votes == 5)
    assert suspect.position == 85
    assert suspect.of == 5
    assert agreement(wrong, neighbours, 4)[85] == 2


def test_of_equal_votes_the_nearer_ones_count():
    labels = np.array([0, 1, 0, 1, 2])
    assert agreement(labels, np.array([[1, 2, 3, 0]] * 5), 3).tolist() == [1] * 5
    assert agreement(labels, np.array([[4, 2, 3, 0]] * 5), 3).tolist() == [0] * 5


def test_labels_are_doubtful_where_they_agree_hardly_more_often_than_by_chance():
    even, uneven = np.repeat(np.arange(8), 40), np.repeat(np.arange(8), (700, 50, 50, 50, 50, 50, 25, 25))
    assert doubtful(even, 0.2, 10)
    assert not doubtful(even, 0.6, 10)
    assert doubtful(uneven, 0.72, 10)
    assert not doubtful(uneven, 0.85, 10)
    assert not doubtful(np.repeat(np.arange(8), 10), 0.38, 10)


def test_cells_of_a_class_that_is_smaller_than_the_neighbourhood_are_no_suspects(found):
    _, labels, neighbours = found
    few = labels.copy()
    few[80:85] = 4
    assert all(few[s.position] != 4 for s in suspects(few, neighbours, 5))


def test_the_inner_cosine_is_the_mean_over_pairs_and_lower_for_a_wide_class(found):
    units, labels, _ = found
    means = inner_cosine(units, np.where(labels == 0, 5, labels), 6)
    assert means[0] is None
    table = units[labels == 2] @ units[labels == 2].T
    assert means[2] == pytest.approx(float(table[np.triu_indices(40, 1)].mean()), abs=1e-5)
    assert means[3] < means[2]
