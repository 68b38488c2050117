"""Which rows of a data set to keep: exact duplicates once, pictures that are no cells not at all, near-duplicates in
groups.

    curation = curate(read("training_set.npz", seed=0))        the replica: 13,759 rows, 1,806 duplicates, 2 foreign,
    11,951 kept

Policy for identical pictures: one is kept, the first. Where they bear different labels, none is: a lost cell costs less
than a wrong label in the test part. Near-duplicates are kept, in one group, which the split keeps on one side.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build import files
from build.console import bar
from build.data import features, foreign, near
from build.data.cells import Cells
from build.data.near import Near
from submission import contract

CLASS_SHARE = 1 / 3
"""Where colours alone call a larger share of a class foreign, they are that class's own."""
ALIKE_SHARE = 1 / 4
"""A group of a larger share of all pictures is no picture that was copied often, whatever its labels and colours."""
CHUNK = 256
"""Images measured at a time."""


@dataclass(frozen=True)
class Dropped:
    """A row that is not used: reason "duplicate", "foreign" or "conflict", and the numbers behind it in words."""

    row: int
    reason: str
    detail: str


def columns(name: str, kind: type, rows: Sequence) -> dict[str, np.ndarray]:
    """Rows of the dataclass `kind` as arrays for an npz: NAME_FIELD for each of its fields."""
    fields = [field.name for field in dataclasses.fields(kind)]
    return {f"{name}_{field}": np.array([getattr(row, field) for row in rows]) for field in fields}


def from_columns(name: str, kind: type, held: Mapping[str, np.ndarray]) -> tuple:
    """The inverse of `columns`. KeyError where an array is missing, ValueError where one is shorter than another."""
    table = (held[f"{name}_{field.name}"].tolist() for field in dataclasses.fields(kind))
    return tuple(kind(*row) for row in zip(*table, strict=True))


def counted(dropped: Iterable[Dropped]) -> str:
    """How many rows were dropped for which reason, such as "1,800 as foreign, 8 as duplicate"; "" for none."""
    return ", ".join(f"{count:,} as {reason}" for reason, count in Counter(one.reason for one in dropped).items())


@dataclass(frozen=True)
class Curation:
    """`kept` (M,) int64 rows in order; `groups` (M,) int64, equal for near-duplicates; every other row is in `dropped`,
    in order.

    `near` are the near-duplicate pairs among the kept rows; `alike` of these are alike by nature, each in a group of its own.
    """

    kept: np.ndarray
    groups: np.ndarray
    dropped: tuple[Dropped, ...]
    near: tuple[Near, ...]
    alike: int = 0

    @property
    def caveat(self) -> str:
        """One sentence where near-duplicates may lie on both sides of a split; "" else."""
        if not self.alike:
            return ""
        return (
            f"{self.alike:,} pictures are alike by nature, as a fixed camera's are, so none of them is taken for a copy of another; where "
            "some are frames of one object, both sides of the split may show it."
        )

    def save(self, path: Path) -> None:
        """Write as npz without pickled objects, atomically."""
        table = columns("dropped", Dropped, self.dropped) | columns("near", Near, self.near)
        with files.atomic(path) as file:
            np.savez_compressed(file, kept=self.kept, groups=self.groups, alike=np.array(self.alike), **table)

    @classmethod
    def load(cls, path: Path) -> "Curation":
        """The inverse of `save`. OSError, ValueError or KeyError where the file is not whole."""
        held = files.arrays(path)
        dropped, pairs = from_columns("dropped", Dropped, held), from_columns("near", Near, held)
        return cls(held["kept"], held["groups"], dropped, pairs, int(held["alike"]))


def curate(cells: Cells) -> Curation:
    """Judge every row of `cells`. About 20 s for 14,000 images of 96 pixels on one core.

    Memory beyond the images: about 4 kB an image and blocks of 64 MiB.
    """
    with bar("Looking for duplicates", len(cells)) as advance:
        copies = _identical(cells.images, advance)
    firsts = np.array([rows[0] for rows in copies], np.int64)
    with bar("Measuring", len(firsts)) as advance:
        measured = _measure(cells.images, firsts, advance)
    with bar("Comparing", (near.STAGES + 1) * len(firsts)) as advance:
        try:
            pairs = near.find(measured, lambda position: cells.images[firsts[position]], advance)
            group, alike = near.dissolved(
                near.groups(len(firsts), pairs), max(near.MOST_FRAMES, ALIKE_SHARE * len(firsts))
            )
        except near.AlikeByNature:
            pairs, group, alike = [], np.arange(len(firsts)), np.ones(len(firsts), bool)
        verdicts = _foreign(measured.colours, cells.labels, copies, group, advance)
    return _decide(cells.labels, copies, group, alike, pairs, verdicts)


def _identical(images: np.ndarray, advance: Callable[[int], None]) -> list[list[int]]:
    """Rows of each different image, ascending; the images in order of their first rows."""
    found: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        rows = found.setdefault(hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest(), [])
        assert not rows or np.array_equal(image, images[rows[0]])
        rows.append(row)
        if row % CHUNK == CHUNK - 1:
            advance(CHUNK)
    advance(len(images) % CHUNK)
    return list(found.values())


def _measure(images: np.ndarray, rows: np.ndarray, advance: Callable[[int], None]) -> features.Features:
    measured = features.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        features.fill(measured, start, [np.asarray(images[row]) for row in part])
        advance(len(part))
    return measured


def _foreign(
    colours: np.ndarray, labels: np.ndarray, copies: list[list[int]], group: np.ndarray, advance: Callable[[int], None]
) -> list[tuple[foreign.Verdict, str]]:
    """Verdict and evidence in words for each different image; near-duplicates are judged as copies of one picture."""
    members: dict[int, list[int]] = {}
    for position, index in enumerate(group.tolist()):
        members.setdefault(index, []).append(position)
    positions = np.array([list_[0] for list_ in members.values()], np.int64)
    tallies = [np.bincount(labels[[row for p in list_ for row in copies[p]]]) for list_ in members.values()]
    distance = foreign.distances(colours[positions], advance)
    advance(len(colours) - len(positions))
    count = np.array([tally.sum() for tally in tallies])
    mixed = np.array([np.count_nonzero(tally) > 1 for tally in tallies])
    verdicts = foreign.judge(distance, count, mixed)
    _spare_classes(verdicts, np.array([tally.argmax() for tally in tallies]), mixed)
    words = [
        f"colour distance {v.distance:.2f} to its fifth neighbour, {v.times:.1f} times the usual "
        f"(limit {v.limit:.2f}); {tally.sum()} copies bear {np.count_nonzero(tally)} labels"
        for v, tally in zip(verdicts, tallies, strict=True)
    ]
    return [(verdicts[index], words[index]) for index in group]


def _spare_classes(verdicts: list[foreign.Verdict], label: np.ndarray, mixed: np.ndarray) -> None:
    """Take back, in place, what colours alone decided about more than CLASS_SHARE of a class: then these are that class's colours."""
    apart = np.array([verdict.foreign for verdict in verdicts], bool) & ~mixed
    for index in np.unique(label[apart]):
        members = label == index
        if apart[members].mean() > CLASS_SHARE:
            for position in np.flatnonzero(members & apart):
                verdicts[position] = dataclasses.replace(verdicts[position], foreign=False)


def _decide(
    labels: np.ndarray,
    copies: list[list[int]],
    group: np.ndarray,
    alike: np.ndarray,
    pairs: list[Near],
    verdicts: list[tuple[foreign.Verdict, str]],
) -> Curation:
    dropped: list[Dropped] = []
    kept: list[int] = []
    positions: list[int] = []
    for position, (rows, (verdict, words)) in enumerate(zip(copies, verdicts, strict=True)):
        tally = np.bincount(labels[rows], minlength=len(contract.CLASSES))
        if verdict.foreign:
            fate = "which is foreign"
            dropped.append(Dropped(rows[0], "foreign", words))
        elif np.count_nonzero(tally) > 1:
            fate = "which is dropped for its different labels"
            said = ", ".join(f"{n} x {name}" for n, name in zip(tally, contract.CLASSES, strict=True) if n)
            dropped.append(Dropped(rows[0], "conflict", f"identical pictures bear different labels: {said}"))
        else:
            fate = "which is kept"
            kept.append(rows[0])
            positions.append(position)
        dropped += [
            Dropped(row, "duplicate", f"same pixels as row {rows[0]}, {fate}; {len(rows)} copies") for row in rows[1:]
        ]
    # A picture's position comes with its first row, so the kept rows are in order.
    dense = np.unique(group[np.array(positions, np.int64)], return_inverse=True)[1].astype(np.int64)
    groups, large = near.dissolved(dense, near.MOST_FRAMES)
    firsts = [rows[0] for rows in copies]
    of = dict(zip(kept, groups.tolist(), strict=True))
    twins = [Near(firsts[p.row], firsts[p.twin], p.score, p.how) for p in pairs]
    curation = Curation(
        kept=np.array(kept, np.int64),
        groups=groups,
        dropped=tuple(sorted(dropped, key=lambda d: d.row)),
        near=tuple(pair for pair in twins if pair.row in of and of[pair.row] == of.get(pair.twin)),
        alike=int((alike[positions] | large).sum()),
    )
    every_row = np.sort(np.concatenate([curation.kept, np.array([d.row for d in curation.dropped], np.int64)]))
    assert np.array_equal(every_row, np.arange(len(labels)))
    assert len(curation.groups) == len(curation.kept)
    return curation
