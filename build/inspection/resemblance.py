"""Which classes look alike, and which labels look wrong, by the nearest neighbours of every cell."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Suspect:
    """A cell (position) whose neighbours all bear other labels: the label most of them bear, how many do, of how many."""

    position: int
    votes_for: int
    votes: int
    of: int


def shares(labels: np.ndarray, neighbours: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) float64: of the neighbours of class a's cells, the share that bears label b; rows sum to 1.

    labels (n,) int64, neighbours (n, k) positions. A class without cells has a row of zeros.
    """
    table = np.zeros((classes, classes))
    np.add.at(table, (np.repeat(labels, neighbours.shape[1]), labels[neighbours].ravel()), 1)
    total = table.sum(1, keepdims=True)
    return table / np.where(total > 0, total, 1)


def likeness(table: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of classes (a < b), most alike first: how many times as often as by chance b's cells neighbour a's.

    The geometric mean of both directions; 1 is chance, that is the classes' shares of all cells.
    """
    classes = len(table)
    usual = np.bincount(labels, minlength=classes) / max(1, len(labels))
    lift = table / np.where(usual > 0, usual, 1)
    pairs = [(a, b, float(np.sqrt(lift[a, b] * lift[b, a]))) for a in range(classes) for b in range(a + 1, classes)]
    return sorted(pairs, key=lambda pair: -pair[2])


def agreement(labels: np.ndarray, neighbours: np.ndarray, classes: int) -> np.ndarray:
    """(n,) int64: the label that most neighbours (n, k), nearest first, of each cell bear; of equals the one whose cells are nearer.

    Leave-one-out k-NN.
    """
    count = neighbours.shape[1]
    # All ranks together weigh less than one vote.
    weights = 1 + (count - np.arange(count)) / count**2 / 2
    return _votes(labels, neighbours, classes, weights).argmax(1)


def _votes(labels: np.ndarray, neighbours: np.ndarray, classes: int, weights: np.ndarray | int = 1) -> np.ndarray:
    votes = np.zeros((len(labels), classes), np.result_type(weights))
    rows = np.repeat(np.arange(len(labels)), neighbours.shape[1])
    np.add.at(votes, (rows, labels[neighbours].ravel()), np.broadcast_to(weights, neighbours.shape).ravel())
    return votes


def doubtful(labels: np.ndarray, agreement_all: float, neighbours: int) -> bool:
    """Whether so few labels agree with those of the nearest cells (a share of 0..1) that they may belong to other images.

    Few are less than a fifth of the way from chance, the largest class's share, to all. Where a class has no more members than
    a cell has neighbours, others outvote them whatever the labels are, and nothing is said.
    """
    count = np.bincount(labels)
    chance = count.max() / count.sum()
    return bool(count[count > 0].min() > neighbours and agreement_all < chance + 0.2 * (1 - chance))


def suspects(labels: np.ndarray, neighbours: np.ndarray, classes: int) -> list[Suspect]:
    """Cells none of whose neighbours bears their label, the most unanimous first.

    Cells of a class with no more than k members are left out: their neighbours are others whatever their label.
    """
    count = neighbours.shape[1]
    votes = _votes(labels, neighbours, classes)
    own = votes[np.arange(len(labels)), labels]
    enough = np.bincount(labels, minlength=classes)[labels] > count
    found = [
        Suspect(int(i), int(votes[i].argmax()), int(votes[i].max()), count) for i in np.flatnonzero((own == 0) & enough)
    ]
    return sorted(found, key=lambda s: (-s.votes, s.position))


def inner_cosine(units: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Mean cosine of two different cells of a class, from vectors of length 1; None where it has fewer than two cells."""
    found = []
    for index in range(classes):
        members = units[labels == index]
        n = len(members)
        # The squared length of the sum holds every ordered pair once, and each vector with itself.
        square = float(np.square(members.sum(0, dtype=np.float64)).sum())
        found.append((square - float(np.square(members, dtype=np.float64).sum())) / (n * (n - 1)) if n > 1 else None)
    return found
