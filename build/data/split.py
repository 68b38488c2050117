"""Training, validation and test rows: stratified by class, near-duplicates on one side, the same for the same seed.

parts = split(cells, curation, validation_share=0.1, test_share=0.1, seed=0)
parts.save(run / "split.npz")            and split.csv beside it: what became of every row, and why
parts = fold(cells, curation, number=0, folds=5, validation_share=0.1, seed=0)      the first of five
"""

import csv
import dataclasses
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build import files
from build.data.cells import Cells
from build.data.curate import Curation, Dropped, columns, counted, from_columns
from build.errors import UserError
from submission import contract

SIDES = ("train", "validation", "test")
LEAST = 10
"""Fewest images a class may keep: below, a tenth of them is no image."""
FEW = 0.05
"""Share of a class's images up to which groups are too few to matter to what a side is a sample of."""


class CannotSplit(UserError):
    """A class keeps too few cells to be split."""


@dataclass(frozen=True)
class Split:
    """Rows of the cells, each side (n,) int64 ascending; dropped rows with reasons; seed and hash of the cells."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    dropped: tuple[Dropped, ...]
    seed: int
    sha256: str

    def save(self, path: Path, names: Sequence[str] = ()) -> None:
        """Write `path` (npz without pickles, equal bytes for equal splits) and a CSV of all rows beside it.

        names: of each row's file (Cells.files); the CSV has a column of them then.
        """
        path = Path(path)
        table = columns("dropped", Dropped, self.dropped)
        sides = {side: getattr(self, side) for side in SIDES}
        with files.atomic(path) as file:
            np.savez_compressed(file, **sides, **table, seed=np.array(self.seed), sha256=np.array(self.sha256))
        rows = [(int(row), side, "", "") for side in SIDES for row in sides[side]]
        rows += [(d.row, "dropped", d.reason, d.detail) for d in self.dropped]
        head, lines = ("row", "side", "reason", "detail"), sorted(rows)
        if names:
            head, lines = (*head, "file"), [(*line, names[line[0]]) for line in lines]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([head, *lines])
        files.write_text(path.with_suffix(".csv"), text.getvalue())

    def divides_as(self, other: "Split") -> bool:
        """Whether another split of the same cells puts the same rows on each side."""
        return all(np.array_equal(getattr(self, side), getattr(other, side)) for side in SIDES)

    def tests_seen_by(self, other: "Split") -> int:
        """How many of these test cells another split of the same cells trains on or validates with."""
        assert self.sha256 == other.sha256
        return int(np.isin(self.test, np.concatenate([other.train, other.validation])).sum())

    @classmethod
    def load(cls, path: Path) -> "Split":
        """The inverse of `save`. OSError, ValueError or KeyError where the file is not whole."""
        held = files.arrays(path)
        dropped = from_columns("dropped", Dropped, held)
        return cls(*(held[side] for side in SIDES), dropped, int(held["seed"]), str(held["sha256"]))


def split(
    cells: Cells,
    curation: Curation,
    *,
    validation_share: float,
    test_share: float,
    seed: int,
    stratified: bool = True,
) -> Split:
    """Split the kept rows. Shares are 0..1 of each class; a side with a share above 0 gets at least one image of every
    class.

    stratified: False splits all classes as if they were one, a reproduction of a known error (Recipe.defects); shares
    are then of the whole, and a class may miss a side.

    A group of near-duplicates counts for the class of its first row. Groups are drawn in a seeded order, large ones
    first, each to the side that still lacks the most, so that classes meet their shares exactly where groups are single
    images.

    Raises UserError where shares do not fit or a class keeps fewer than 10 images or 3 groups.
    """
    shares = {"validation": validation_share, "test": test_share}
    if not all(0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise UserError(
            f"Shares of validation ({validation_share}) and test ({test_share}) must be 0 or more "
            "and add up to less than 1."
        )
    labels, group_class, _ = _groups(cells, curation)
    _check_enough(labels, group_class, cells.source, curation.dropped)
    return _split(cells, curation, shares, seed, stratified=stratified)


def _groups(cells: Cells, curation: Curation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of the kept rows; of each group its class, which is that of its first row, and its size."""
    labels = cells.labels[curation.kept]
    starts, sizes = np.unique(curation.groups, return_index=True, return_counts=True)[1:]
    return labels, labels[starts], sizes


def _split(cells: Cells, curation: Curation, shares: dict[str, float], seed: int, *, stratified: bool) -> Split:
    labels, group_class, sizes = _groups(cells, curation)
    if not stratified:
        group_class = np.zeros_like(group_class)
    side_of_group = np.empty(len(sizes), np.int64)
    for index in range(len(contract.CLASSES) if stratified else 1):
        members = np.flatnonzero(group_class == index)
        order = np.random.default_rng([seed, index]).permutation(members)
        order = order[np.argsort(-sizes[order], kind="stable")]
        side_of_group[order] = _deal(sizes[order], [shares["validation"], shares["test"]])
    side_of_row = side_of_group[curation.groups]
    parts = [curation.kept[side_of_row == side] for side in range(len(SIDES))]
    assert np.array_equal(np.sort(np.concatenate(parts)), curation.kept)
    _check(labels if stratified else np.zeros_like(labels), curation.groups, side_of_row, shares)
    return Split(*parts, curation.dropped, seed, cells.sha256)


def fold(
    cells: Cells,
    curation: Curation,
    *,
    number: int,
    folds: int,
    validation_share: float,
    seed: int,
    stratified: bool = True,
) -> Split:
    """Split the kept rows for one of `folds` rounds of cross-validation: the test side is fold `number`, 0..folds - 1.

    The test sides of all rounds of a seed are disjoint and are all kept rows together; each is a stratified part of about
    1/folds of each class, groups kept together. validation_share is of all kept rows of a class, drawn from the other folds.

    Raises UserError where there are fewer than 2 folds, no fold of that number, shares that do not fit, or a class with fewer
    than 10 images, or too few groups for every fold and for both other sides.
    """
    if folds < 2 or not 0 <= number < folds:
        raise UserError(
            f"Expected 2 folds or more and the number of one of them from 0 on, got fold {number} of {folds}."
        )
    rest_share = validation_share * folds / (folds - 1)
    if not 0 <= rest_share < 1:
        raise UserError(
            f"A validation share of {validation_share} does not fit beside a test side of 1/{folds}; lower it or take more folds."
        )
    labels, group_class, sizes = _groups(cells, curation)
    _check_enough(labels, group_class, cells.source, curation.dropped)
    if not stratified:
        group_class = np.zeros_like(group_class)
    if folds > len(sizes):
        raise UserError(
            f"{cells.source} has {len(sizes)} groups of near-duplicates, too few for {folds} folds; take fewer folds."
        )
    fold_of_group = np.empty(len(sizes), np.int64)
    for index in range(len(contract.CLASSES) if stratified else 1):
        members = np.flatnonzero(group_class == index)
        order = np.random.default_rng([seed, index, folds]).permutation(members)
        order = order[np.argsort(-sizes[order], kind="stable")]
        # A fold that has nothing lacks the most, so none stays empty; a class's odd images begin at another fold than the last one's.
        lacks = np.full(folds, sizes[members].sum() / folds)
        for group in order.tolist():
            turned = (int(np.argmax(np.roll(lacks, -index))) + index) % folds
            fold_of_group[group] = turned
            lacks[turned] -= sizes[group]
        count = np.bincount(fold_of_group[members], minlength=folds)
        if count.min() == 0 or len(members) - count.max() < len(SIDES) - 1:
            raise UserError(
                f"{contract.CLASSES[index]} has {len(members)} groups of near-duplicates in {cells.source}, too few for {folds} folds; "
                "take fewer folds or add images."
            )
    tested = (fold_of_group == number)[curation.groups]
    groups = np.unique(curation.groups[~tested], return_inverse=True)[1]
    rest = dataclasses.replace(curation, kept=curation.kept[~tested], groups=groups)
    shares = {"validation": rest_share, "test": 0.0}
    parts = _split(cells, rest, shares, seed, stratified=stratified)
    return dataclasses.replace(parts, test=curation.kept[tested])


def _check_enough(labels: np.ndarray, group_class: np.ndarray, source: str, dropped: tuple[Dropped, ...]) -> None:
    count = np.bincount(labels, minlength=len(contract.CLASSES))
    group_count = np.bincount(group_class, minlength=len(contract.CLASSES))
    lost = counted(dropped)
    remedy = (
        f"of all rows {lost} were dropped: look at them (nox -s inspect -- --data {shlex.quote(source)}), correct the file or add images"
        if lost
        else "add images"
    )
    for name, n, different in zip(contract.CLASSES, count, group_count, strict=True):
        if n < LEAST or different < len(SIDES):
            raise CannotSplit(
                f"{name} keeps {n} images in {different} groups of near-duplicates from {source}; a split needs "
                f"at least {LEAST} images in {len(SIDES)} groups a class; {remedy}."
            )


def _deal(sizes: np.ndarray, shares: list[float]) -> np.ndarray:
    """Side (0 train, 1 validation, 2 test) of each group of a class, given sizes in dealing order."""
    total = int(sizes.sum())
    held_out = [max(1, round(total * share)) if share else 0 for share in shares]
    if sum(held_out) >= total:
        held_out[int(np.argmax(held_out))] -= sum(held_out) - total + 1
    wanted = np.array([total - sum(held_out), *held_out])
    lacks = wanted.copy()
    many = int(sizes[sizes > 1].sum()) > FEW * total
    empty = {side for side in range(len(SIDES)) if lacks[side] > 0}
    sides = np.empty(len(sizes), np.int64)
    for position, size in enumerate(sizes.tolist()):
        fits = (lacks >= size) & (wanted > 0)
        # When as few groups are left as sides are empty, those sides come first.
        if 0 < len(sizes) - position <= len(empty):
            side = min(empty)
        elif size > 1 and many and fits.any():
            # By shares: else training, which lacks the most, would have nearly all groups, and the others would be no sample of the class.
            side = int(np.argmax(np.where(fits, lacks / np.maximum(wanted, 1), -1)))
        else:
            side = int(np.argmax(lacks))
        empty.discard(side)
        sides[position] = side
        lacks[side] -= size
    return sides


def _check(labels: np.ndarray, groups: np.ndarray, side_of_row: np.ndarray, shares: dict[str, float]) -> None:
    """What a split promises: no group on two sides, every class on every side, shares within two groups a class."""
    wanted = [1 - sum(shares.values()), *shares.values()]
    for side in range(len(SIDES)):
        assert not np.isin(groups[side_of_row == side], groups[side_of_row != side]).any()
    starts, sizes = np.unique(groups, return_index=True, return_counts=True)[1:]
    of_group = labels[starts][groups]
    for index in np.unique(labels):
        mine = labels == index
        strays = np.count_nonzero(mine != (of_group == index))
        # A side overshoots by less than one group, so another one falls short by less than the two others' groups.
        tolerance = 1 + strays + 2 * int(sizes[labels[starts] == index].max())
        for side, share in enumerate(wanted):
            got = np.count_nonzero(mine & (side_of_row == side))
            assert got > 0 or share == 0, (index, SIDES[side])
            assert abs(got - share * mine.sum()) <= tolerance, (index, SIDES[side], got, share * mine.sum(), tolerance)
