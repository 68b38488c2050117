import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from build.augment.pipeline import Augmentation
from build.augment.settings import bare
from build.bench.augment import cells
from build.recipes import find

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # keras_cv is unmaintained
]
IMAGES = cells(16)
LABELS = np.arange(16) % 8
BASELINE = bare(find("podium"), augmenter="keras_cv", balance="augment")


@pytest.fixture(scope="module")
def augmentations() -> dict[str, Augmentation]:
    """One object a step: each traces its layers once."""
    recipes = {
        "augmix": dataclasses.replace(BASELINE, augmix_probability=1.0),
        "randaugment": dataclasses.replace(BASELINE, randaugment_probability=1.0),
        "copies": BASELINE,
    }
    return {name: Augmentation(recipe, classes=8) for name, recipe in recipes.items()}


def batch(augmentation: Augmentation, copy=None, *, seed: int = 1) -> np.ndarray:
    return augmentation.batch(IMAGES, LABELS, copy, rng=np.random.default_rng(seed))[0]


def test_it_can_be_had_where_a_recipe_asks_for_determinism():
    made = (
        "import tensorflow as tf; tf.config.experimental.enable_op_determinism(); tf.random.set_seed(0)\n"
        "from build.augment.keras_cv_baseline import KerasCvBaseline\n"
        "from build.recipes import find\n"
        "KerasCvBaseline(find('podium'))"
    )
    done = subprocess.run([sys.executable, "-c", made], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["augmix", "randaugment"])
def test_keras_cvs_layers_are_selectable_and_draw_by_the_generator_alone(name, augmentations):
    first = batch(augmentations[name])
    assert first.shape == IMAGES.shape
    assert first.dtype == np.uint8
    assert (first != IMAGES).any((1, 2, 3)).mean() > 0.8
    assert np.array_equal(first, batch(augmentations[name]))
    assert not np.array_equal(first, batch(augmentations[name], seed=2))


def test_the_same_image_comes_out_different_in_every_place_of_a_batch(augmentations):
    same = np.repeat(IMAGES[:1], 16, axis=0)
    x, _ = augmentations["augmix"].batch(same, LABELS, rng=np.random.default_rng(3))
    assert len(np.unique(x.reshape(16, -1), axis=0)) == 16


def test_balancing_copies_go_through_keras_cv_too_and_nothing_else_does(augmentations):
    copy = LABELS < 3
    x = batch(augmentations["copies"], copy)
    assert np.array_equal(x[~copy], IMAGES[~copy])
    assert (x[copy] != IMAGES[copy]).any((1, 2, 3)).all()
    ours, _ = Augmentation(dataclasses.replace(BASELINE, augmenter="podium"), classes=8).batch(
        IMAGES, LABELS, copy, rng=np.random.default_rng(1)
    )
    assert not np.array_equal(x[copy], ours[copy])


def test_ours_takes_a_fraction_of_its_time(augmentations):
    ours = Augmentation(dataclasses.replace(BASELINE, augmenter="podium", augmix_probability=1.0), classes=8)
    times = []
    for augmentation in (ours, augmentations["augmix"]):
        batch(augmentation)
        rounds = []
        for _ in range(4):
            start = time.process_time()
            batch(augmentation)
            rounds.append(time.process_time() - start)
        times.append(min(rounds))
    assert times[0] < times[1] / 3


@pytest.mark.parametrize("step", ["augmix_probability", "randaugment_probability"])
def test_what_was_drawn_before_does_not_matter(step):
    recipe = dataclasses.replace(BASELINE, **{step: 1.0})
    fresh, used = (Augmentation(recipe, classes=8) for _ in range(2))
    batch(used, seed=2)  # traces the layers
    assert np.array_equal(batch(fresh), batch(used))


def test_strengths_and_shares_are_drawn_anew_in_every_batch(augmentations):
    """Of one image in every place: were the seed that of the first batch, the same shares would come again."""
    same = np.repeat(IMAGES[:1], 16, axis=0)
    made = [
        augmentations["augmix"].batch(same, LABELS, rng=np.random.default_rng(seed))[0].reshape(16, -1)
        for seed in range(4)
    ]
    assert len(np.unique(np.concatenate(made), axis=0)) == 64
