"""The process in which tfmot works: `python -m build.compress.tfmot_job '{"run": ..., "values": 16, ...}'`.

The job (one JSON argument) has run (a folder), zeros (share, 0: no pruning), values (0: no clustering), steps of fine-tuning a stage, and
out, the file of weights to write. One line "step k" a step goes to standard output. Pruning comes before clustering, which then keeps
the zeros. Kernels of Dense and Conv2D layers only: tfmot has nothing for depthwise ones. Masks and centroids hold exactly in the result.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from build.compress.bridge import twin, weights_of
from build.compress.learning import TEMPERATURE, Lessons, lessons_of, still
from build.errors import UserError
from build.runs import Run
from build.train.streams import PRUNE, generator
from submission import weights

RAMP = 0.6
"""Share of the steps over which the zeros grow to their number."""
FIRST_ZEROS = 0.3
"""Share of the wanted zeros that the first step has."""


def distance(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """As build/compress/fine_tune.py's, in TensorFlow."""
    target = tf.nn.softmax(teacher / TEMPERATURE)
    return TEMPERATURE**2 * tf.nn.softmax_cross_entropy_with_logits(target, student / TEMPERATURE)


def wrapped(model: tf_keras.Model, wrap: Callable) -> tf_keras.Model:
    """The model with its dense layers and plain convolutions wrapped; the others are the same objects."""
    plain = (tf_keras.layers.Dense, tf_keras.layers.Conv2D)
    return tf_keras.models.clone_model(
        model, clone_function=lambda layer: wrap(layer) if type(layer) in plain else layer
    )


def batches(lessons: Lessons, steps: int, stage: int) -> Iterator[np.ndarray]:
    """`steps` augmented batches, uint8 (B, H, W, 3); an epoch's order, begun anew where it ends."""
    order = generator(lessons.seed, PRUNE, stage).permutation(len(lessons.rows))
    for step in range(steps):
        chosen = order[np.arange(step * lessons.batch, (step + 1) * lessons.batch) % len(order)]
        rows = lessons.rows[chosen]
        rng = generator(lessons.seed, PRUNE, stage, step)
        yield lessons.augmentation.batch(
            np.asarray(lessons.images[rows]), lessons.labels[rows], lessons.copy[chosen], rng=rng
        )[0]


def fit(model: tf_keras.Model, teacher: tf_keras.Model, lessons: Lessons, steps: int, stage: int, callbacks=()) -> None:
    """Fine-tune a wrapped model against the teacher's answers; tfmot's callbacks get what they need."""
    rate = tf_keras.optimizers.schedules.CosineDecay(lessons.learning_rate, steps)
    model.compile(tf_keras.optimizers.Adam(rate, clipnorm=1.0), loss=distance)
    answer = tf.function(lambda x: teacher(tf.cast(x, tf.float32), training=False))
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    for number, x in enumerate(batches(lessons, steps, stage)):
        for callback in callbacks:
            callback.on_train_batch_begin(number)
        loss = model.train_on_batch(x, answer(x))
        if not np.isfinite(loss):
            raise SystemExit(f"the fine-tuning diverged in step {number + 1}; lower the recipe's learning rate")
        print(f"step {number + 1}", flush=True)
    for callback in callbacks:
        callback.on_epoch_end(0)


def prune(model, teacher, lessons: Lessons, zeros: float, steps: int) -> tf_keras.Model:
    """Magnitude pruning (Zhu and Gupta 2017, "To prune, or not to prune"): zeros grow by a cubic ramp, then stay."""
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        FIRST_ZEROS * zeros, zeros, 0, max(1, int(RAMP * steps)), frequency=max(1, steps // 20)
    )
    pruned = wrapped(model, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule))
    fit(pruned, teacher, lessons, steps, 0, [tfmot.sparsity.keras.UpdatePruningStep()])
    return tfmot.sparsity.keras.strip_pruning(pruned)


def cluster(model, teacher, lessons: Lessons, count: int, steps: int, *, keep_zeros: bool) -> tf_keras.Model:
    """Weight clustering (Han et al. 2016, "Deep compression", section 3): shared values that learn."""
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster as sparsity_preserving

    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    settings = {"number_of_clusters": count, "cluster_centroids_init": start}

    def wrap(layer):
        if keep_zeros:
            return sparsity_preserving.cluster_weights(layer, preserve_sparsity=True, **settings)
        return tfmot.clustering.keras.cluster_weights(layer, **settings)

    clustered = wrapped(model, wrap)
    fit(clustered, teacher, lessons, steps, 1)
    return tfmot.clustering.keras.strip_clustering(clustered)


def main(job: dict) -> None:
    """Do one job."""
    run = Run.open(job["run"])
    lessons = lessons_of(run)
    arrays, meta = weights.load(run.weights_path)
    tf_keras.utils.set_random_seed(lessons.seed)
    spec = still(meta["spec"])
    teacher, model = twin(spec, arrays), twin(spec, arrays)
    if job["zeros"]:
        model = prune(model, teacher, lessons, job["zeros"], job["steps"])
    if job["values"]:
        model = cluster(model, teacher, lessons, job["values"], job["steps"], keep_zeros=bool(job["zeros"]))
    weights.save(Path(job["out"]), weights_of(model), meta, storage="float32")


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except UserError as error:
        sys.exit(str(error))
