"""The split: shares met in every class, near-duplicates on one side, the same for the same seed, a reason for every row."""

import csv
import inspect
from dataclasses import replace

import numpy as np
import pytest
from cell_files import K, sentence
from hypothesis import given, settings
from hypothesis import strategies as st

from build.data.cells import Cells
from build.data.curate import Curation, Dropped
from build.data.split import SIDES, Split, fold, split
from build.errors import UserError
from build.recipe import Recipe
from submission import contract


def cells_of(labels) -> Cells:
    """Cells whose pixels nobody looks at, all in the same memory."""
    labels = np.asarray(labels, np.int64)
    pixels = np.broadcast_to(np.zeros(contract.IMAGE_SHAPE, np.uint8), (len(labels), *contract.IMAGE_SHAPE))
    return Cells(pixels, labels, "test.npz", "0f" * 32)


def curation_of(rows, groups=None, dropped=()) -> Curation:
    rows = np.asarray(rows, np.int64)
    groups = np.arange(len(rows)) if groups is None else np.unique(groups, return_inverse=True)[1]
    return Curation(rows, groups.astype(np.int64), tuple(dropped), ())


def halves(cells: Cells, curation: Curation, *, seed: int = 0, validation: float = 0.1, test: float = 0.1) -> Split:
    return split(cells, curation, validation_share=validation, test_share=test, seed=seed)


COUNTS = (850, 2180, 1085, 2023, 849, 993, 2330, 1641)
"""The competition's cells a class."""


@pytest.fixture(scope="module")
def competition() -> Cells:
    return cells_of(np.random.default_rng(0).permutation(np.repeat(np.arange(K), COUNTS)))


def test_the_default_is_80_10_10_of_every_class_to_the_image(competition):
    defaults = {name: inspect.signature(Recipe).parameters[name].default for name in ("validation_share", "test_share")}
    assert defaults == {"validation_share": 0.1, "test_share": 0.1}
    parts = split(competition, curation_of(np.arange(len(competition))), **defaults, seed=3)
    count = {side: np.bincount(competition.labels[getattr(parts, side)], minlength=K) for side in SIDES}
    tenth = [round(n / 10) for n in COUNTS]
    assert count["validation"].tolist() == count["test"].tolist() == tenth
    assert count["train"].tolist() == [n - 2 * t for n, t in zip(COUNTS, tenth, strict=True)]
    assert sum(len(getattr(parts, side)) for side in SIDES) == 11951


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_split(competition, tmp_path):
    curation = curation_of(np.arange(len(competition)))
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        halves(competition, curation, seed=seed).save(tmp_path / f"{name}.npz")
    for suffix in ("npz", "csv"):
        a, b, c = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "abc")
        assert a == b != c
    fifth, sixth = (set(halves(competition, curation, seed=seed).test.tolist()) for seed in (5, 6))
    # Independent draws of a tenth share about a tenth of their members.
    assert 0.05 < len(fifth & sixth) / len(fifth) < 0.15


def test_rows_of_a_side_are_drawn_from_everywhere(competition):
    parts = halves(competition, curation_of(np.arange(len(competition))))
    assert abs(parts.test.mean() / len(competition) - 0.5) < 0.03
    for side in SIDES:
        rows = getattr(parts, side)
        assert (np.diff(rows) > 0).all()


def test_dropped_rows_are_on_no_side_and_keep_their_reasons_in_both_files(tmp_path):
    cells = cells_of(np.arange(200) % K)
    dropped = (
        Dropped(7, "foreign", 'far, "very" far'),
        Dropped(30, "duplicate", "same pixels as row 22, kept; 2 copies"),
    )
    parts = halves(cells, curation_of(np.delete(np.arange(200), [7, 30]), dropped=dropped))
    parts.save(tmp_path / "split.npz")
    again = Split.load(tmp_path / "split.npz")
    assert again.dropped == parts.dropped == dropped
    assert (again.seed, again.sha256) == (0, cells.sha256)
    for side in SIDES:
        np.testing.assert_array_equal(getattr(again, side), getattr(parts, side))
        assert not np.isin([7, 30], getattr(parts, side)).any()
    with (tmp_path / "split.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(line["row"]) for line in table] == list(range(200))
    assert table[7] == {"row": "7", "side": "dropped", "reason": "foreign", "detail": 'far, "very" far'}
    assert {int(line["row"]) for line in table if line["side"] == "test"} == set(parts.test.tolist())
    names = [f"a/{row}.png" for row in range(200)]
    parts.save(tmp_path / "named.npz", names)
    assert (tmp_path / "named.npz").read_bytes() == (tmp_path / "split.npz").read_bytes()
    with (tmp_path / "named.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [line | {"file": name} for line, name in zip(table, names, strict=True)]


def test_near_duplicates_are_on_one_side_even_where_their_labels_differ():
    labels = np.arange(320) % K
    groups = np.arange(320)
    groups[[8, 9]] = 0  # with row 0: three classes in one group
    groups[[100, 108, 116, 124]] = 100
    for seed in range(20):
        parts = halves(cells_of(labels), curation_of(np.arange(320), groups), seed=seed)
        for group in ((0, 8, 9), (100, 108, 116, 124)):
            assert sum(bool(np.isin(group, getattr(parts, side)).any()) for side in SIDES) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_the_groups_no_row_is_lost_no_group_torn_and_no_side_lacks_a_class(data):
    sizes = data.draw(st.lists(st.lists(st.integers(3, 12), min_size=3, max_size=20), min_size=K, max_size=K))
    seed = data.draw(st.integers(0, 2**31))
    shares = data.draw(st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)))
    labels = np.repeat(np.arange(K), [sum(line) for line in sizes])
    flat = [size for line in sizes for size in line]
    groups = np.repeat(np.arange(len(flat)), flat)
    mixed = data.draw(st.integers(0, 5))
    rng = np.random.default_rng(seed)
    labels[rng.integers(0, len(labels), mixed)] = 0
    cells, curation = cells_of(labels), curation_of(np.arange(len(labels)), groups)
    of_group = labels[np.unique(curation.groups, return_index=True)[1]]
    if (np.bincount(labels, minlength=K) < 10).any() or (np.bincount(of_group, minlength=K) < 3).any():
        with pytest.raises(UserError, match="a split needs"):
            halves(cells, curation, seed=seed, validation=shares[0], test=shares[1])
        return
    parts = halves(cells, curation, seed=seed, validation=shares[0], test=shares[1])
    rows = np.concatenate([getattr(parts, side) for side in SIDES])
    assert sorted(rows.tolist()) == list(range(len(labels)))
    for side, share in zip(SIDES, (1, *shares), strict=True):
        mine = getattr(parts, side)
        assert not np.isin(curation.groups[mine], curation.groups[np.setdiff1d(rows, mine)]).any()
        present = np.bincount(labels[mine], minlength=K) > 0
        assert present.all() if share else not present.any()


def test_classes_of_three_large_groups_are_split_although_shares_cannot_be_met():
    labels = np.repeat(np.arange(K), 12)
    parts = halves(cells_of(labels), curation_of(np.arange(96), np.arange(96) // 4))
    assert [len(getattr(parts, side)) for side in SIDES] == [32, 32, 32]


def test_large_groups_do_not_push_a_share_off_its_mark():
    # One patient's 300 pictures of one cell, and 700 single ones: the group belongs to training, the tenth stays a tenth.
    labels = np.tile(np.arange(K), 1000)
    groups = np.arange(len(labels))
    groups[(labels == 2) & (groups < 2400)] = 10**6
    parts = halves(cells_of(labels), curation_of(np.arange(len(labels)), groups))
    assert np.bincount(labels[parts.test], minlength=K).tolist() == [100] * K
    assert np.bincount(labels[parts.validation], minlength=K).tolist() == [100] * K


@pytest.mark.parametrize("pairs", [300, 20])
def test_pairs_are_on_every_side_in_their_share_where_they_are_many(pairs):
    labels = np.tile(np.arange(K), 1000)
    groups = np.arange(len(labels))
    number = groups // K  # of an image in its class
    paired = number < 2 * pairs
    groups[paired] = 10**6 + K * (number[paired] // 2) + labels[paired]
    parts = halves(cells_of(labels), curation_of(np.arange(len(labels)), groups))
    for side in (parts.validation, parts.test):
        assert np.bincount(labels[side], minlength=K).tolist() == [100] * K
        share = paired[side].mean()
        assert share == pytest.approx(0.6, abs=0.05) if pairs == 300 else share == 0


@pytest.mark.parametrize("empty", ["validation", "test"])
def test_a_share_of_nothing_leaves_that_side_empty(empty):
    shares = {"validation": 0.2, "test": 0.2} | {empty: 0.0}
    parts = halves(cells_of(np.arange(160) % K), curation_of(np.arange(160)), **shares)
    assert len(getattr(parts, empty)) == 0
    assert len(parts.train) == 128


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (0.1, 1.0), (float("nan"), 0.1), (0.9, 0.2)])
def test_shares_that_do_not_fit_are_refused(shares):
    with pytest.raises(UserError) as caught:
        halves(cells_of(np.arange(160) % K), curation_of(np.arange(160)), validation=shares[0], test=shares[1])
    assert "add up to less than 1" in sentence(caught)


@pytest.mark.parametrize(
    ("labels", "groups", "phrase"),
    [
        (np.r_[np.arange(160) % 7, [7] * 9], None, f"{contract.CLASSES[7]} keeps 9 images"),
        (np.r_[np.arange(160) % 7], None, f"{contract.CLASSES[7]} keeps 0 images"),
        (np.r_[np.arange(160) % 7, [7] * 20], np.r_[np.arange(160), [200] * 10, [201] * 10], "in 2 groups"),
    ],
)
def test_a_class_that_cannot_be_on_three_sides_is_refused_by_name(labels, groups, phrase):
    with pytest.raises(UserError) as caught:
        halves(cells_of(labels), curation_of(np.arange(len(labels)), groups))
    assert phrase in sentence(caught)


def test_a_damaged_split_is_refused_as_a_damaged_file(tmp_path):
    path = tmp_path / "split.npz"
    halves(cells_of(np.arange(160) % K), curation_of(np.arange(160))).save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-30], whole[: len(whole) // 2], whole.replace(b"train.npy", b"drain.npy")):
        path.write_bytes(damaged)
        with pytest.raises((ValueError, KeyError, OSError)):
            Split.load(path)


def test_a_split_that_is_made_again_replaces_the_old_one_whole(tmp_path):
    parts = halves(cells_of(np.arange(160) % K), curation_of(np.arange(160)))
    parts.save(tmp_path / "split.npz")
    replace(parts, seed=9).save(tmp_path / "split.npz")
    assert Split.load(tmp_path / "split.npz").seed == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.csv", "split.npz"]


def test_an_unstratified_split_meets_its_shares_over_all_and_not_in_each_class(competition):
    curation = curation_of(np.arange(len(competition)))
    shares = {"validation_share": 0.1, "test_share": 0.1, "seed": 0}
    parts = split(competition, curation, **shares, stratified=False)
    assert (len(parts.validation), len(parts.test)) == (1195, 1195)
    counts = np.bincount(competition.labels[parts.test], minlength=K)
    assert counts.tolist() != [round(n / 10) for n in COUNTS]
    assert np.abs(counts - np.array(COUNTS) / 10).max() < 60  # by chance, not by class
    again = split(competition, curation, **shares, stratified=False)
    assert all(np.array_equal(getattr(parts, side), getattr(again, side)) for side in SIDES)


def rounds(cells: Cells, curation: Curation, folds: int, *, seed: int = 0, validation: float = 0.1) -> list[Split]:
    return [
        fold(cells, curation, number=number, folds=folds, validation_share=validation, seed=seed)
        for number in range(folds)
    ]


def test_folds_are_disjoint_tests_that_add_up_to_all_rows_and_each_has_its_part_of_every_class(competition):
    curation = curation_of(np.arange(len(competition)))
    parts = rounds(competition, curation, 5)
    assert np.array_equal(np.sort(np.concatenate([part.test for part in parts])), curation.kept)
    for part in parts:
        rows = np.concatenate([part.train, part.validation, part.test])
        assert np.array_equal(np.sort(rows), curation.kept)
        for side, share in ((part.test, 0.2), (part.validation, 0.1)):
            assert np.abs(np.bincount(competition.labels[side], minlength=K) - share * np.array(COUNTS)).max() <= 1
        assert len(part.test) - len(competition) / 5 == pytest.approx(0, abs=5)


def test_folds_are_the_same_for_the_same_seed_only(competition):
    curation = curation_of(np.arange(len(competition)))
    first, again, other = (rounds(competition, curation, 3, seed=seed)[1] for seed in (4, 4, 5))
    for side in SIDES:
        assert np.array_equal(getattr(first, side), getattr(again, side))
    # A third is shared by chance.
    assert 0.25 < np.isin(first.test, other.test).mean() < 0.42


def test_folds_keep_groups_together():
    labels = np.arange(480) % K
    groups = np.arange(480)
    groups[[8, 9]] = 0
    groups[[100, 108, 116, 124]] = 100
    parts = rounds(cells_of(labels), curation_of(np.arange(480), groups), 4)
    for part in parts:
        for group in ((0, 8, 9), (100, 108, 116, 124)):
            assert sum(bool(np.isin(group, getattr(part, side)).any()) for side in SIDES) == 1
    assert sum(len(part.test) for part in parts) == 480


@pytest.mark.parametrize(
    ("number", "folds", "validation", "phrase"),
    [
        (0, 1, 0.1, "got fold 0 of 1"),
        (5, 5, 0.1, "got fold 5 of 5"),
        (0, 2, 0.6, "lower it or take more folds"),
        (0, 21, 0.1, "has 20 groups of near-duplicates in test.npz, too few for 21 folds"),
    ],
)
def test_folds_that_cannot_be_are_refused(number, folds, validation, phrase):
    with pytest.raises(UserError) as caught:
        fold(
            cells_of(np.arange(160) % K),
            curation_of(np.arange(160)),
            number=number,
            folds=folds,
            validation_share=validation,
            seed=0,
        )
    assert phrase in sentence(caught)
