"""Other surroundings: the object stays, what lies around it is another image's, and both may become smaller."""

import numpy as np
import pytest
from test_pipeline import CELLS, only

from build.augment import surroundings
from build.augment.pipeline import Augmentation
from build.errors import UserError

SIDE = 96
FAR = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)) / SIDE
"""How far each pixel is from the middle, in sides."""


def plain(count: int) -> np.ndarray:
    """One grey an image, each its own."""
    return np.repeat(np.arange(count, dtype=np.uint8) * 7 + 20, SIDE * SIDE * 3).reshape(count, SIDE, SIDE, 3)


def discs(count: int, radius: float) -> np.ndarray:
    """White discs on black, of `radius` sides."""
    return np.repeat((radius > FAR)[None, ..., None] * np.uint8(255), count, 0).repeat(3, -1)


def exchanged(images: np.ndarray, seed: int = 0, *, probability: float = 1.0, zoom: float = 0.0) -> np.ndarray:
    return surroundings.exchange(images, probability=probability, zoom=zoom, rng=np.random.default_rng(seed))


def test_the_middle_is_the_image_s_own_and_the_corners_another_one_s():
    images = plain(32)
    result = exchanged(images)
    least = surroundings.RADII[0] - surroundings.SOFTNESS
    most = surroundings.RADII[1] + surroundings.SOFTNESS
    grey = images[:, 0, 0, 0]
    assert (result[:, least > FAR] == grey[:, None, None]).all()
    outside = result[:, most < FAR]
    assert (outside == outside[:, :1]).all()
    other = outside[:, 0, 0]
    assert (other != grey).all()
    assert set(other.tolist()) <= set(grey.tolist())
    assert len(set(other.tolist())) > 12, "every image has its own partner"


def test_the_object_of_the_other_image_is_gone():
    object_in_the_middle = np.full((SIDE, SIDE, 3), 200, np.uint8)
    object_in_the_middle[FAR < 0.3] = 0
    assert surroundings.background(object_in_the_middle)[FAR < surroundings.HIDDEN - surroundings.SOFTNESS].min() == 200
    # What lies at the border is still there, and shows in the middle as well.
    marked = object_in_the_middle.copy()
    marked[-4:, -4:] = 90
    middle = slice(SIDE // 2 - 6, SIDE // 2 + 6)
    assert (surroundings.background(marked)[middle, middle] == 90).any()


def test_objects_become_smaller_by_up_to_the_zoom_and_by_nothing_without_it():
    images = discs(200, 0.25)
    size = (images[0, ..., 0] > 127).sum()

    def shares(zoom: float) -> np.ndarray:
        # A disc whose own black rim is smaller than it: what lies further out is the partner's, which is black too.
        return (exchanged(images, zoom=zoom)[..., 0] > 127)[:, FAR < 0.3].sum(1) / size

    assert np.allclose(shares(0.0), 1, atol=0.02)
    smaller = np.sqrt(shares(1.0))
    assert smaller.min() == pytest.approx(0.5, abs=0.04)
    assert smaller.max() == pytest.approx(1.0, abs=0.04)
    assert np.median(smaller) == pytest.approx(np.sqrt(0.5), abs=0.05), "even in the logarithm"


def test_so_many_images_as_were_asked_for_and_the_given_ones_stay():
    images = plain(400)
    before = images.copy()
    changed = (exchanged(images, probability=0.25) != images).any((1, 2, 3)).mean()
    assert changed == pytest.approx(0.25, abs=0.07)
    assert (images == before).all()
    assert (exchanged(images, probability=0.0) == images).all()
    assert (exchanged(images[:1]) == images[:1]).all(), "an image alone has no other surroundings"
    assert (exchanged(images, 5, zoom=0.5) == exchanged(images, 5, zoom=0.5)).all()
    assert (exchanged(images, 5, zoom=0.5) != exchanged(images, 6, zoom=0.5)).any()


def test_images_that_are_not_square():
    wide = np.random.default_rng(0).integers(0, 256, (4, 40, 72, 3), dtype=np.uint8)
    result = exchanged(wide, zoom=0.0)
    assert result.shape == wide.shape
    assert (result[:, 15:25, 31:41] == wide[:, 15:25, 31:41]).all()
    assert (result != wide).any((1, 2, 3)).all()


def test_a_recipe_asks_for_them_and_labels_stay():
    labels = np.arange(len(CELLS)) % 8
    recipe = only(surroundings_probability=1.0)
    x, y = Augmentation(recipe, classes=8).batch(CELLS, labels, rng=np.random.default_rng(3))
    assert (x != CELLS).any((1, 2, 3)).mean() > 0.9
    assert (y == np.eye(8, dtype=np.float32)[labels]).all()
    still, _ = Augmentation(only(), classes=8).batch(CELLS, labels, rng=np.random.default_rng(3))
    assert (still == CELLS).all()


@pytest.mark.parametrize("fields", [{"surroundings_probability": 1.2}, {"surroundings_zoom": 5.0}])
def test_a_setting_out_of_range_is_named(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Augmentation(only(**fields), classes=8)
