"""What the competition asks for, checked on the way in and on the way out."""

import numpy as np
import pytest

from submission.contract import CLASSES, IMAGE_SHAPE, PIXEL_MAX, check_images


def test_the_contract_is_the_competitions():
    assert IMAGE_SHAPE == (96, 96, 3)
    assert len(CLASSES) == len(set(CLASSES)) == 8
    assert PIXEL_MAX == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_images_of_any_number_dtype_pass_without_a_copy(dtype, count):
    images = np.zeros((count, *IMAGE_SHAPE), dtype)
    assert check_images(images) is images
    view = images[:, ::-1, ::-1]
    assert check_images(view) is view


def test_a_list_of_images_passes():
    assert check_images([np.zeros(IMAGE_SHAPE, np.uint8)] * 2).shape == (2, *IMAGE_SHAPE)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros(IMAGE_SHAPE),
        np.zeros((2, 3, 96, 96)),
        np.zeros((2, 96, 96)),
        np.zeros((2, 96, 96, 4)),
        np.zeros((2, 95, 96, 3)),
        np.zeros(0),
    ],
)
def test_images_of_another_shape_are_refused_with_the_shape_in_the_sentence(images):
    with pytest.raises(ValueError, match=r"expects images of shape \(n, 96, 96, 3\)") as caught:
        check_images(images)
    assert str(images.shape) in str(caught.value)


@pytest.mark.parametrize("dtype", ["S1", "O", "bool", "complex64"])
def test_pixels_that_are_no_numbers_are_refused(dtype):
    with pytest.raises(ValueError, match="expects uint8 or float pixels"):
        check_images(np.zeros((1, *IMAGE_SHAPE), dtype))
