"""Pairs in blocks are the pairs of the whole table."""

import tracemalloc

import numpy as np
import pytest

from build.inspection import similarity
from build.inspection.similarity import cosines, hash_pairs, unit


@pytest.fixture(params=[1 << 23, 1000])
def block(request, monkeypatch) -> int:
    monkeypatch.setattr(similarity, "BLOCK_ELEMENTS", request.param)
    return request.param


def test_pairs_and_neighbours_are_those_of_the_whole_table(rng, block):
    units = unit(rng.normal(size=(150, 6)).astype(np.float32))
    done = []
    found = cosines(units, neighbours=4, least=0.8, advance=done.append)
    table = (units @ units.T).astype(np.float64)
    np.fill_diagonal(table, -2)
    expected = {(i, j) for i in range(150) for j in range(i + 1, 150) if table[i, j] >= 0.8}
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert len(found.first) == len(expected) > 20
    assert (np.diff(found.cosine) <= 0).all()
    np.testing.assert_allclose(found.cosine, table[found.first, found.second], atol=1e-6)
    np.testing.assert_array_equal(found.neighbours, np.argsort(-table, 1)[:, :4])
    np.testing.assert_allclose(found.closeness, np.sort(table, 1)[:, ::-1][:, :4], atol=1e-6)
    upper = table[np.triu_indices(150, 1)]
    np.testing.assert_allclose(found.counts, np.histogram(upper, similarity.BINS, (-1, 1))[0], atol=2)
    assert found.counts.sum() == 150 * 149 // 2
    assert sum(done) == 150


def test_equal_vectors_are_pairs_and_never_their_own_neighbours(block):
    units = unit(np.float32([[1, 0], [1, 0], [0, 1], [0, 0]]))
    found = cosines(units, neighbours=10, least=0.99, advance=lambda _: None)
    assert (found.first.tolist(), found.second.tolist()) == ([0], [1])
    assert found.neighbours.shape == (4, 3)
    assert all(i not in row for i, row in enumerate(found.neighbours))
    assert found.counts.sum() == 6


def test_hash_pairs_are_those_of_the_whole_table(rng, block):
    hashes = rng.integers(0, 2**10, 120).astype(np.uint64)
    first, second, bits = hash_pairs(hashes, at_most=2)
    every = [(i, j, (int(hashes[i]) ^ int(hashes[j])).bit_count()) for i in range(120) for j in range(i + 1, 120)]
    expected = {triple for triple in every if triple[2] <= 2}
    assert set(zip(first.tolist(), second.tolist(), bits.tolist(), strict=True)) == expected
    assert len(first) == len(expected) > 50
    assert (np.diff(bits) >= 0).all()


def test_memory_follows_the_block(rng, monkeypatch):
    monkeypatch.setattr(similarity, "BLOCK_ELEMENTS", 1 << 16)
    units = unit(rng.normal(size=(2500, 8)).astype(np.float32))
    tracemalloc.start()
    cosines(units, neighbours=5, least=0.999, advance=lambda _: None)
    hash_pairs(rng.integers(0, 2**63, 2500).astype(np.uint64), at_most=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6, f"{peak / 1e6:.1f} MB"  # the whole table would take 25 MB
