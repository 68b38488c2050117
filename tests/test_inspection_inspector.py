"""What is planted among drawn cells is found, and nothing else is."""

import cv2
import numpy as np
import pytest
from cell_files import K

from build.data import synthetic
from build.data.cells import Cells
from build.data.curate import curate
from build.data.prepare import Prepared
from build.data.split import split
from build.inspection import embedding, inspector
from build.inspection.inspector import inspect
from build.inspection.measure import background
from build.inspection.similarity import cosines, unit
from submission import contract

COUNT = 320


def prepared(images: np.ndarray, labels: np.ndarray) -> Prepared:
    cells = Cells(np.ascontiguousarray(images), np.asarray(labels, np.int64), "test", f"hash {images.sum()}")
    curation = curate(cells)
    return Prepared(cells, curation, split(cells, curation, validation_share=0.1, test_share=0.1, seed=0))


def small_pictures(images: np.ndarray) -> np.ndarray:
    """In place of a network: 256 averages of pixels and a histogram of colours, which tell apart what the tests plant."""
    small = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).mean(2).ravel() for image in images]
    colours = [cv2.calcHist([image], [0, 1, 2], None, [4] * 3, [0, 256] * 3).ravel() for image in images]
    return np.concatenate([small, np.sqrt(colours) * 8], axis=1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(embedding, "_network", lambda _: small_pictures)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Cells whose background is the usual one: of drawn cells some two percent are bluish themselves."""
    images, labels = synthetic.cells(range(COUNT + 40), seed=11)
    usual = [image[:8].mean((0, 1))[2] < image[:8].mean((0, 1))[0] for image in images]
    return images[usual][:COUNT], labels[usual][:COUNT]


@pytest.fixture(scope="module")
def planted(drawn) -> Prepared:
    """Drawn cells; then: 320, 321 copies of row 0, 322 row 1 with another label, 323 squares, 324 row 2 as a bad JPEG, 325
    row 3 mirrored with another label, 326 to 335 ten cells on the commonest background, mirrored, moved and bluish."""
    images, labels = drawn
    squares = np.kron(np.random.default_rng(1).integers(0, 2, (6, 6, 3)) * 255, np.ones((16, 16, 1))).astype(np.uint8)
    again = cv2.imdecode(cv2.imencode(".jpg", images[2], [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    colours = np.stack([background(image) for image in images])
    common = np.argsort(np.abs(colours - np.median(colours, 0)).sum(1))[:10]
    blue = np.clip(images[common] * np.array([0.92, 0.96, 1.15]), 0, 255).astype(np.uint8)
    blue = np.stack([np.roll(image[:, ::-1], 30, axis=0) for image in blue])
    more = [images[0], images[0], images[1], squares, again, images[3][:, ::-1], *blue]
    said = [labels[0], labels[0], (labels[1] + 1) % K, 0, labels[2], (labels[3] + 1) % K, *labels[common]]
    return prepared(np.concatenate([images, more]), np.concatenate([labels, said]))


@pytest.fixture(scope="module")
def found(planted, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "_network", lambda _: small_pictures)
        return inspect(planted, cache=tmp_path_factory.mktemp("cache"), network=True)


def test_copies_are_counted_with_their_labels(found, drawn):
    labels = drawn[1]
    names = [contract.CLASSES[label] for label in labels]
    assert [(c.row, c.count, c.verdict) for c in found.copies] == [(0, 3, "kept"), (1, 2, "conflict")]
    assert found.copies[0].labels == {names[0]: 3}
    assert found.copied_pictures == 2


def test_a_picture_with_two_labels_is_the_only_conflict(found, drawn):
    (conflict,) = found.conflicts
    assert conflict.row == 1
    other = contract.CLASSES[(drawn[1][1] + 1) % K]
    assert conflict.labels == {contract.CLASSES[drawn[1][1]]: 1, other: 1}


def test_the_foreign_picture_is_the_first_outlier_by_colours_and_among_those_by_features(found):
    assert (found.outliers[0].row, found.outliers[0].foreign) == (323, True)
    assert [o.row for o in found.outliers if o.foreign] == [323]
    assert [o.row for o in found.network.outliers if o.foreign] == [323]


def test_near_duplicates_are_found_by_each_search_that_can(found):
    assert [(pair.row, pair.twin) for pair in found.near] == [(2, 324), (3, 325)]
    assert [pair.across for pair in found.near] == [False, True]
    counts = {search.name: search for search in found.searches}
    assert found.searches[0].pairs == found.searches[0].same_texture == 2
    assert found.searches[0].across_labels == 1
    assert counts["perceptual hash, at most 6 of 64 bits"].confirmed == 1  # hashes know no mirror
    assert (2, 324) in {(pair.row, pair.twin) for pair in found.hash_pairs}
    assert (found.network.centred_pairs[0].row, found.network.centred_pairs[0].twin) == (2, 324)
    assert counts["network without the mean, at least 0.9"].confirmed >= 1
    assert (
        counts["network without the mean, at least 0.95"].pairs
        <= counts["network without the mean, at least 0.9"].pairs
    )


def test_what_is_cut_for_the_page_is_counted_whole(planted, found, tmp_path, monkeypatch):
    monkeypatch.setattr(inspector, "LONGEST", 1)
    cut = inspect(planted, cache=tmp_path, network=False)
    assert [(pair.row, pair.twin) for pair in cut.near] == [(2, 324)]
    assert cut.near_count == 2
    assert [(pair.row, pair.twin) for pair in cut.near_across] == [(3, 325)]
    assert len(cut.background_alone) <= 1
    assert cut.background_alone_count == found.background_alone_count > 1
    assert cut.conflict_count == len(found.conflicts)


def test_the_bluish_group_holds_exactly_the_bluish_cells(found):
    groups = {group.name: group for group in found.backgrounds}
    (name,) = (name for name in groups if name.startswith("bluer"))
    assert groups[name].rows == list(range(326, 336))
    assert sum(groups[name].classes.values()) == groups[name].count == 10
    assert sum(group.count for group in found.backgrounds) + len(found.background_alone) == found.classes[-1].kept


def test_of_clean_cells_nothing_is_said(drawn, tmp_path):
    clean = inspect(prepared(*drawn), cache=tmp_path, network=False, left_out="Asked for.")
    assert clean.copies == clean.conflicts == clean.near == []
    assert not any(outlier.foreign for outlier in clean.outliers)
    assert [group.name for group in clean.backgrounds] == ["usual"]
    assert clean.searches[0].pairs == 0
    assert not any(search.same_texture for search in clean.searches)
    assert (clean.network, clean.left_out) == (None, "Asked for.")


def test_a_wrong_label_is_a_suspect(drawn, tmp_path):
    images, labels = drawn
    vectors = small_pictures(images).astype(np.float16).astype(np.float32)
    units = unit(vectors - vectors.mean(0))
    near = labels[cosines(units, neighbours=10, least=2, advance=lambda _: None).neighbours]
    row, wrong = next((i, c) for i in range(COUNT) for c in range(K) if c not in near[i] and labels[i] in near[i])
    said = labels.copy()
    said[row] = wrong
    network = inspect(prepared(images, said), cache=tmp_path, network=True).network
    (suspect,) = (s for s in network.suspects if s.row == row)
    assert suspect.label == contract.CLASSES[wrong]
    assert suspect.votes == np.bincount(near[row]).max()
    assert contract.CLASSES[said[suspect.nearest]] == suspect.neighbours_say
    assert suspect.of == 10
    assert all(s.votes >= t.votes for s, t in zip(network.suspects, network.suspects[1:], strict=False))


def test_resemblance_is_a_table_in_the_contract_s_order(found):
    table = np.array(found.network.resemblance.shares)
    assert table.shape == (K, K)
    np.testing.assert_allclose(table.sum(1), 1, atol=1e-3)
    assert len(found.network.resemblance.pairs) == K * (K - 1) // 2
    for (a, b, _), examples in zip(found.network.resemblance.pairs, found.network.resemblance.examples, strict=False):
        assert all(set(pair.labels) == {a, b} for pair in examples)
    assert any(found.network.resemblance.examples)


def test_a_second_call_finds_the_same_without_comparing_again(planted, tmp_path, monkeypatch):
    first = inspect(planted, cache=tmp_path, network=True)
    monkeypatch.setattr(embedding, "_network", lambda _: pytest.fail("asked again"))
    monkeypatch.setattr("build.inspection.similarity.cosines", lambda *_, **__: pytest.fail("compared again"))
    assert inspect(planted, cache=tmp_path, network=True) == first


def test_ten_cells_a_class_are_enough(drawn, tmp_path):
    rows = [int(np.flatnonzero(drawn[1] == c)[i]) for c in range(K) for i in range(10)]
    few = inspect(prepared(drawn[0][rows], drawn[1][rows]), cache=tmp_path, network=True)
    assert few.classes[-1].kept == 10 * K
    assert few.network.suspects == []
