"""Kernels of few values: grids, their steps, palettes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from build.compress import values


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.floats(0.01, 2), st.integers(0, 2**32))
def test_a_grid_rounds_to_the_nearest_multiple_and_loses_no_large_weight(shape, step, seed):
    rng = np.random.default_rng(seed)
    kernel = (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 3)).astype(np.float32)
    kernel[rng.random(shape) < 0.2] = 0
    kernel.flat[0] *= 50  # an outlier
    scale = values.scales(kernel, step)
    rounded = values.grid(kernel, step).array()
    assert rounded.dtype == np.float32
    assert rounded.shape == kernel.shape
    assert (np.abs(rounded - kernel) <= 0.5001 * scale).all()
    assert (rounded[kernel == 0] == 0).all()


def test_a_coarser_grid_takes_fewer_values_and_prunes(rng):
    kernel = rng.normal(size=(200, 64)).astype(np.float32)
    fine, coarse = values.grid(kernel, 0.1), values.grid(kernel, 1.0)
    assert len(fine.codebook) > 60
    assert len(coarse.codebook) < 12
    assert (coarse.array() == 0).mean() > 0.3


def test_a_channel_of_zeros_stays_zero():
    kernel = np.zeros((3, 3, 2, 4), np.float32)
    kernel[..., 1] = 7
    np.testing.assert_allclose(values.grid(kernel, 0.5).array(), kernel)


def test_steps_are_those_of_least_harm_at_the_same_bits(rng):
    sizes = {"a": 100, "b": 4000, "c": 900}
    harm = {"a": 1e-2, "b": 1e-3, "c": 3e-5}
    found = values.allocate(sizes, harm, 0.3)
    bits = sum(sizes[name] * np.log2(found[name]) for name in sizes)
    assert bits == pytest.approx(sum(sizes.values()) * np.log2(0.3))
    least = sum(harm[name] * found[name] ** 2 for name in sizes)
    for _ in range(100):
        other = {name: found[name] * 2 ** rng.normal(scale=0.3) for name in sizes}
        shift = 2 ** ((bits - sum(sizes[name] * np.log2(other[name]) for name in sizes)) / sum(sizes.values()))
        assert sum(harm[name] * (shift * other[name]) ** 2 for name in sizes) >= least * (1 - 1e-9)


def test_steps_stay_within_their_bounds():
    found = values.allocate({"a": 1, "b": 10**6}, {"a": 10.0, "b": 1e-9}, 1.0)
    assert found == {"a": values.FINEST, "b": pytest.approx(1.0, rel=0.1)}


@pytest.mark.parametrize("count", [2, 16])
def test_a_palette_is_as_near_as_a_general_k_means(rng, count):
    kernel = rng.standard_t(4, size=(40, 30)).astype(np.float32)
    palette = values.k_means(kernel, count)
    peer = KMeans(count, n_init=3, random_state=0).fit(kernel.reshape(-1, 1))
    assert len(palette.codebook) == count
    assert np.square(palette.array() - kernel).sum() <= 1.1 * peer.inertia_
    nearest = np.abs(kernel[..., None] - palette.codebook).argmin(-1)
    np.testing.assert_array_equal(palette.codebook[nearest], palette.array())


def test_a_palette_has_two_to_256_values():
    for count in (1, 257):
        with pytest.raises(ValueError, match="2 to 256 values"):
            values.k_means(np.zeros((2, 2), np.float32), count)
    np.testing.assert_array_equal(values.k_means(np.full((2, 2), 3, np.float32), 4).array(), np.full((2, 2), 3.0))


def test_kernels_of_few_values_are_found_and_kept_exactly(rng):
    kernel = rng.normal(size=7).astype(np.float32)[rng.integers(0, 7, (9, 11))]
    np.testing.assert_array_equal(values.exact(kernel).array(), kernel)
    assert values.exact(rng.normal(size=(20, 20)).astype(np.float32)) is None
