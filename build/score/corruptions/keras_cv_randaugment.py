"""keras_cv's RandAugment on files of images, in a process of its own (its import takes seconds and brings TensorFlow).

    python -m build.score.corruptions.keras_cv_randaugment '[["IMAGES.npy", "OUT.npy", [3, 0.4], 7]]'

Each job writes OUT.npy, uint8 of IMAGES' shape; the level is (operations an image, magnitude 0..1). The operations of
an image are chosen by keras_cv from the seed and the image's position in the file. The same job gives the same bytes.
"""

import functools
import json
import os
import sys

import numpy as np

BATCH = 64


def augment(source: str, target: str, level: list, seed: int) -> None:
    """Read IMAGES batch by batch, augment, write OUT."""
    import keras
    import keras_cv
    import tensorflow as tf

    class Ordered(keras_cv.layers.RandAugment):
        """One image after the other: in parallel they would draw in another order in every run."""

        @property
        def _map_fn(self):
            return functools.partial(tf.map_fn, parallel_iterations=1)

    count, magnitude = level
    images = np.load(source, mmap_mode="r")
    keras.utils.set_random_seed(seed)  # some of its layers take their seed from Python's generator
    layer = Ordered(value_range=(0, 255), augmentations_per_image=count, magnitude=magnitude, seed=seed)

    # A graph, traced once for batches of any size: 40 times the images/s of the layer called eagerly.
    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.float32)])
    def apply(batch):
        return layer(batch, training=True)

    out = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=images.shape)
    for start in range(0, len(images), BATCH):
        batch = apply(tf.constant(images[start : start + BATCH], tf.float32))
        out[start : start + BATCH] = np.clip(np.rint(np.asarray(batch)), 0, 255).astype(np.uint8)
    out.flush()


def main(jobs: str) -> None:
    """Do all jobs in one process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    # One thread between operations: those that draw from one generator keep their order.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for job in json.loads(jobs):
        augment(*job)


if __name__ == "__main__":
    main(sys.argv[1])
