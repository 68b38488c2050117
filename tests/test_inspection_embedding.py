"""A network's features: kept in parts, taken up where a call stopped, the same from the cache."""

import numpy as np
import pytest

from build.data import synthetic
from build.data.cells import Cells
from build.inspection import embedding
from build.inspection.embedding import embed


@pytest.fixture
def cells(rng) -> Cells:
    images = rng.integers(0, 256, (50, 96, 96, 3), dtype=np.uint8)
    return Cells(images, np.zeros(50, np.int64), "test", "hash")


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """Replaces the network by means of pixels, in parts of 16 and batches of 5; how many images each call brought."""
    calls: list[int] = []

    def network(images):
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :1280].astype(np.float32)

    monkeypatch.setattr(embedding, "_network", lambda _: network)
    monkeypatch.setattr(embedding, "PART", 16)
    monkeypatch.setattr(embedding, "BATCH", 5)
    return calls


def test_rows_come_in_their_order_and_a_second_call_asks_nothing(cells, asked, tmp_path):
    rows = np.arange(49, 0, -1)
    first = embed(cells, rows, cache=tmp_path)
    assert first.dtype == np.float16
    np.testing.assert_array_equal(first, cells.images[rows].reshape(49, -1)[:, :1280])
    assert sum(asked) == 49
    asked.clear()
    np.testing.assert_array_equal(embed(cells, rows, cache=tmp_path), first)
    assert asked == []


def test_an_interrupted_call_goes_on_after_its_last_part_and_a_damaged_part_is_made_again(
    cells, asked, tmp_path, monkeypatch
):
    rows = np.arange(50)
    network = embedding._network(None)

    def tired(images):
        if sum(asked) >= 35:
            raise KeyboardInterrupt
        return network(images)

    with monkeypatch.context() as patch:
        patch.setattr(embedding, "_network", lambda _: tired)
        with pytest.raises(KeyboardInterrupt):
            embed(cells, rows, cache=tmp_path)
    parts = sorted(tmp_path.glob("*/*.npy"))
    assert [part.name for part in parts] == ["0000000.npy", "0000016.npy"]
    parts[0].write_bytes(parts[0].read_bytes()[:300])
    asked.clear()
    whole = embed(cells, rows, cache=tmp_path)
    assert sum(asked) == 50 - 16  # the first part anew, the third and the fourth
    header = parts[0].read_bytes()
    assert header.count(b"(16, 1280)") == 1
    parts[0].write_bytes(header.replace(b"(16, 1280)", b"((6, 1280)"))  # a bracket that stays open
    embed(cells, rows, cache=tmp_path)
    assert sum(asked) == 50
    np.testing.assert_array_equal(whole, cells.images.reshape(50, -1)[:, :1280])


def test_other_rows_and_other_cells_have_features_of_their_own(cells, asked, tmp_path):
    embed(cells, np.arange(20), cache=tmp_path)
    embed(cells, np.arange(21), cache=tmp_path)
    other = Cells(cells.images, cells.labels, "test", "another hash")
    embed(other, np.arange(20), cache=tmp_path)
    assert sum(asked) == 61


@pytest.mark.slow
def test_the_published_network_tells_kinds_of_cells_apart(tmp_path):
    if embedding.version() is None:
        pytest.skip("the package with the weights is not installed")
    images, labels = synthetic.cells(range(70), seed=0)
    vectors = embed(Cells(images, labels, "test", "drawn"), np.arange(70), cache=tmp_path)
    assert vectors.shape == (70, 1280)
    units = vectors.astype(np.float32)
    units -= units.mean(0)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    table = units @ units.T
    np.fill_diagonal(table, -2)
    agree = (labels[table.argmax(1)] == labels).mean()
    chance = np.square(np.bincount(labels) / 70).sum()
    assert agree > 2 * chance, (agree, chance)
