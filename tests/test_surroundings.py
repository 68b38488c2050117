"""Other surroundings: the object stays, what lies around it is another image's, and both may become smaller."""

import numpy as np
import pytest
from test_pipeline import CELLS, only

from build.augment import surroundings
from build.augment.pipeline import Augmentation
from build.errors import UserError

SIDE = 96
far = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)) / SIDE
"""How far each pixel is from the middle, in sides."""
least = surroundings.RADII[0] - surroundings.SOFTNESS
most = surroundings.RADII[1] + surroundings.SOFTNESS


def plain(count: int) -> np.ndarray:
    """One grey an image, each its own for up to 32."""
    return np.repeat(np.arange(count, dtype=np.uint8) * 7 + 20, SIDE * SIDE * 3).reshape(count, SIDE, SIDE, 3)


def grey(values: np.ndarray) -> np.ndarray:
    """An image of (SIDE, SIDE) values."""
    return np.repeat(values[..., None], 3, -1).astype(np.uint8)


def exchanged(images: np.ndarray, seed: int = 0, *, probability: float = 1.0, zoom: float = 0.0) -> np.ndarray:
    return surroundings.exchange(images, probability=probability, zoom=zoom, rng=np.random.default_rng(seed))


def beside(image: np.ndarray, background: np.ndarray, *, count: int = 40, zoom: float = 0.0) -> np.ndarray:
    """What becomes of `image` in batches of two with `background`."""
    return np.stack([exchanged(np.stack([image, background]), seed, zoom=zoom)[0] for seed in range(count)])


def test_the_middle_is_the_image_s_own_and_the_corners_another_one_s():
    images = plain(32)
    result = exchanged(images)
    own = images[:, 0, 0, 0]
    assert (result[:, far < least] == own[:, None, None]).all()
    outside = result[:, far > most]
    assert (outside == outside[:, :1]).all()
    assert set(outside[:, 0, 0].tolist()) <= set(own.tolist())
    assert len(set(outside[:, 0, 0].tolist())) > 12, "not all the same one's"


def test_an_image_never_gets_its_own_background():
    dark, light = plain(1)[0], plain(32)[31]
    assert (beside(dark, light)[:, far > most] == light[0, 0]).all()


def test_between_the_two_the_disc_is_soft():
    dark, light = plain(1)[0], plain(32)[31]
    between = (beside(dark, light) > dark[0, 0, 0] + 20) & (beside(dark, light) < light[0, 0, 0] - 20)
    assert between.mean() > 0.03


def test_the_object_of_the_other_image_is_gone():
    own, other = plain(32)[31], grey(np.where(far < 0.3, 0, 200))
    assert surroundings.background(other)[far < 0.3].min() == 200
    assert beside(own, other).min() >= 190
    # What lies in its corner is still there, and shows in the middle as well.
    other[-4:, -4:] = 90
    middle = slice(SIDE // 2 - 6, SIDE // 2 + 6)
    assert (surroundings.background(other)[middle, middle] == 90).any()


def test_objects_become_smaller_by_up_to_the_zoom_and_by_nothing_without_it():
    # White discs on black: what lies further out is the partner's, which is black too.
    images = np.stack([grey(255 * (far < 0.25))] * 200)
    size = (images[0, ..., 0] > 127).sum()

    def shares(zoom: float) -> np.ndarray:
        return (exchanged(images, zoom=zoom)[..., 0] > 127)[:, far < 0.3].sum(1) / size

    assert np.allclose(shares(0.0), 1, atol=0.02)
    smaller = np.sqrt(shares(1.0))
    assert smaller.min() == pytest.approx(0.5, abs=0.04)
    assert smaller.max() == pytest.approx(1.0, abs=0.04)
    assert np.median(smaller) == pytest.approx(np.sqrt(0.5), abs=0.05), "even in the logarithm"


def test_the_disc_becomes_smaller_with_the_object():
    dark, light = plain(1)[0], plain(32)[31]
    radii = np.sqrt((beside(dark, light, zoom=1.0)[..., 0] < 100).mean((1, 2)) / np.pi)
    assert radii.min() < 0.75 * surroundings.RADII[0]
    assert radii.max() > surroundings.RADII[0]


def test_the_background_becomes_smaller_with_the_object_and_is_turned():
    waves = grey(128 + 80 * np.sin(np.mgrid[:SIDE, :SIDE][1] / 3))

    def steepness(zoom: float) -> np.ndarray:
        shown = beside(plain(1)[0], waves, zoom=zoom)[..., 0].astype(float)
        slopes = np.hypot(*np.gradient(shown, axis=(1, 2)))
        return slopes[:, far > most + 0.02].mean(1)

    still = steepness(0.0)
    assert steepness(1.0).mean() > 1.15 * still.mean()
    assert still.std() > 0.09 * still.mean(), "its scale differs by a little"
    halves = beside(plain(1)[0], grey(np.where(np.mgrid[:SIDE, :SIDE][1] < SIDE / 2, 0, 255)))
    corners = halves[:, [0, 0, -1, -1], [0, -1, 0, -1], 0] > 127
    assert len({tuple(each) for each in corners.tolist()}) > 3


def test_so_many_images_as_were_asked_for_and_the_given_ones_stay():
    images = np.random.default_rng(0).integers(0, 256, (400, 24, 24, 3), dtype=np.uint8)
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

    def shown(**fields) -> tuple[np.ndarray, np.ndarray]:
        return Augmentation(only(**fields), classes=8).batch(CELLS, labels, rng=np.random.default_rng(3))

    x, y = shown(surroundings_probability=1.0, surroundings_zoom=0.0, zoom=0.5)
    middle = far < least
    assert (x[:, middle] == CELLS[:, middle]).all(), "as large as they were"
    assert (x != CELLS).any((1, 2, 3)).mean() > 0.9
    assert (y == np.eye(8, dtype=np.float32)[labels]).all()
    x, _ = shown(surroundings_probability=1.0, surroundings_zoom=1.0)
    assert (x[:, middle] != CELLS[:, middle]).any((1, 2)).mean() > 0.9
    assert (shown()[0] == CELLS).all()


@pytest.mark.parametrize("fields", [{"surroundings_probability": 1.2}, {"surroundings_zoom": 5.0}])
def test_a_setting_out_of_range_is_named(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Augmentation(only(**fields), classes=8)
