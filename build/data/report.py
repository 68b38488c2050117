"""What became of a data set, as rows for a table: a class a row, and a reason a row."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from build.data.cells import class_counts
from build.data.prepare import Prepared
from submission import contract


class ClassRow(NamedTuple):
    """Images of one class (or of all): as found, as kept by curation, and on each side of the split."""

    name: str
    found: int
    kept: int
    train: int
    validation: int
    test: int


class ReasonRow(NamedTuple):
    """How many rows were dropped for a reason, or how many near-duplicate pairs are kept together, with one example."""

    reason: str
    count: int
    example: str


def summary(prepared: Prepared) -> list[ClassRow]:
    """One row for each class in the contract's order, then one named "all"."""
    labels, parts = prepared.cells.labels, prepared.split
    rows = (slice(None), prepared.curation.kept, parts.train, parts.validation, parts.test)
    counts = np.stack([class_counts(labels[part]) for part in rows], 1)
    table = [ClassRow(name, *line) for name, line in zip(contract.CLASSES, counts.tolist(), strict=True)]
    return [*table, ClassRow("all", *counts.sum(0).tolist())]


def reasons(prepared: Prepared) -> list[ReasonRow]:
    """Dropped rows by reason, then near-duplicates and those among them with different labels, where there are any."""
    curation, labels = prepared.curation, prepared.cells.labels
    counts = Counter(d.reason for d in curation.dropped)
    examples = {d.reason: f"row {d.row}: {d.detail}" for d in reversed(curation.dropped)}
    table = [ReasonRow(reason, counts[reason], examples[reason]) for reason in sorted(counts)]
    pairs = {
        "near-duplicates kept on one side": curation.near,
        "near-duplicates with different labels": [p for p in curation.near if labels[p.row] != labels[p.twin]],
    }
    for reason, found in pairs.items():
        if found:
            pair = found[0]
            table.append(
                ReasonRow(reason, len(found), f"rows {pair.row} and {pair.twin}: {pair.how}, texture {pair.score:.2f}")
            )
    return table
