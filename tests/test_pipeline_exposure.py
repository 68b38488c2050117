"""No augmentation blackens, saturates or flattens a batch: the mistake that cost the report's teams most."""

import dataclasses

import cv2
import numpy as np
import pytest
from test_pipeline import CELLS, COPY, EVERYTHING, PODIUM, augmented

from build.augment import program
from build.augment.operations import OPERATIONS
from build.augment.pipeline import assert_exposed
from build.augment.randaugment import POOL
from build.augment.random_convolution import draw_random_convolutions
from build.augment.textures import draw_textures
from build.augment.veils import draw_veils
from build.recipes import RECIPES

FULL = {
    "autocontrast": lambda rng: 0,
    "equalize": lambda rng: 0,
    # Magnitude .3: beyond, bright backgrounds go black, under keras_cv as here.
    "brighten_solarize": lambda rng: (33, 180),
    "channel_shift": lambda rng: rng.uniform(-51, 51, 3),
    "channel_shuffle": lambda rng: (2, 0, 1),
    "stain": lambda rng: tuple(rng.uniform(0.5, 1.5, 3)),
    "random_convolution": lambda rng: draw_random_convolutions(1, rng=rng)[0][1],
    "texture": lambda rng: draw_textures(1, strength=0.8, rng=rng)[0][1],
    "veil": lambda rng: draw_veils(1, opacity=0.8, rng=rng)[0][1],
    "blur": lambda rng: ("disk", 0.04, 0.0),
    "noise": lambda rng: ("gaussian", 80.0, rng.random()),
    "jpeg": lambda rng: 3,
    "pixelate": lambda rng: 1 / 5,
}


def at_full_strength(name: str, rng) -> object:
    if name in FULL:
        return FULL[name](rng)
    return POOL[name](1.0, float(rng.choice([-1, 1])), float(rng.uniform(-1, 1)))


def assert_seen_well(x: np.ndarray) -> None:
    """Neither black nor white nor flat: most pictures keep middle values and structure, and the batch its light."""
    assert 40 < x.mean() < 225
    assert ((x > 8) & (x < 247)).mean() > 0.3
    spread = x.reshape(len(x), -1).std(1)
    assert np.median(spread) > 12
    assert (spread > 4).mean() > 0.6


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_blackens_saturates_or_flattens_a_batch_even_at_full_strength(name, rng):
    assert_seen_well(CELLS)
    x = np.stack([program.run(image, [(name, at_full_strength(name, rng))], border="constant") for image in CELLS])
    if name == "posterize":
        assert len(np.unique(x)) == 8
    assert_exposed(CELLS, x)
    assert_seen_well(x)


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_blackens_saturates_or_flattens_a_batch(name):
    x, _ = augmented(RECIPES[name], copy=COPY)
    assert_seen_well(x)


def test_no_recipe_does_so_to_real_cells(real_cells_folder):
    files = [file for folder in sorted(real_cells_folder.iterdir()) for file in sorted(folder.glob("*.jpg"))[:8]]
    images = np.stack([cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files[:64]])
    for recipe in (PODIUM, EVERYTHING, dataclasses.replace(PODIUM, jsd_weight=12.0)):
        x, _ = augmented(recipe, images, np.arange(len(images)) % 8)
        assert_seen_well(x)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda x: np.clip(x, 0, 1), "blackened"),
        (lambda x: (x / 255).astype(np.uint8), "blackened"),
        (lambda x: np.clip(x * 255.0, 0, 255).astype(np.uint8), "saturated"),
    ],
)
def test_the_classical_mistakes_of_scale_are_caught_while_training(mistake, words):
    with pytest.raises(AssertionError, match=words):
        assert_exposed(CELLS, mistake(CELLS))
