import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from build.augment import geometry
from build.augment.pipeline import Augmentation, resize
from build.augment.settings import bare
from build.bench.augment import cells
from build.errors import UserError
from build.recipes import RECIPES, find

ROOT = Path(__file__).resolve().parent.parent
CELLS = cells(64)
LABELS = np.arange(64) % 8
COPY = np.arange(64) % 3 == 0
PODIUM = find("podium")
NOTHING = bare(PODIUM)
"""The recipe's pipeline with every step's probability at zero."""
EVERYTHING = dataclasses.replace(
    PODIUM, stain_probability=0.5, grid_probability=0.3, mixup_alpha=0.4, cutmix_alpha=1.0, mix_probability=0.5
)


def augmented(recipe, images=CELLS, labels=LABELS, copy=None, *, seed=(0, 0, 0), side=None):
    return Augmentation(recipe, classes=8).batch(images, labels, copy, rng=np.random.default_rng(seed), side=side)


def only(**fields):
    return dataclasses.replace(NOTHING, **fields)


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("side", [None, 32])
def test_every_recipe_gives_uint8_images_and_label_distributions(name, side):
    x, y = augmented(RECIPES[name], copy=COPY, side=side)
    assert x.dtype == np.uint8
    assert y.dtype == np.float32
    assert x.shape == (64, side or 96, side or 96, 3)
    assert y.shape == (64, 8)
    assert np.array_equal(y.argmax(1), LABELS)
    assert y.sum(1) == pytest.approx(1)
    assert x.flags.c_contiguous


def test_no_augmentation_is_the_image_itself_in_an_array_of_its_own():
    for recipe in (NOTHING, dataclasses.replace(PODIUM, augmenter="none")):
        x, y = augmented(recipe)
        assert np.array_equal(x, CELLS)
        assert not np.shares_memory(x, CELLS)
        assert np.array_equal(y, np.eye(8)[LABELS])


def test_the_given_images_stay_as_they_are_even_read_only_ones():
    frozen = CELLS.copy()
    frozen.setflags(write=False)
    augmented(EVERYTHING, frozen, copy=COPY)
    assert np.array_equal(frozen, CELLS)


def test_batches_of_one_and_of_none_pass():
    for count in (0, 1):
        x, y = augmented(EVERYTHING, CELLS[:count], LABELS[:count], COPY[:count])
        assert x.shape == (count, 96, 96, 3)
        assert y.shape == (count, 8)


def test_resizing_smaller_takes_the_mean_of_areas_and_the_same_size_is_no_copy():
    half = resize(CELLS[:4], 48)
    assert np.abs(half - CELLS[:4].reshape(4, 48, 2, 48, 2, 3).mean((2, 4))).max() <= 0.51
    assert resize(CELLS, 96) is CELLS
    assert resize(CELLS[:1], 120).shape == (1, 120, 120, 3)
    oblong = CELLS[:1, :64, :80]
    assert resize(oblong, 80) is oblong
    assert resize(oblong, 40).shape == (1, 32, 40, 3)  # the larger side; shapes stay as they are


@pytest.mark.parametrize(
    "images",
    [CELLS.astype(np.float32), CELLS[..., 0], CELLS[..., :1], CELLS[0]],
    ids=["float", "grey", "one", "single"],
)
def test_other_arrays_are_refused_in_a_sentence(images):
    with pytest.raises(UserError, match=r"takes uint8 images \(n, height, width, 3\)"):
        augmented(PODIUM, images)


# --- what is drawn ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_epoch_others():
    first, again, epoch, batch = (
        augmented(EVERYTHING, copy=COPY, seed=seed) for seed in ((5, 1, 2), (5, 1, 2), (5, 2, 2), (5, 1, 3))
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (epoch, batch):
        assert (first[0] != other[0]).any((1, 2, 3)).mean() > 0.95


def test_the_same_image_comes_out_different_in_every_place_of_a_batch_and_in_every_epoch():
    same = np.repeat(CELLS[:1], 64, axis=0)
    seen = [augmented(PODIUM, same, seed=(0, epoch))[0].reshape(64, -1) for epoch in range(3)]
    # A picture in a hundred is drawn to stay as it is, but for a flip.
    assert len(np.unique(np.concatenate(seen), axis=0)) >= 3 * 64 - 6


@pytest.mark.parametrize(
    "fields",
    [
        {"flip": True},
        {"geometry_probability": 1.0},
        {"surroundings_probability": 1.0},
        {"augmix_probability": 1.0},
        {"randaugment_probability": 1.0},
        {"stain_probability": 1.0},
        {"grey_probability": 1.0},
        {"channel_shuffle_probability": 1.0},
        {"channel_shift_probability": 1.0},
        {"random_convolution_probability": 1.0},
        {"texture_probability": 1.0},
        {"veil_probability": 1.0},
        {"degrade_probability": 1.0},
        {"cutout_probability": 1.0},
        {"grid_probability": 1.0},
        {"mix_probability": 1.0, "mixup_alpha": 1.0},
        {"mix_probability": 1.0, "cutmix_alpha": 1.0},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_each_step_does_something_when_it_is_asked_for_and_to_each_image_its_own(fields):
    same = np.repeat(CELLS[:1], 64, axis=0)
    images = CELLS if {"mix_probability", "surroundings_probability"} & set(fields) else same
    x, _ = augmented(only(**fields), images)
    assert (x != images).any((1, 2, 3)).mean() > 0.6
    # Shuffles have five outcomes, flips four and greys three; all else is as good as continuous.
    fewest = {"channel_shuffle_probability": 5, "flip": 4, "grey_probability": 3}.get(next(iter(fields)), 40)
    assert len(np.unique(x.reshape(64, -1), axis=0)) >= fewest


def test_a_grey_image_is_one_of_its_channels_and_a_channel_shift_tints_it():
    x, _ = augmented(only(grey_probability=1.0), CELLS)
    assert (x == x[..., :1]).all()
    taken = np.stack([(x[..., 0] == CELLS[..., channel]).all((1, 2)) for channel in range(3)])
    assert taken.any(0).all()
    assert (taken.mean(1) > 0.15).all()
    x, _ = augmented(only(grey_probability=1.0, channel_shift_probability=1.0), CELLS)
    red, green = x[..., 0].astype(int), x[..., 1].astype(int)
    whole = (x > 0).all(-1) & (x < 255).all(-1)  # what the shift cut off is another difference
    tints = [np.unique((red - green)[i][whole[i]]) for i in range(len(x)) if whole[i].any()]
    assert all(len(tint) == 1 for tint in tints)
    assert len({int(tint[0]) for tint in tints}) > 20


@pytest.mark.parametrize("jsd_weight", [0.0, 6.0])
def test_the_object_stays_in_the_frame_whatever_geometry_and_randaugment_add_up_to(jsd_weight):
    spots = np.zeros_like(CELLS)
    spots[:, 44:52, 44:52] = 255
    recipe = only(
        jsd_weight=jsd_weight,
        geometry_probability=1.0,
        translation=0.4,
        border="replicate",
        augmix_probability=0.5,
        augmix_severity=0.0,
        randaugment_probability=1.0,
        randaugment_operations=4,
        randaugment_magnitude=1.0,
        randaugment_spread=0.0,
        randaugment_pool=("translate_x", "translate_y", "sharpness"),
    )
    x, _ = augmented(recipe, spots)
    assert (x[..., 0] > 200).any(axis=(1, 2)).all()


def test_half_a_probability_touches_about_half_of_the_images():
    for field in ("geometry_probability", "channel_shift_probability", "grid_probability", "augmix_probability"):
        x, _ = augmented(only(**{field: 0.5}))
        assert 0.3 < (x != CELLS).any((1, 2, 3)).mean() < 0.7, field


def test_one_object_serves_any_number_of_threads():
    augmentation = Augmentation(EVERYTHING, classes=8)

    def make(seed: int) -> np.ndarray:
        return augmentation.batch(CELLS, LABELS, COPY, rng=np.random.default_rng(seed))[0]

    expected = [make(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for result, right in zip(pool.map(make, range(8)), expected, strict=True):
            assert np.array_equal(result, right)


def test_only_copies_get_the_copies_augmix_and_milder_than_the_recipes():
    x, _ = augmented(NOTHING, copy=COPY)
    changed = (x != CELLS).any((1, 2, 3))
    assert not changed[~COPY].any()
    assert changed[COPY].mean() > 0.9
    strong, _ = augmented(only(augmix_probability=1.0))
    mild = np.abs(x[COPY].astype(int) - CELLS[COPY]).mean()
    assert mild < np.abs(strong[COPY].astype(int) - CELLS[COPY]).mean()


def test_the_defect_of_blackened_copies_blackens_the_copies_alone():
    plain, labels = augmented(PODIUM, copy=COPY)
    broken, same = augmented(dataclasses.replace(PODIUM, defects=("blackened",)), copy=COPY)
    np.testing.assert_array_equal(broken[~COPY], plain[~COPY])
    np.testing.assert_array_equal(broken[COPY], np.minimum(plain[COPY], 1))
    np.testing.assert_array_equal(labels, same)


def test_a_border_mode_of_the_recipe_reaches_the_images():
    image = np.full((16, 64, 64, 3), 90, np.uint8)
    turned = {"geometry_probability": 1.0, "translation": 0.5, "rotation": 0.0, "zoom": 0.0, "shear": 0.0}
    for border in geometry.BORDERS:
        x, _ = augmented(only(**turned, border=border), image, LABELS[:16])
        assert (x == 90).all() == (border != "constant")
    x, _ = augmented(only(**turned, border="any"), image, LABELS[:16])
    outside = x[(x != 90).any(3)]
    assert len(outside)
    assert (outside == 0).any()


def test_the_consistency_loss_gets_the_moved_image_and_two_views_of_it():
    recipe = only(jsd_weight=12.0, geometry_probability=1.0, flip=True)
    x, y = augmented(recipe)
    assert x.shape == (192, 96, 96, 3)
    assert np.array_equal(y, np.tile(np.eye(8)[LABELS], (3, 1)))
    plain, first, second = x.reshape(3, 64, 96, 96, 3)
    assert (plain != CELLS).any((1, 2, 3)).mean() > 0.95
    assert (first != second).any((1, 2, 3)).mean() > 0.95
    # Views are AugMix of the moved image, not of the image: at severity 0 and with one chain they are nearly it.
    still = dataclasses.replace(recipe, augmix_severity=0.0, augmix_alpha=50.0)
    plain, first, _ = augmented(still)[0].reshape(3, 64, 96, 96, 3).astype(int)
    assert np.median(np.abs(plain - first).mean((1, 2, 3))) < 20 < np.abs(plain - CELLS).mean()


# --- settings and frameworks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"augmenter": "albumentations"},
        {"augmix_probability": 1.1},
        {"texture_strength": 1.2},
        {"veil_opacity": 1.2},
        {"degrade_strength": -0.1},
        {"cutout_size": float("nan")},
        {"rotation": -5.0},
        {"shear": 90.0},
        {"border": "mirror"},
        {"randaugment_pool": ("solarize", "glow")},
        {"defects": ("blackened", "reddened")},
        {"augmix_severity": 30.0},
        {"augmix_alpha": 0.0},
        {"copies_width": 0},
        {"copies_severity": -1.0},
        {"augmix_depth": -1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_setting_out_of_range_is_one_sentence_that_names_it(fields):
    with pytest.raises(UserError) as caught:
        Augmentation(dataclasses.replace(PODIUM, **fields), classes=8)
    sentence = str(caught.value)
    assert sentence.startswith(f"Recipe field {next(iter(fields))} ")
    assert "\n" not in sentence


def test_the_pipeline_augments_without_any_framework():
    code = (
        "import sys, numpy as np;"
        "from build.augment.pipeline import Augmentation; from build.recipes import find;"
        "images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8);"
        "x, y = Augmentation(find('podium'), classes=8).batch("
        "images, np.arange(20) % 8, np.arange(20) < 9, rng=np.random.default_rng(1));"
        "assert x.shape == images.shape;"
        "print(sorted({'tensorflow', 'keras', 'keras_cv', 'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
