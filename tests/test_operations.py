import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from pixels import difference

from build.augment import operations, program
from build.augment.operations import IDENTITY_TABLE, LUMA, OPERATIONS, STAINS
from build.augment.veils import Veil
from build.bench.augment import cells

CELLS = cells(6)
NOTHING = {
    "veil": Veil((9, 9, 9), np.zeros((2, 2), np.float32)),
    "texture": ("sharpen", 0.0, 0.5, 0),
    "random_convolution": (np.eye(3, dtype=np.float32)[..., None, None], 0.3),
    "contrast": 1.0,
    "posterize": 8,
    "solarize": 256,
    "solarize_add": 0,
    "brighten_solarize": (0, 256),
    "brightness": 0.0,
    "channel_shift": np.zeros(3),
    "rotate": 0.0,
    "shear_x": (0.0, 0.7),
    "shear_y": (0.0, -0.3),
    "translate_x": 0.0,
    "translate_y": 0.004,  # less than half a pixel
    "saturation": 1.0,
    "hue": 0.0,
    "channel_shuffle": (0, 1, 2),
    "sharpness": 1.0,
    "noise": ("gaussian", 0.0, 0.3),
    "pixelate": 1.0,
}
"""The parameter with which an operation does nothing."""


def once(image: np.ndarray, name: str, parameter) -> np.ndarray:
    return program.run(image, [(name, parameter)])


def random_picture(rng, height=40, width=56) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NOTHING)
def test_an_operation_with_its_neutral_parameter_changes_nothing(name, rng):
    for image in (*CELLS[:2], random_picture(rng)):
        before = image.copy()
        assert np.array_equal(once(image, name, NOTHING[name]), before)
        assert np.array_equal(image, before)


def test_only_these_have_no_neutral_parameter():
    assert set(OPERATIONS) - set(NOTHING) == {"autocontrast", "equalize", "invert", "stain", "blur", "jpeg"}


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(bits):
    assert np.array_equal(once(CELLS[0], "posterize", bits), ImageOps.posterize(Image.fromarray(CELLS[0]), bits))


@pytest.mark.parametrize("threshold", [0, 1, 77, 128, 200, 255, 256])
def test_solarize_is_pillows(threshold):
    expected = ImageOps.solarize(Image.fromarray(CELLS[0]), threshold)
    assert np.array_equal(once(CELLS[0], "solarize", threshold), expected)


@pytest.mark.parametrize("name", ["equalize", "invert"])
def test_equalize_and_invert_are_pillows(name, rng):
    for image in (*CELLS, random_picture(rng), np.full((8, 8, 3), 9, np.uint8), CELLS[0] // 64 * 64):
        assert np.array_equal(once(image, name, 0), getattr(ImageOps, name)(Image.fromarray(image)))


def test_autocontrast_is_pillows_to_one_value():
    for image in (*CELLS, CELLS[0] // 3 + 40, np.full((8, 8, 3), 9, np.uint8)):
        ours = once(image, "autocontrast", 0)
        assert difference(ours, ImageOps.autocontrast(Image.fromarray(image))).max() <= 1
    assert (ours == 9).all()


@pytest.mark.parametrize("addition", [0.4, 30, 110])
def test_solarize_add_brightens_dark_values_only(addition):
    image = CELLS[1]
    expected = [value if value >= 128 else min(255, round(value + addition)) for value in image.ravel().tolist()]
    assert once(image, "solarize_add", addition).ravel().tolist() == expected


@pytest.mark.parametrize(("addition", "threshold"), [(44, 154), (82.5, 64), (110, 0)])
def test_brighten_solarize_brightens_before_it_inverts(addition, threshold):
    image = CELLS[1]
    brightened = np.clip(np.rint(image.astype(float) + addition), 0, 255)
    expected = np.where(brightened >= threshold, 255 - brightened, brightened)
    assert np.array_equal(once(image, "brighten_solarize", (addition, threshold)), expected)


@pytest.mark.parametrize("shift", [-200.0, -12.3, 90.0])
def test_brightness_adds_and_clips(shift):
    expected = np.clip(np.rint(CELLS[2] + shift), 0, 255)
    assert np.array_equal(once(CELLS[2], "brightness", shift), expected)


def test_channel_shift_adds_to_each_channel_its_own():
    shift = np.array([-40.0, 0.0, 25.0])
    assert np.array_equal(once(CELLS[2], "channel_shift", shift), np.clip(np.rint(CELLS[2] + shift), 0, 255))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
def test_contrast_stretches_about_the_images_mean(factor):
    image = CELLS[3]
    expected = np.clip(image.mean() + factor * (image - image.mean()), 0, 255)
    assert np.abs(once(image, "contrast", factor) - expected).max() <= 0.51


@pytest.mark.parametrize("name", ["autocontrast", "equalize", "contrast"])
def test_a_histogram_is_pushed_through_the_tables_before_it(name):
    for first in (
        ("solarize", 150),
        ("posterize", 3),
        ("brightness", -70.0),
        ("channel_shift", np.array([60, 0, -60])),
    ):
        steps = [first, (name, 1.5)]
        apart = difference(program.run(CELLS[4], steps), once(once(CELLS[4], *first), name, 1.5))
        assert apart.max() <= (1 if name == "contrast" else 0), first


def test_tables_of_a_batch_do_not_see_each_other():
    tables = np.stack([IDENTITY_TABLE] * 3)
    histograms = np.stack([operations.histogram(image) for image in CELLS[:3]])
    for function in (operations.autocontrast, operations.equalize):
        together = function(tables, None, histograms)
        for i in range(3):
            assert np.array_equal(together[i], function(tables[i : i + 1], None, histograms[i : i + 1])[0])


def test_histogram_counts_every_value_of_every_channel(rng):
    image = random_picture(rng)
    expected = [np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)]
    assert np.array_equal(operations.histogram(image), expected)


# --- affine -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-30, 7.5, 30, 90, 180])
def test_rotate_is_pillows_but_for_rounding(degrees):
    image = CELLS[5]
    expected = np.asarray(Image.fromarray(image).rotate(-degrees, resample=Image.Resampling.BILINEAR))
    apart = difference(once(image, "rotate", degrees), expected)[25:-25, 25:-25]
    assert apart.max() <= 2
    assert difference(once(image, "rotate", degrees), image).mean() > 3


@pytest.mark.parametrize(("share", "pixels"), [(0.25, 24), (-0.1, -10), (0.45, 43)])
def test_translations_shift_by_whole_pixels_exactly(share, pixels):
    image = CELLS[0]
    expected = np.zeros_like(image)
    if pixels > 0:
        expected[:, :-pixels] = image[:, pixels:]
    else:
        expected[:, -pixels:] = image[:, :pixels]
    assert np.array_equal(once(image, "translate_x", share), expected)
    turned = np.ascontiguousarray(image.swapaxes(0, 1))
    assert np.array_equal(once(turned, "translate_y", share), expected.swapaxes(0, 1))


@pytest.mark.parametrize(("pivot", "row"), [(-1, -0.5), (0, 47.5), (1, 95.5)])
def test_shears_hold_the_pivots_row_still_and_move_the_others_in_proportion(pivot, row):
    matrix = operations.shear_x((0.3, pivot), 96, 96)
    for y in (0, 30, 95):
        # A point of the result straight below the centre, and the column that it shows.
        column = matrix @ [0, y - 47.5, 1]
        assert column == pytest.approx([0.3 * (y - row), y - 47.5])
    assert np.allclose(operations.shear_y((0.3, pivot), 96, 96)[::-1, [1, 0, 2]], matrix)


# --- pixels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.8])
def test_saturation_is_pillows_color_but_for_rounding(factor):
    expected = ImageEnhance.Color(Image.fromarray(CELLS[1])).enhance(factor)
    assert difference(once(CELLS[1], "saturation", factor), expected).max() <= 2
    exact = factor * CELLS[1].astype(float) + (1 - factor) * (CELLS[1] @ LUMA.astype(float))[..., None]
    assert np.abs(once(CELLS[1], "saturation", factor) - np.clip(exact, 0, 255)).max() <= 0.8  # fixed point


def test_hue_turns_about_the_grey_axis():
    image = CELLS[1]
    third = once(image, "hue", 2 * np.pi / 3)
    assert difference(third, image[..., [2, 0, 1]]).max() <= 1
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert difference(once(grey, "hue", 1.1), grey).max() <= 1


def test_channel_shuffle_reorders():
    for order in ((2, 1, 0), (1, 2, 0), (0, 2, 1)):
        assert np.array_equal(once(CELLS[0], "channel_shuffle", order), CELLS[0][..., list(order)])


def test_stain_scales_the_amounts_of_the_three_dyes():
    image, factors = CELLS[2], (1.3, 0.8, 1.1)
    density = -np.log(np.maximum(image, 1) / 255.0)
    amounts = density @ np.linalg.inv(STAINS.astype(float))
    expected = np.clip(255 * np.exp(-(amounts * factors) @ STAINS), 0, 255)
    assert np.abs(once(image, "stain", factors) - expected).max() <= 0.6
    assert difference(once(image, "stain", (1, 1, 1)), np.maximum(image, 1)).max() <= 1
    white = np.full((4, 4, 3), 255, np.uint8)
    assert np.array_equal(once(white, "stain", factors), white)


# --- image ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_sharpness_is_pillows_inside(factor):
    expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(CELLS[3])).enhance(factor))
    apart = difference(once(CELLS[3], "sharpness", factor), expected)[1:-1, 1:-1]
    assert apart.max() <= 2


def test_every_operation_takes_oblong_pictures_and_keeps_their_shape_and_type(rng):
    parameters = NOTHING | {
        "autocontrast": 0,
        "equalize": 0,
        "invert": 0,
        "stain": (1.2, 0.9, 1.0),
        "blur": ("disk", 0.05, 0.0),
        "jpeg": 30,
        "rotate": 20,
        "shear_y": (0.4, 0.5),
        "translate_y": 0.2,
        "pixelate": 0.3,
    }
    for shape in ((24, 40), (41, 17)):
        image = random_picture(rng, *shape)
        for name, parameter in parameters.items():
            result = once(image, name, parameter)
            assert result.shape == image.shape, name
            assert result.dtype == np.uint8, name


def test_opencv_keeps_to_one_thread():
    assert cv2.getNumThreads() == 1
