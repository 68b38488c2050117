"""keras_cv's RandAugment on files of images, in a process of its own (its import takes seconds and brings TensorFlow).

    python -m build.score.corruptions.keras_cv_randaugment '[["IMAGES.npy", "OUT.npy", [3, 0.4], 7]]'

Each job writes OUT.npy, uint8 of IMAGES' shape; the level is (operations an image, magnitude 0..1). The operations of
an image are chosen by keras_cv from the seed and the image's position in the file. The same job gives the same bytes.
"""

import json
import os
import sys

import numpy as np

BATCH = 64


def augment(source: str, target: str, level: list, seed: int) -> None:
    """Read IMAGES batch by batch, augment, write OUT."""
    import keras_cv
    import tensorflow as tf

    count, magnitude = level
    images = np.load(source, mmap_mode="r")
    tf.random.set_seed(seed)
    layer = keras_cv.layers.RandAugment(
        value_range=(0, 255), augmentations_per_image=count, magnitude=magnitude, seed=seed
    )
    out = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=images.shape)
    for start in range(0, len(images), BATCH):
        batch = layer(tf.constant(images[start : start + BATCH], tf.float32), training=True)
        out[start : start + BATCH] = np.clip(np.rint(np.asarray(batch)), 0, 255).astype(np.uint8)
    out.flush()


def main(jobs: str) -> None:
    """Do all jobs in one process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    # One thread: stateful random operations of a parallel map would otherwise draw in another order in every run.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for job in json.loads(jobs):
        augment(*job)


if __name__ == "__main__":
    main(sys.argv[1])
