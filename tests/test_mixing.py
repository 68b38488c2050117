import dataclasses

import numpy as np
import pytest

from build.augment.mixing import Mixes, draw_mixes, mix_images, mix_labels
from build.augment.pipeline import Augmentation
from build.bench.augment import cells
from build.recipes import find

CELLS = cells(16)


def draw(count=4000, *, mixup=0.0, cutmix=0.0, probability=1.0, height=96, width=96, seed=0) -> Mixes:
    return draw_mixes(
        count,
        height,
        width,
        mixup_alpha=mixup,
        cutmix_alpha=cutmix,
        probability=probability,
        rng=np.random.default_rng(seed),
    )


def area(mixes: Mixes) -> np.ndarray:
    top, bottom, left, right = mixes.box.T
    return (bottom - top) * (right - left)


def test_partners_are_a_permutation_and_probability_zero_mixes_nothing():
    mixes = draw(64, mixup=0.4, cutmix=1.0, probability=0.0)
    assert np.array_equal(np.sort(mixes.partner), np.arange(64))
    assert (mixes.share == 1).all()
    assert not mixes.box.any()
    images, labels = CELLS[np.arange(64) % 16], np.eye(8, dtype=np.float32)[np.arange(64) % 8]
    assert np.array_equal(mix_images(images, mixes), images)
    assert np.array_equal(mix_labels(labels, mixes), labels)


def test_about_the_asked_share_of_the_images_is_mixed():
    assert np.mean(draw(mixup=1.0, probability=0.3).share < 1) == pytest.approx(0.3, abs=0.03)


def test_mixup_shares_follow_beta():
    for alpha in (0.2, 1.0, 8.0):
        share = draw(mixup=alpha).share
        assert share.mean() == pytest.approx(0.5, abs=0.03)
        assert share.std() == pytest.approx(np.sqrt(1 / (4 * (2 * alpha + 1))), abs=0.02)
        assert not area(draw(mixup=alpha)).any()


def test_mixup_is_the_weighted_mean_of_images_and_of_labels():
    mixes = draw(16, mixup=1.0)
    labels = np.eye(8, dtype=np.float32)[np.arange(16) % 8]
    before = CELLS.copy()
    images, mixed = mix_images(CELLS, mixes), mix_labels(labels, mixes)
    assert np.array_equal(CELLS, before)
    for i, (other, share) in enumerate(zip(mixes.partner, mixes.share, strict=True)):
        expected = share * CELLS[i].astype(float) + (1 - share) * CELLS[other]
        assert np.abs(images[i] - expected).max() <= 0.51
        assert mixed[i] == pytest.approx(share * labels[i] + (1 - share) * labels[other], abs=1e-6)
    assert mixed.dtype == np.float32
    assert images.dtype == np.uint8


@pytest.mark.parametrize(("height", "width"), [(96, 96), (40, 72)])
def test_cutmix_takes_a_box_from_the_partner_and_its_area_from_the_label(height, width):
    mixes = draw(2000, cutmix=1.0, height=height, width=width)
    assert mixes.share == pytest.approx(1 - area(mixes) / (height * width), abs=1e-6)
    assert (mixes.box >= 0).all()
    assert (mixes.box[:, 1] <= height).all()
    assert (mixes.box[:, 3] <= width).all()
    # Uncut boxes have the image's proportions: beta(1, 1) areas that the edge shortens leave a mean near 0.3.
    assert 0.2 < np.mean(1 - mixes.share) < 0.4
    assert mixes.share.min() < 0.4


def test_cutmix_leaves_what_is_outside_the_box_alone():
    mixes = draw(16, cutmix=1.0)
    images = mix_images(CELLS, mixes)
    for i, (other, (top, bottom, left, right)) in enumerate(zip(mixes.partner, mixes.box, strict=True)):
        inside = np.zeros((96, 96), bool)
        inside[top:bottom, left:right] = True
        assert np.array_equal(images[i][inside], CELLS[other][inside])
        assert np.array_equal(images[i][~inside], CELLS[i][~inside])
    assert (images != CELLS).any((1, 2, 3)).sum() > 8


def test_both_alphas_mix_by_one_or_the_other_evenly():
    mixes = draw(mixup=1.0, cutmix=1.0)
    cut = area(mixes) > 0
    assert np.mean(cut) == pytest.approx(0.5, abs=0.05)


def test_labels_stay_distributions_that_name_no_third_class():
    labels = np.eye(8, dtype=np.float32)[np.random.default_rng(0).integers(0, 8, 500)]
    mixes = draw(500, mixup=0.4, cutmix=1.0)
    mixed = mix_labels(labels, mixes)
    assert mixed.sum(1) == pytest.approx(1, abs=1e-6)
    assert mixed.min() >= 0
    assert ((mixed > 0).sum(1) <= 2).all()
    same = labels.argmax(1) == labels[mixes.partner].argmax(1)
    assert mixed[same] == pytest.approx(labels[same], abs=1e-6)


def test_an_image_that_is_its_own_partner_stays_itself():
    mixes = Mixes(np.array([0]), np.float32([0.37]), np.zeros((1, 4), np.int64))
    assert np.array_equal(mix_images(CELLS[:1], mixes), CELLS[:1])


def test_the_same_seed_mixes_the_same_and_another_one_otherwise():
    first, again, other = (draw(64, mixup=1.0, cutmix=1.0, seed=seed) for seed in (1, 1, 2))
    for one, two in zip(dataclasses.astuple(first), dataclasses.astuple(again), strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(first.share, other.share)


def test_views_of_the_consistency_loss_are_mixed_with_the_same_partners_in_the_same_shares(rng):
    recipe = dataclasses.replace(
        find("podium"),
        balance="none",
        jsd_weight=12.0,
        mixup_alpha=1.0,
        mix_probability=1.0,
        augmenter="none",
    )
    x, y = Augmentation(recipe, classes=8).batch(CELLS, np.arange(16) % 8, rng=rng)
    assert x.shape == (48, 96, 96, 3)
    assert np.array_equal(x[:16], x[16:32])
    assert np.array_equal(y[:16], y[32:])
    assert (x[:16] != CELLS).any((1, 2, 3)).sum() >= 14
    assert ((y > 0).sum(1) == 2).sum() > 24
