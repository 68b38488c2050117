"""Pairs in blocks are the pairs of the whole table."""

import tracemalloc

import numpy as np
import pytest

from build.data import near
from build.inspection import similarity
from build.inspection.similarity import closeness_of, cosines, hash_pairs, unit


@pytest.fixture(params=[1 << 23, 1000])
def block(request, monkeypatch) -> int:
    monkeypatch.setattr(near, "BLOCK_ELEMENTS", request.param)
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


def test_the_fifth_nearest_of_others_is_that_of_the_whole_table(rng, block):
    units, others = (unit(rng.normal(size=(count, 6)).astype(np.float32)) for count in (150, 40))
    table = np.sort(others @ units.T, axis=1)
    for rank, place in ((5, -5), (1, -1), (999, 0)):
        np.testing.assert_allclose(closeness_of(others, units, rank=rank), table[:, place], atol=1e-6)
    assert closeness_of(others[:0], units, rank=5).shape == (0,)


def test_other_vectors_are_compared_in_blocks(rng, monkeypatch):
    monkeypatch.setattr(near, "BLOCK_ELEMENTS", 1 << 16)
    units, others = (unit(rng.normal(size=(count, 4)).astype(np.float32)) for count in (3000, 1000))
    tracemalloc.start()
    closeness_of(others, units, rank=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # the whole table has 12 MB


def test_equal_vectors_are_pairs_and_never_their_own_neighbours(block):
    units = unit(np.float32([[1, 0], [1, 0], [0, 1], [0, 0]]))
    found = cosines(units, neighbours=10, least=0.99, advance=lambda _: None)
    assert (found.first.tolist(), found.second.tolist()) == ([0], [1])
    assert found.neighbours.shape == (4, 3)
    assert all(i not in row for i, row in enumerate(found.neighbours))
    assert found.counts.sum() == 6


def test_hash_pairs_are_those_of_the_whole_table(rng, block):
    hashes = rng.integers(0, 2**10, 120).astype(np.uint64)
    first, second, bits, at_most = hash_pairs(hashes, at_most=2)
    assert at_most == 2
    every = [(i, j, (int(hashes[i]) ^ int(hashes[j])).bit_count()) for i in range(120) for j in range(i + 1, 120)]
    expected = {triple for triple in every if triple[2] <= 2}
    assert set(zip(first.tolist(), second.tolist(), bits.tolist(), strict=True)) == expected
    assert len(first) == len(expected) > 50
    assert (np.diff(bits) >= 0).all()


def test_of_too_many_pairs_the_less_alike_are_left_out_and_the_limit_is_told(rng, block, monkeypatch):
    monkeypatch.setattr(similarity, "MOST_PAIRS", 200)
    units = unit(rng.normal(size=(150, 6)).astype(np.float32))
    found = cosines(units, neighbours=4, least=0.0, advance=lambda _: None)
    upper = (units @ units.T)[np.triu_indices(150, 1)]
    assert found.least > 0.5
    assert len(found.cosine) == (upper >= found.least).sum()
    assert 190 <= len(found.cosine) <= 200
    hashes = rng.integers(0, 2**10, 120).astype(np.uint64)
    first, _, bits, at_most = hash_pairs(hashes, at_most=6)
    every = np.array([(int(a) ^ int(b)).bit_count() for i, a in enumerate(hashes) for b in hashes[i + 1 :]])
    assert at_most == max(n for n in range(6) if (every <= n).sum() <= 200)
    assert len(first) == len(bits) == (every <= at_most).sum()
    assert len(hash_pairs(np.zeros(150, np.uint64), at_most=2)[0]) <= 400  # equal ones cannot be told apart


def test_memory_follows_the_block(rng, monkeypatch):
    monkeypatch.setattr(near, "BLOCK_ELEMENTS", 1 << 16)
    units = unit(rng.normal(size=(2500, 8)).astype(np.float32))
    tracemalloc.start()
    cosines(units, neighbours=5, least=0.999, advance=lambda _: None)
    hash_pairs(rng.integers(0, 2**63, 2500).astype(np.uint64), at_most=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6, f"{peak / 1e6:.1f} MB"  # the whole table would take 25 MB
