"""Batches: every row once an epoch, the same bytes by seed and epoch and whatever the threads, bounded memory."""

import dataclasses
import threading

import numpy as np
import pytest

from build.augment.pipeline import Augmentation
from build.recipes import find
from build.train.batches import Batches, Plain
from build.train.feed import MADE
from build.train.streams import PERTURB, TRAIN, generator

COUNT, CLASSES = 70, 8


@pytest.fixture(scope="module")
def cells():
    """Images whose first pixel is their row."""
    images = np.random.default_rng(0).integers(60, 200, (COUNT, 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(COUNT)
    return images, np.arange(COUNT) % CLASSES


def batches_of(cells, rows=None, *, augmentation=None, **settings):
    settings = {"batch": 16, "seed": 0, "stream": TRAIN, "shuffle": True} | settings
    rows = np.arange(COUNT) if rows is None else rows
    return Batches(*cells, rows, augmentation=augmentation or Plain(CLASSES), **settings)


def rows_of(batches):
    with batches:
        return [batches[index][0][:, 0, 0, 0].tolist() for index in range(len(batches))]


def bytes_of(batches):
    with batches:
        return [tuple(array.tobytes() for array in batches[index]) for index in range(len(batches))]


STRONG = Augmentation(dataclasses.replace(find("podium"), mixup_alpha=0.2), classes=CLASSES)


def test_a_shuffled_epoch_shows_each_row_at_most_once_in_whole_batches(cells):
    found = rows_of(batches_of(cells))
    assert [len(batch) for batch in found] == [16] * 4
    flat = np.concatenate(found).tolist()
    assert len(set(flat)) == 64


def test_what_one_epoch_leaves_over_comes_in_another(cells):
    seen = set()
    for epoch in range(6):
        seen |= set(np.concatenate(rows_of(batches_of(cells, epoch=epoch))).tolist())
    assert seen == set(range(COUNT))


def test_an_unshuffled_epoch_shows_every_row_in_order_with_a_smaller_last_batch(cells):
    found = rows_of(batches_of(cells, shuffle=False, stream=PERTURB))
    assert [len(batch) for batch in found] == [16, 16, 16, 16, 6]
    assert np.concatenate(found).tolist() == list(range(COUNT))


def test_repeated_rows_are_shown_as_often_as_they_are_named(cells):
    (found,) = rows_of(batches_of(cells, np.array([3, 3, 3, 5]), batch=4))
    assert sorted(found) == [3, 3, 3, 5]


def test_labels_stay_with_their_images(cells):
    with batches_of(cells) as batches:
        for index in range(len(batches)):
            x, y = batches[index]
            assert x.dtype == np.uint8
            assert y.dtype == np.float32
            assert y.shape == (16, CLASSES)
            np.testing.assert_array_equal(y.argmax(1), x[:, 0, 0, 0] % CLASSES)


def test_copies_stay_with_their_rows(cells):
    seen = {}

    class Notes(Plain):
        def batch(self, images, labels, copy, *, rng, side):
            seen.update(zip(images[:, 0, 0, 0].tolist(), copy.tolist(), strict=True))
            return super().batch(images, labels, copy, rng=rng, side=side)

    copy = np.arange(COUNT) % 3 == 0
    rows_of(batches_of(cells, copy=copy, augmentation=Notes(CLASSES)))
    assert len(seen) == 64
    assert all(flag == (row % 3 == 0) for row, flag in seen.items())


def test_the_order_depends_on_seed_and_epoch_alone(cells):
    first = rows_of(batches_of(cells))
    assert rows_of(batches_of(cells)) == first
    assert rows_of(batches_of(cells, epoch=1)) != first
    assert rows_of(batches_of(cells, seed=1)) != first


def test_the_number_of_threads_does_not_change_a_byte(cells):
    expected = bytes_of(batches_of(cells, augmentation=STRONG, workers=1, epoch=2))
    for workers in (2, 5):
        assert bytes_of(batches_of(cells, augmentation=STRONG, workers=workers, epoch=2)) == expected
    backwards = batches_of(cells, augmentation=STRONG, epoch=2)
    made = [backwards.make(index) for index in reversed(range(len(backwards)))]
    assert [tuple(array.tobytes() for array in batch) for batch in made[::-1]] == expected


def test_every_epoch_draws_another_augmentation(cells):
    rows = np.zeros(16, int)  # the same image throughout, so that the order cannot make the difference
    images = [batches_of(cells, rows, augmentation=STRONG, epoch=epoch).make(0)[0] for epoch in (0, 1)]
    assert (images[0] != images[1]).any()
    assert len({image.tobytes() for image in images[0]}) > 12


def test_purposes_draw_different_numbers():
    draws = {generator(0, stream, 0, 0).integers(2**60) for stream in range(5)}
    assert len(draws) == 5


def test_views_of_an_image_come_side_by_side(cells):
    augmentation = Augmentation(
        dataclasses.replace(find("podium"), jsd_weight=12.0, geometry_probability=0.0), classes=CLASSES
    )
    with batches_of(cells, augmentation=augmentation, side=24) as batches:
        x, y = batches[0]
    assert x.shape == (16, 3, 24, 24, 3)
    assert y.shape == (16, CLASSES)
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(y, np.eye(CLASSES)[cells[1][batches.rows[:16]]])
    assert (x[:, 0] != x[:, 1]).any()
    # Each image's views are nearer to each other than to the neighbour's plain view.
    own = np.abs(x[:, 0].astype(int) - x[:, 1]).mean((1, 2, 3))
    other = np.abs(np.roll(x[:, 0], 1, axis=0).astype(int) - x[:, 1]).mean((1, 2, 3))
    assert np.median(own) < np.median(other)


def test_limit_shortens_an_epoch_to_its_first_batches(cells):
    whole = rows_of(batches_of(cells))
    assert rows_of(batches_of(cells, limit=2)) == whole[:2]


def test_a_batch_larger_than_the_rows_is_all_of_them(cells):
    assert [len(batch) for batch in rows_of(batches_of(cells, np.arange(5), batch=64))] == [5]


def test_few_batches_are_held_at_once_and_threads_end(cells):
    held = []
    with batches_of(cells, batch=2, workers=2) as batches:
        for index in range(len(batches)):
            batches[index]
            held.append(len(batches._futures))
    assert len(held) == 35
    assert max(held) <= MADE + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_an_error_in_a_thread_reaches_the_reader(cells):
    class Broken(Plain):
        def batch(self, images, labels, copy, *, rng, side):
            raise ValueError("broken on purpose")

    with batches_of(cells, augmentation=Broken(CLASSES)) as batches, pytest.raises(ValueError, match="on purpose"):
        batches[0]
