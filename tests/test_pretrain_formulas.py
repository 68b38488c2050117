"""Drawn images: bounded, different, the same from the same generator, with edges and flat parts as pictures have."""

import numpy as np
import pytest

from build.pretrain.formulas import cut, leaves
from build.pretrain.images import DrawnBatches, augmentation
from build.recipes import find


@pytest.fixture(scope="module")
def canvases() -> np.ndarray:
    return np.stack([leaves(128, rng=np.random.default_rng(seed)) for seed in range(24)])


def test_a_canvas_is_an_image_and_the_same_from_the_same_seed(canvases):
    assert canvases.dtype == np.uint8
    assert canvases.shape == (24, 128, 128, 3)
    assert np.array_equal(leaves(128, rng=np.random.default_rng(3)), canvases[3])


def test_canvases_differ_and_use_the_whole_range_of_colours(canvases):
    means = canvases.mean((1, 2))
    assert len(np.unique(means.round(2), axis=0)) == 24
    assert means.min() < 80
    assert means.max() > 170
    assert (canvases.std((1, 2)).mean(1) > 10).mean() > 0.8  # hardly one is empty


def test_neighbours_are_alike_and_far_pixels_are_not(canvases):
    """What photographs have and white noise has not: correlation that falls with the distance."""
    wide = canvases.astype(float) - canvases.mean((1, 2), keepdims=True)
    near, far = ((wide[:, :, step:] * wide[:, :, :-step]).mean() / (wide**2).mean() for step in (1, 40))
    assert near > 0.8
    assert far < 0.6


def test_crops_show_the_canvas_at_other_scales(canvases):
    crops = cut(canvases[0], 12, 48, rng=np.random.default_rng(0))
    assert crops.shape == (12, 48, 48, 3)
    assert len({crop.tobytes() for crop in crops}) == 12
    plain = np.full((128, 128, 3), (10, 200, 90), np.uint8)
    assert (cut(plain, 4, 48, rng=np.random.default_rng(0)) == (10, 200, 90)).all()  # nothing is let in from outside


def test_a_batch_is_half_cells_half_leaves_and_the_same_from_any_thread(rng):
    cells = rng.integers(0, 256, (40, 48, 48, 3), np.uint8)
    nothing = augmentation(8)
    nothing.recipe = find("podium").__class__(name="nothing", augmenter="none")
    with DrawnBatches(cells, augmentation=nothing, steps=3, batch=10, seed=1, epoch=2) as batches:
        first, zeros = batches[0]
        assert np.array_equal(first, batches.draw(0))
        assert not np.array_equal(first, batches.draw(1))
    assert first.shape == (10, 48, 48, 3)
    assert zeros.shape == (10,)
    known = {cell.tobytes() for cell in cells}
    assert [image.tobytes() in known for image in first] == [True] * 5 + [False] * 5


def test_another_epoch_or_seed_draws_others(rng):
    cells = rng.integers(0, 256, (40, 48, 48, 3), np.uint8)
    made = []
    for seed, epoch in ((1, 2), (1, 3), (2, 2)):
        with DrawnBatches(cells, augmentation=augmentation(8), steps=1, batch=4, seed=seed, epoch=epoch) as batches:
            made.append(batches.draw(0).tobytes())
    assert len(set(made)) == 3
