"""Curation: copies go, foreign pictures go whatever their place in the file, and no cell is lost with them."""

import tracemalloc

import numpy as np
import pytest
from cell_files import K
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from build.data import foreign, near, synthetic
from build.data.cells import Cells
from build.data.curate import Curation, Dropped, curate
from build.data.near import Near
from submission import contract

SIDE = contract.IMAGE_SHAPE[0]


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """240 different synthetic cells and their labels."""
    return synthetic.cells(range(240), seed=5)


def cells_of(images: np.ndarray, labels: np.ndarray) -> Cells:
    return Cells(np.ascontiguousarray(images), np.asarray(labels, np.int64), "test", "hash")


def joined(drawn, images, labels) -> Cells:
    """The drawn cells with more rows behind them."""
    return cells_of(np.concatenate([drawn[0], images]), np.concatenate([drawn[1], labels]))


def foreign_pictures() -> dict[str, np.ndarray]:
    """Pictures that no microscope makes: a landscape, noise, black, painted squares."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    landscape = np.stack([40 + y * 0.5, 120 + 40 * np.sin(x / 9.0), 60 + 190 * (y < 40)], -1)
    squares = np.kron(rng.integers(0, 2, (6, 6, 3)) * 255, np.ones((SIDE // 6, SIDE // 6, 1)))
    return {
        "landscape": landscape.clip(0, 255).astype(np.uint8),
        "noise": rng.integers(0, 256, contract.IMAGE_SHAPE, dtype=np.uint8),
        "black": np.zeros(contract.IMAGE_SHAPE, np.uint8),
        "squares": squares.astype(np.uint8),
    }


def by_reason(curation: Curation, reason: str) -> list[int]:
    return [d.row for d in curation.dropped if d.reason == reason]


# --- exact duplicates -----------------------------------------------------------------------------------------------


def test_different_cells_are_all_kept_each_in_a_group_of_its_own(drawn):
    curation = curate(cells_of(*drawn))
    assert curation.dropped == ()
    assert curation.near == ()
    np.testing.assert_array_equal(curation.kept, np.arange(240))
    np.testing.assert_array_equal(curation.groups, np.arange(240))


def test_of_many_copies_the_first_row_is_kept_and_every_other_names_it(drawn):
    images, labels = drawn
    rows = np.r_[np.arange(240), np.full(60, 17), [4, 4, 9]]
    curation = curate(cells_of(images[rows], labels[rows]))
    np.testing.assert_array_equal(curation.kept, np.arange(240))
    assert by_reason(curation, "duplicate") == list(range(240, 303))
    assert curation.dropped[0] == Dropped(240, "duplicate", "same pixels as row 17, which is kept; 61 copies")
    assert curation.dropped[-1].detail == "same pixels as row 9, which is kept; 2 copies"


def test_one_different_pixel_is_no_exact_duplicate_but_stays_in_the_same_group(drawn):
    images, labels = drawn
    other = images[30].copy()
    other[50, 50, 0] ^= 1
    curation = curate(joined(drawn, [other], labels[30:31]))
    assert curation.dropped == ()
    assert curation.groups[240] == curation.groups[30]
    assert len(np.unique(curation.groups)) == 240


def test_a_picture_with_two_labels_is_dropped_altogether_and_both_labels_are_reported(drawn):
    images, labels = drawn
    other = (labels[12] + 1) % K
    curation = curate(joined(drawn, images[[12, 12]], [other, labels[12]]))
    np.testing.assert_array_equal(curation.kept, np.delete(np.arange(240), 12))
    assert by_reason(curation, "conflict") == [12]
    assert by_reason(curation, "duplicate") == [240, 241]
    (conflict,) = (d for d in curation.dropped if d.reason == "conflict")
    assert f"2 x {contract.CLASSES[labels[12]]}" in conflict.detail
    assert f"1 x {contract.CLASSES[other]}" in conflict.detail


def test_a_cell_with_many_labels_is_a_conflict_and_not_foreign(drawn):
    images, _ = drawn
    curation = curate(joined(drawn, images[[3] * 8], np.arange(8)))
    assert by_reason(curation, "foreign") == []
    assert by_reason(curation, "conflict") == [3]


# --- foreign pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", foreign_pictures())
def test_a_foreign_picture_is_found_by_its_colours_alone_even_without_copies(drawn, name):
    curation = curate(joined(drawn, [foreign_pictures()[name]], [0]))
    assert by_reason(curation, "foreign") == [240]
    np.testing.assert_array_equal(curation.kept, np.arange(240))
    assert "times the usual" in curation.dropped[0].detail


def test_many_copies_of_two_foreign_pictures_under_all_labels_leave_exactly_the_cells(drawn, rng):
    pictures = foreign_pictures()
    many = np.stack([pictures["landscape"]] * 40 + [pictures["squares"]] * 15)
    cells = joined(drawn, many, rng.integers(0, K, 55))
    curation = curate(cells)
    np.testing.assert_array_equal(curation.kept, np.arange(240))
    assert by_reason(curation, "foreign") == [240, 280]
    assert len(by_reason(curation, "duplicate")) == 53


def test_what_is_dropped_depends_on_the_pictures_and_not_on_their_rows(drawn, rng):
    images, labels = drawn
    pictures = foreign_pictures()
    cells = joined(
        drawn, [pictures["squares"]] * 3 + [images[8]] * 2 + [images[9][:, ::-1]], [0, 1, 2, *labels[[8, 8, 9]]]
    )
    order = rng.permutation(len(cells))
    straight = curate(cells)
    shuffled = curate(cells_of(cells.images[order], cells.labels[order]))

    def content(curation: Curation, source: Cells) -> set[bytes]:
        return {source.images[row].tobytes() for row in curation.kept}

    assert content(straight, cells) == content(shuffled, cells_of(cells.images[order], cells.labels[order]))
    assert len(straight.kept) == len(shuffled.kept) == 241
    assert len(straight.near) == len(shuffled.near) == 1


def test_a_few_cells_under_another_light_stay(drawn):
    images, labels = drawn
    bluish = np.clip(images[:8] * np.array([0.85, 0.92, 1.12]), 0, 255).astype(np.uint8)[:, ::-1]
    curation = curate(joined(drawn, bluish, labels[:8]))
    assert by_reason(curation, "foreign") == []


def test_a_rare_class_of_its_own_colours_stays(drawn):
    """Colours alone are no reason where they are a class's own; a single picture in another class is still foreign."""
    images, labels = drawn
    picture = foreign_pictures()["squares"]
    rare = int(np.flatnonzero(labels == 3)[0])
    kept = labels != 3
    kept[rare] = True
    changed = images.copy()
    changed[rare] = picture
    curation = curate(cells_of(changed[kept], labels[kept]))
    assert by_reason(curation, "foreign") == []
    changed = images.copy()
    changed[rare] = picture
    assert by_reason(curate(cells_of(changed, labels)), "foreign") == [rare]


def test_pictures_of_a_fixed_camera_stay_each_in_a_group_of_its_own(drawn, rng, capsys):
    images, _ = drawn
    noise = rng.normal(0, 4, (80, *images.shape[1:]))
    fixed = np.clip(images[0] + noise, 0, 255).astype(np.uint8)
    curation = curate(cells_of(fixed, np.arange(80) % K))
    assert len(set(curation.groups.tolist())) == 80
    assert "80 pictures are alike by nature" in curation.caveat
    assert curation.near == ()


def test_a_picture_that_was_copied_often_leaves_the_other_copies_in_their_groups(drawn, rng):
    images, labels = drawn
    again = np.clip(images[:3] + rng.normal(0, 4, images[:3].shape), 0, 255).astype(np.uint8)
    junk = foreign_pictures()["noise"] + rng.normal(0, 2, (60, *images.shape[1:]))
    junk = np.clip(junk, 0, 255).astype(np.uint8)
    cells = cells_of(np.concatenate([images, again, junk]), np.concatenate([labels, labels[:3], np.arange(60) % K]))
    curation = curate(cells)
    assert by_reason(curation, "foreign") == list(range(243, 303))
    assert [(pair.row, pair.twin) for pair in curation.near] == [(0, 240), (1, 241), (2, 242)]
    assert curation.caveat == ""


def test_a_class_of_one_scene_is_alike_by_nature_and_the_others_keep_their_groups(drawn, rng):
    images, labels = drawn
    others = labels != 0

    def noisy(image, count):
        return np.clip(image + rng.normal(0, 4, (count, *image.shape)), 0, 255).astype(np.uint8)

    many = [images[others], noisy(images[others][0], 1), noisy(images[~others][0], 50)]
    every_label = np.concatenate([labels[others], labels[others][:1], np.zeros(50, np.int64)])
    curation = curate(cells_of(np.concatenate(many), every_label))
    assert len(curation.kept) == len(every_label)
    assert curation.alike == 50
    assert [(pair.row, pair.twin) for pair in curation.near] == [(0, others.sum())]
    assert len(set(curation.groups.tolist())) == len(every_label) - 1


def test_where_many_pictures_are_isolated_colours_alone_drop_none():
    assert not any(
        v.foreign for v in foreign.judge(np.array([0.1] * 80 + [0.9] * 20), np.ones(100, int), np.zeros(100, bool))
    )
    isolated = foreign.judge(np.array([0.1] * 99 + [0.9]), np.ones(100, int), np.zeros(100, bool))
    assert [v.foreign for v in isolated] == [False] * 99 + [True]


def test_copies_under_different_labels_make_less_distance_enough():
    distance = np.array([0.1] * 99 + [0.25])
    copies, mixed = np.ones(100, int), np.zeros(100, bool)
    assert not foreign.judge(distance, copies, mixed)[-1].foreign
    copies[-1], mixed[-1] = 3, True
    assert foreign.judge(distance, copies, mixed)[-1].foreign
    copies[-1] = 2
    assert not foreign.judge(distance, copies, mixed)[-1].foreign


def test_the_distance_is_that_to_the_fifth_other_picture():
    points = np.zeros((8, 64), np.float32)
    points[:, 0] = [0, 1, 2, 3, 4, 5, 6, 20]
    found = foreign.distances(points, lambda count: None)
    np.testing.assert_allclose(found, [5, 4, 3, 3, 3, 4, 5, 18])


# --- any data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_very_few_pictures_are_judged_without_neighbours(drawn, count):
    curation = curate(cells_of(drawn[0][:count], drawn[1][:count]))
    np.testing.assert_array_equal(curation.kept, np.arange(count))


def test_flat_pictures_are_copies_of_nothing():
    flat = np.stack([np.full(contract.IMAGE_SHAPE, value, np.uint8) for value in range(0, 250, 25)])
    curation = curate(cells_of(flat, np.zeros(10)))
    assert curation.near == ()


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, 11), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_every_row_is_kept_or_dropped_exactly_once_and_kept_pictures_differ(rows, seed):
    pictures = np.random.default_rng(0).integers(0, 256, (12, *contract.IMAGE_SHAPE), dtype=np.uint8)
    labels = np.random.default_rng(seed).integers(0, K, len(rows))
    curation = curate(cells_of(pictures[rows], labels))
    dropped = [d.row for d in curation.dropped]
    assert sorted([*curation.kept.tolist(), *dropped]) == list(range(len(rows)))
    assert dropped == sorted(dropped)
    kept = [rows[row] for row in curation.kept]
    assert len(set(kept)) == len(kept)
    one_label = {p for p in rows if len({int(labels[i]) for i, q in enumerate(rows) if q == p}) == 1}
    assert set(kept) == one_label


def test_a_saved_curation_is_the_same_when_loaded(drawn, tmp_path):
    pictures = [drawn[0][5], drawn[0][6][:, ::-1], foreign_pictures()["noise"]]
    full = curate(joined(drawn, pictures, drawn[1][[5, 6, 7]]))
    assert full.dropped
    assert full.near
    for number, curation in enumerate((full, curate(cells_of(*drawn)))):
        curation.save(tmp_path / f"{number}.npz")
        again = Curation.load(tmp_path / f"{number}.npz")
        np.testing.assert_array_equal(again.kept, curation.kept)
        np.testing.assert_array_equal(again.groups, curation.groups)
        assert again.dropped == curation.dropped
        assert [(n.row, n.twin, n.how) for n in again.near] == [(n.row, n.twin, n.how) for n in curation.near]
        assert all(isinstance(n, Near) for n in again.near)


def test_memory_follows_the_block_and_not_the_square_of_the_number_of_pictures(monkeypatch, rng):
    count = 1200
    images = rng.integers(0, 256, (count, *contract.IMAGE_SHAPE), dtype=np.uint8)
    monkeypatch.setattr(near, "BLOCK_ELEMENTS", 1 << 18)
    cells = Cells(images, np.zeros(count, np.int64), "test", "hash")
    tracemalloc.start()
    curate(cells)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 4 kB an image, about 9 MB for the 256 images that are measured together, some blocks of 1 MiB.
    assert peak < 4500 * count + 13e6, f"{peak / 1e6:.1f} MB"


# --- real cells -----------------------------------------------------------------------------------------------------


def real(folder, per_class: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir())):
        files = sorted((folder / name).glob("*.jpg"))
        chosen = files if per_class is None else [files[i] for i in rng.choice(len(files), per_class, replace=False)]
        images += [np.asarray(Image.open(path).convert("RGB")) for path in chosen]
        labels += [label] * len(chosen)
    return np.stack(images), np.array(labels, np.int64)


def planted(
    folder, per_class: int | None, copies: tuple[int, int], rng: np.random.Generator
) -> tuple[Cells, set[bytes]]:
    """Real cells with 8 of them twice and copies of the two foreign pictures, shuffled; and the cells' pixels."""
    images, labels = real(folder, per_class, rng)
    twice = rng.choice(len(images), 8, replace=False)
    pictures = [np.asarray(Image.open(p).convert("RGB")) for p in sorted((folder.parent / "foreign").glob("*.png"))]
    junk = [picture for picture, count in zip(pictures, copies, strict=True) for _ in range(count)]
    everything = np.concatenate([images, images[twice], np.stack(junk)])
    every_label = np.concatenate([labels, labels[twice], rng.integers(0, K, len(junk))])
    order = rng.permutation(len(everything))
    return cells_of(everything[order], every_label[order]), {image.tobytes() for image in images}


@pytest.mark.parametrize("copies", [(1, 1), (60, 9)])
def test_of_real_cells_none_is_lost_and_nothing_else_is_kept(real_cells_folder, rng, copies):
    cells, pixels = planted(real_cells_folder, 100, copies, rng)
    curation = curate(cells)
    assert {cells.images[row].tobytes() for row in curation.kept} == pixels
    assert len(curation.kept) == 800
    assert len(by_reason(curation, "foreign")) == 2
    assert len(by_reason(curation, "duplicate")) == 8 + sum(copies) - 2


@pytest.mark.slow
def test_the_competitions_13759_rows_become_its_11951_cells(real_cells_folder, rng):
    cells, pixels = planted(real_cells_folder, None, (1600, 200), rng)
    assert len(cells) == 13759
    curation = curate(cells)
    assert {cells.images[row].tobytes() for row in curation.kept} == pixels
    assert len(curation.kept) == 11951
    assert len(by_reason(curation, "duplicate")) == 1806
    assert len(by_reason(curation, "foreign")) == 2
