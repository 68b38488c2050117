"""Views and their deadline: each view is what it says, and the number falls only where the time would not suffice."""

import cv2
import numpy as np
import pytest

from submission.views import COUNTS, RECENT, SYMMETRIES, ZOOM, Deadline, cropping, views, zoomed


def test_the_first_eight_views_are_the_symmetries_of_a_square_and_the_next_eight_those_of_its_middle(rng):
    pixels = rng.integers(0, 256, (3, 24, 24, 3), np.uint8)
    found = list(views(pixels, 16))
    assert len({view.tobytes() for view in found}) == 16
    turns = [np.rot90(side, turn, axes=(1, 2)) for side in (pixels, pixels[:, :, ::-1]) for turn in range(4)]
    assert {view.tobytes() for view in found[:8]} == {turn.tobytes() for turn in turns}
    for view, near in zip(found[8:], found[:8], strict=True):
        np.testing.assert_allclose(view, zoomed(near), atol=1e-3)
    assert [view.dtype.name for view in found] == ["uint8"] * 8 + ["float32"] * 8
    assert all(view.flags.c_contiguous for view in found)
    assert len(SYMMETRIES) == 8


@pytest.mark.parametrize("count", COUNTS[:4])
def test_fewer_views_are_the_first_of_them_and_a_group(count, rng):
    pixels = rng.integers(0, 256, (1, 8, 8, 3), np.uint8)
    first = {view.tobytes() for view in views(pixels, count)}
    assert len(first) == count
    for view in views(pixels, count):
        assert {other.tobytes() for other in views(view, count)} == first


def test_oblong_images_can_be_flipped(rng):
    assert [view.shape for view in views(rng.integers(0, 256, (2, 8, 6, 3), np.uint8), 4)] == [(2, 8, 6, 3)] * 4


@pytest.mark.parametrize("shape", [(2, 96, 96, 3), (1, 50, 31, 1)])
def test_zooming_is_a_bilinear_resize_of_the_middle(shape, rng):
    images = rng.integers(0, 256, shape).astype(np.uint8)
    found = zoomed(images)
    assert found.shape == shape
    assert found.dtype == np.float32
    height, width = shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, ZOOM)
    for image, larger in zip(images, found, strict=True):
        expected = cv2.warpAffine(image.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
        # OpenCV rounds positions to 1/32 pixel.
        assert np.abs(larger - expected.reshape(larger.shape)).mean() < 1.5
    np.testing.assert_allclose(zoomed(np.full(shape, 77, np.uint8)), 77, atol=1e-3)
    np.testing.assert_allclose(cropping(width, 1 / ZOOM).sum(axis=1), 1, atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= 255.001


def answered(deadline: Deadline, images: int, batch: int, seconds: float) -> list[int]:
    """Views of each batch when one view of one image takes `seconds`."""
    counts = []
    for left in range(images, 0, -batch):
        size = min(batch, left)
        counts.append(deadline.views(left))
        for _ in range(counts[-1]):
            deadline.spend(seconds * size, size)
    return counts


def test_without_a_deadline_and_in_good_time_every_batch_has_the_wanted_views():
    assert answered(Deadline(None, 8), 100, 10, 1e6) == [8] * 10
    assert answered(Deadline(100 * 8 * 0.1 + 1, 8), 100, 10, 0.1) == [8] * 10


def test_late_batches_have_fewer_views_and_the_time_is_kept():
    for seconds in (20, 35, 50, 79):
        counts = answered(Deadline(seconds, 16), 100, 10, 0.1)
        assert counts[0] == 16  # nothing is known before the first batch
        assert set(counts[1:]) < {1, 2, 4, 8}
        assert sum(10 * count * 0.1 for count in counts) <= max(seconds, 16 + 9)
    assert answered(Deadline(20, 16), 100, 10, 0.1)[1:] == [1] * 9


def test_there_is_always_one_view_and_calls_share_the_time():
    deadline = Deadline(10, 4)
    assert answered(deadline, 20, 10, 0.1) == [4, 4]
    assert answered(deadline, 20, 10, 0.1) == [1, 1]
    assert answered(deadline, 20, 10, 9.9) == [1, 1]


@pytest.mark.parametrize("size", [1, 7])
def test_a_server_that_calls_with_few_images_has_all_answers_in_time_too(size):
    spent = {}
    for expected in (0, 100):
        deadline, spent[expected] = Deadline(30, 8, expected=expected), 0.0
        for start in range(0, 100, size):
            now = min(size, 100 - start)
            (count,) = answered(deadline, now, now, 0.1)
            deadline.answered(now)
            spent[expected] += count * now * 0.1
    assert spent[0] > 30 >= spent[100]


def test_of_more_images_than_were_expected_those_of_the_call_are_left():
    more = Deadline(100, 8, expected=10)
    more.answered(10)
    assert answered(more, 100, 10, 0.1) == answered(Deadline(100, 8), 100, 10, 0.1)
    assert answered(Deadline(100, 8, expected=500), 100, 10, 0.1) == [8] + [1] * 9


def test_the_first_view_is_not_what_the_next_ones_are_expected_to_take():
    deadline = Deadline(30, 8)
    deadline.spend(20, 10)  # traces the network
    for _ in range(7):
        deadline.spend(0.01, 10)
    assert deadline.views(100) == 8
    # A hiccup is not either.
    deadline.spend(5, 10)
    assert deadline.views(100) == 8
    for _ in range(RECENT):
        deadline.spend(0.1, 10)
    assert deadline.views(100) == 1
