"""Textures: each kind against its definition, and what is drawn."""

import numpy as np
import pytest
from scipy import ndimage

from build.augment import settings
from build.augment.pipeline import Augmentation
from build.augment.textures import KINDS, MOST_MISSING, draw_textures, texture
from build.bench.augment import cells
from build.recipes import find

IMAGE = cells(1)[0]
INNER = np.s_[8:-8, 8:-8]
"""Away from the borders, which each library continues in its own way."""


def made(kind: str, strength: float, place: float = 0.5, seed: int = 0, image: np.ndarray = IMAGE) -> np.ndarray:
    before = image.copy()
    result = texture(image, (kind, strength, place, seed))
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    assert np.array_equal(image, before)
    return result


@pytest.mark.parametrize(("strength", "side"), [(0.1, 3), (0.5, 5), (1.0, 9)])
def test_a_median_reaches_further_the_stronger_it_is(strength, side):
    assert np.array_equal(made("median", strength)[INNER], ndimage.median_filter(IMAGE, (side, side, 1))[INNER])


@pytest.mark.parametrize(("kind", "filter_"), [("dark", ndimage.grey_erosion), ("bright", ndimage.grey_dilation)])
def test_parts_that_grow_take_the_extreme_of_their_surroundings(kind, filter_):
    grown = made(kind, 0.8)  # an ellipse of 4 pixels: within a square of 5, and over a cross of 3
    cross = np.zeros((3, 3, 1), bool)
    cross[1, :, 0] = cross[:, 1, 0] = True
    least, most = filter_(IMAGE, footprint=cross)[INNER], filter_(IMAGE, size=(5, 5, 1))[INNER]
    low, high = (most, least) if kind == "dark" else (least, most)
    assert (low <= grown[INNER]).all()
    assert (grown[INNER] <= high).all()
    assert (grown != IMAGE).mean() > 0.3


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_sharpening_enlarges_the_differences_from_the_surroundings(place):
    side = 3 if place == 0 else 49
    around = IMAGE.astype(float)
    for _ in range(2):
        around = ndimage.uniform_filter(around, (side, side, 1), mode="mirror")
    expected = np.clip(IMAGE + 1.5 * (IMAGE - around), 0, 255)
    assert np.abs(made("sharpen", 0.5, place) - expected).max() <= 2.5  # each box is rounded


def test_relief_is_the_slope_towards_the_light():
    y, x = np.mgrid[:96, :96]
    slope = np.repeat((20 + x + y // 2)[..., None].astype(np.uint8), 3, 2)
    lit = made("relief", 0.5, 0.0, image=slope).astype(int)  # the light is in the direction of x: a slope of 1 a pixel
    assert np.abs((lit - slope)[INNER] - 2).max() <= 0
    turned = made("relief", 0.5, 0.5, image=slope).astype(int)
    assert np.abs((turned - slope)[INNER] + 2).max() <= 0
    flat = np.full((96, 96, 3), 90, np.uint8)
    assert np.array_equal(made("relief", 1.0, 0.3, image=flat), flat)


@pytest.mark.parametrize("strength", [0.25, 1.0])
@pytest.mark.parametrize(("place", "colour"), [(0.1, 0), (0.5, 255)])
def test_as_many_pixels_are_missing_as_drawn_in_one_colour(strength, place, colour):
    image = np.full((96, 96, 3), 90, np.uint8)
    shares = []
    for seed in range(12):
        lost = made("missing", strength, place, seed, image=image)
        assert set(np.unique(lost)) == {90, colour}
        assert (lost[..., 0] == lost[..., 2]).all()
        shares.append((lost == colour).mean())
    assert np.mean(shares) == pytest.approx(strength * MOST_MISSING, rel=0.1)
    assert not np.array_equal(made("missing", strength, place, 1), made("missing", strength, place, 2))
    assert np.array_equal(made("missing", strength, place, 1), made("missing", strength, place, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 9, 3), (40, 61, 3)])
def test_every_kind_takes_images_of_any_shape(kind, shape, rng):
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    for strength in (0.1, 1.0):
        made(kind, strength, rng.random(), 3, image=image)


def test_every_kind_is_drawn_alike_and_no_stronger_than_asked(rng):
    steps = draw_textures(1200, strength=0.6, rng=rng)
    assert {name for name, _ in steps} == {"texture"}
    kinds = [kind for _, (kind, *_) in steps]
    assert {kind: pytest.approx(200, abs=50) for kind in KINDS} == {kind: kinds.count(kind) for kind in set(kinds)}
    strengths = np.array([strength for _, (_, strength, *_) in steps])
    assert strengths.min() == pytest.approx(0.06, abs=0.01)
    assert strengths.max() == pytest.approx(0.6, abs=0.01)
    places = np.array([place for _, (_, _, place, _) in steps])
    assert (places.min() >= 0) & (places.max() < 1)
    assert places.mean() == pytest.approx(0.5, abs=0.05)
    assert len({seed for _, (_, _, _, seed) in steps}) > 1190
    again = draw_textures(3, strength=0.6, rng=np.random.default_rng(5))
    assert again == draw_textures(3, strength=0.6, rng=np.random.default_rng(5))


def test_the_pipeline_draws_textures_as_often_as_it_is_asked(rng):
    images = np.repeat(IMAGE[None], 200, 0)
    for probability in (0.0, 0.3, 1.0):
        recipe = settings.bare(find("podium"), texture_probability=probability)
        x, _ = Augmentation(recipe, classes=8).batch(images, np.zeros(200, int), rng=rng)
        changed = (x != images).any((1, 2, 3)).mean()
        assert changed == pytest.approx(probability, abs=0.12)
