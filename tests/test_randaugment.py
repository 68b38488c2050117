import numpy as np
import pytest

from build.augment import program
from build.augment.pipeline import Augmentation
from build.augment.randaugment import DEFAULT, POOL, draw_randaugment
from build.augment.settings import bare
from build.bench.augment import cells
from build.recipes import find

CELLS = cells(16)


def drawn(rng, count=2000, **settings):
    return draw_randaugment(count, **{"operations": 3, "magnitude": 0.4, "rng": rng} | settings)


def damage(steps, image=CELLS[0]) -> float:
    return float(np.abs(program.run(image, steps, border="reflect").astype(int) - image).mean())


def test_each_image_gets_the_asked_number_of_operations_evenly_from_the_pool(rng):
    steps = drawn(rng, count=3000)
    assert {len(image) for image in steps} == {3}
    names = [name for image in steps for name, _ in image]
    assert set(names) == set(DEFAULT)
    for name in DEFAULT:
        assert names.count(name) / len(names) == pytest.approx(1 / len(DEFAULT), abs=0.012)
    # With replacement: some image has the same operation twice.
    assert any(len({name for name, _ in image}) < 3 for image in steps)


def test_colour_turns_and_inversion_are_drawn_only_where_a_recipe_asks_for_them(rng):
    asked = {"hue", "invert", "brighten_solarize"}
    assert not asked & set(DEFAULT)
    steps = drawn(rng, count=50, pool=tuple(sorted(asked)))
    assert {name for image in steps for name, _ in image} == asked


def test_no_operations_is_no_steps(rng):
    assert drawn(rng, count=3, operations=0) == [[], [], []]


def test_the_magnitude_is_the_recipes_with_its_spread_cut_at_both_ends(rng):
    for magnitude, spread in ((0.4, 0.0), (0.4, 0.15), (1.0, 0.15), (0.0, 0.3)):
        steps = drawn(rng, operations=1, magnitude=magnitude, spread=spread, pool=("solarize_add",))
        magnitudes = np.array([parameter for ((_, parameter),) in steps]) / 110
        expected = np.clip(np.random.default_rng(1).normal(magnitude, spread, 100_000), 0, 1)
        assert magnitudes.mean() == pytest.approx(expected.mean(), abs=0.02)
        assert magnitudes.std() == pytest.approx(expected.std(), abs=0.02)
        assert magnitudes.min() >= 0
        assert magnitudes.max() <= 1


@pytest.mark.parametrize("name", sorted(set(POOL) - {"autocontrast", "equalize", "invert"}))
def test_magnitude_zero_changes_nothing(name):
    for sign in (-1, 1):
        for u in (-0.9, 0.3):
            step = (name, POOL[name](0.0, sign, u))
            assert np.array_equal(program.run(CELLS[0], [step]), CELLS[0])


@pytest.mark.parametrize("name", sorted(set(POOL) - {"autocontrast", "equalize", "invert"}))
def test_a_larger_magnitude_changes_more(name):
    changes = [
        np.mean(
            [
                damage([(name, POOL[name](m, sign, u))], image)
                for image in CELLS[:6]
                for sign, u in ((1, 0.9), (-1, -0.9))
            ]
        )
        for m in (0.1, 0.4, 0.8)
    ]
    assert 0 < changes[1] < changes[2], changes
    assert changes[0] < changes[1]


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("rotate", 30),
        ("posterize", 3),
        ("solarize", 0),
        ("solarize_add", 110),
        ("brighten_solarize", (110, 0)),
        ("brightness", 255),
        ("contrast", 2),
        ("translate_x", 1),
        ("translate_y", 1),
        ("shear_x", (1, 1)),
        ("shear_y", (1, 1)),
    ],
)
def test_the_ranges_at_magnitude_one_are_those_that_the_docstring_cites(name, largest):
    assert POOL[name](1.0, 1, 1.0) == pytest.approx(largest)


@pytest.mark.parametrize("name", ["rotate", "shear_x", "translate_x", "brightness", "contrast", "saturation"])
def test_directions_are_drawn_both_ways(name, rng):
    parameters = [image[0][1] for image in drawn(rng, count=400, operations=1, pool=(name,))]
    values = np.array([parameter[0] if isinstance(parameter, tuple) else parameter for parameter in parameters])
    neutral = 1 if name in ("contrast", "saturation") else 0
    assert 0.4 < np.mean(values > neutral) < 0.6


def test_the_same_generator_state_draws_the_same_and_each_image_has_its_own(rng):
    first, again = (drawn(np.random.default_rng(4), count=30) for _ in range(2))
    assert first == again
    assert len({str(image) for image in first}) == 30


def test_a_recipes_number_magnitude_and_pool_reach_the_images(rng):
    recipe = bare(
        find("podium"),
        randaugment_probability=1.0,
        randaugment_operations=1,
        randaugment_magnitude=0.5,
        randaugment_spread=0.0,
        randaugment_pool=("solarize",),
    )
    x, _ = Augmentation(recipe, classes=8).batch(CELLS, np.zeros(16, int), rng=rng)
    assert np.array_equal(x, np.where(CELLS < 128, CELLS, 255 - CELLS))
