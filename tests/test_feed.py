"""What keras reads batches from."""

import keras
import numpy as np
import pytest

from build.train.feed import feed


class Numbered(keras.utils.PyDataset):
    """Three batches of four, four and two images whose pixels are the number of the batch."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        count = 2 if index == 2 else 4
        return np.full((count, 8, 8, 3), index, np.uint8), np.full((count, 5), index, np.float32)


@pytest.fixture
def fed():
    return feed(Numbered())


def test_all_batches_come_in_order_as_often_as_they_are_read(fed):
    for _ in range(2):
        read = [(x.numpy(), y.numpy()) for x, y in fed]
        assert [x.shape for x, _ in read] == [(4, 8, 8, 3), (4, 8, 8, 3), (2, 8, 8, 3)]
        assert [(int(x.max()), float(y.max())) for x, y in read] == [(0, 0.0), (1, 1.0), (2, 2.0)]
        assert {(x.dtype, y.dtype) for x, y in read} == {(np.dtype("uint8"), np.dtype("float32"))}


def test_nothing_is_tuned_and_the_length_is_known(fed):
    assert fed.options().autotune.enabled is False  # else an epoch's end waits for a sleeping thread
    assert int(fed.cardinality()) == 3


def test_other_backends_read_the_dataset_itself(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    batches = Numbered()
    assert feed(batches) is batches
