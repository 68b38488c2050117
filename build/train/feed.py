"""What keras' fit and evaluate read batches from: made ahead in threads, on TensorFlow through a pipeline without autotuning.

    class Batches(ReadAhead): ...
    model.fit(feed(batches), shuffle=False)

Keras would make the same pipeline with autotuning, for which TensorFlow keeps a thread that sleeps between two measurements, in a long
epoch for a minute. When the pipeline was taken down that thread at times slept on, and the training waited for it: an epoch of 85 seconds
then took 95 or 145 (LOG.md, 2026-11-27). There is nothing here to tune.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import keras
import numpy as np

MADE = 8
"""Batches that are made before they are asked for, or two for each thread, as none shall wait: 64 images of 96 px are 1.8 MB, so this is
small against any network."""
READ = 2
"""Of them, batches that TensorFlow holds ready."""


class ReadAhead(keras.utils.PyDataset):
    """Batches that threads make ahead of their reader, in order. A context manager: its end stops the threads."""

    def __init__(self, workers: int):
        """workers: threads. Keras' own (PyDataset(workers=n)) take a tenth of a second to stop, and an early break does not stop them."""
        super().__init__(workers=1)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
        self._ahead = max(MADE, 2 * workers)
        self._futures: dict[int, Future] = {}
        self._open = True

    def make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Make batch `index`, x and y, in the calling thread."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not self._open:
            return self.make(index)  # a reader that is ahead of a `fit` that was stopped
        for ahead in range(index, min(index + self._ahead, len(self))):
            if ahead not in self._futures:
                self._futures[ahead] = self._pool.submit(self.make, ahead)
        result = self._futures[index].result()
        # keras looks at the first two batches before it starts over: they are kept until the third.
        for old in [old for old in self._futures if old < index - 1]:
            del self._futures[old]
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads; batches that nobody asked for are dropped."""
        self._open = False
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._futures.clear()  # TensorFlow keeps what it once read from until the process ends


def feed(batches: keras.utils.PyDataset):
    """The batches of a dataset that makes them itself, each a tuple of arrays, as keras reads them fastest; at least one."""
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    def one_after_another():
        for index in range(len(batches)):
            yield batches[index]

    options = tf.data.Options()
    options.autotune.enabled = False
    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0])
    fed = tf.data.Dataset.from_generator(one_after_another, output_signature=signature)
    return fed.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(READ).with_options(options)
