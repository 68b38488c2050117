"""What keras' fit and evaluate read batches from: on TensorFlow a pipeline without autotuning.

    model.fit(feed(batches), shuffle=False)

Keras would make the same pipeline with autotuning, for which TensorFlow keeps a thread that sleeps between two measurements, in a long
epoch for a minute. When the pipeline was taken down that thread at times slept on, and the training waited for it: an epoch of 85 seconds
then took 95 or 145 (LOG.md, 2026-11-27). There is nothing here to tune.
"""

import keras

AHEAD = 2
"""Batches that TensorFlow holds ready; making them is the dataset's own affair."""


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
    return fed.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(AHEAD).with_options(options)
