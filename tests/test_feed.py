"""What keras reads batches from."""

import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest
import toy_cells

from build.train.classifier import Classifier
from build.train.feed import ReadAhead, feed
from build.train.fit import train


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


def test_batches_that_were_read_are_not_held_when_their_epoch_is_over():
    """TensorFlow keeps what a pipeline reads from: what that holds stays for the whole training."""

    class Made(ReadAhead):
        def __len__(self):
            return 5

        def make(self, index):
            made = np.full((4, 8, 8, 3), index, np.uint8), np.zeros((4, 5), np.float32)
            seen.append(weakref.ref(made[0]))
            return made

    seen = []
    with Made(workers=2) as batches:
        assert [int(x.numpy().max()) for x, _ in feed(batches)] == [0, 1, 2, 3, 4]
    gc.collect()
    assert len(seen) == 5
    assert not any(made() is not None for made in seen)


@pytest.mark.parametrize(("workers", "ahead"), [(2, 8), (15, 30)])
def test_every_thread_of_a_large_machine_has_a_batch_to_make(workers, ahead):
    """Were only eight batches made at once, more threads than eight would wait for the reader."""

    class Long(ReadAhead):
        def __len__(self):
            return 100

        def make(self, index):
            asked.append(index)
            return np.zeros(1), np.zeros(1)

    asked = []
    with Long(workers) as batches:
        batches[0]
        batches._pool.shutdown(wait=True)
    assert sorted(asked) == list(range(ahead))


def test_nothing_is_tuned_and_the_length_is_known(fed):
    assert fed.options().autotune.enabled is False  # else an epoch's end waits for a sleeping thread
    assert int(fed.cardinality()) == 3


def test_other_backends_read_the_dataset_itself(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    batches = Numbered()
    assert feed(batches) is batches


def test_a_training_reads_all_its_batches_so(tmp_path, monkeypatch):
    seen = {"fit": [], "evaluate": []}
    for name, given in seen.items():
        original = getattr(Classifier, name)

        def watched(self, x, *args, given=given, original=original, **kwargs):
            given.append(x.options().autotune.enabled)
            return original(self, x, *args, **kwargs)

        monkeypatch.setattr(Classifier, name, watched)
    train(dataclasses.replace(toy_cells.RECIPE, epochs=2), toy_cells.prepared(), seed=0, root=tmp_path)
    assert seen == {"fit": [False] * 2, "evaluate": [False] * 4}
