"""A short fine-tuning of rounded kernels against the unrounded network's answers, with the straight-through estimator.

    palettes, vectors = fine_tune(arrays, spec, steps, batches, learning_rate=2e-4)

Every step the kernels are set to the grid's nearest points, the gradient is taken there, and the update goes to unrounded copies
(Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons", section 4), whose nearest points are what ships. The
update is read off the variables before and after the step, so any optimizer on any Keras backend will do, and nothing is wrapped.

The target is the answer of the unrounded network to the same augmented images (Hinton et al. 2015, "Distilling the knowledge in a neural
network"): the compressed network is to be the same function, not a better one, and a few hundred steps do not overfit to it.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from build.compress import values
from build.compress.learning import TEMPERATURE, still
from build.console import bar
from build.train.checkpoint import snapshot
from submission.network import assign, build, kernels, variables
from submission.weights import Palette


def distance(teacher, student):
    """Cross-entropy of softened answers, (B, K) logits each -> (B,), scaled so that its gradient does not depend on the temperature."""
    target = ops.softmax(teacher / TEMPERATURE)
    return -(TEMPERATURE**2) * ops.sum(target * ops.log_softmax(student / TEMPERATURE), axis=-1)


def fine_tune(
    arrays: dict[str, np.ndarray],
    spec: dict,
    steps: dict[str, float],
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    learning_rate: float,
    title: str = "fine-tuning",
) -> tuple[dict[str, Palette], dict[str, np.ndarray]]:
    """Fine-tune the network of `spec` on its grids.

    Args:
        arrays: all its weights by name.
        spec: of the network; its dropout and stochastic depth are left out.
        steps: the grid's step of each kernel (values.scales).
        batches: (x uint8 (B, H, W, 3), anything) by number; all of them are used once.
        learning_rate: Adam's at first; it falls to 0 by half a cosine.
        title: of the progress bar.

    Returns the kernels, and all other weights as float32.

    """
    teacher, student = build(spec, initialize=False), build(still(spec), initialize=False)
    assign(teacher, arrays)
    assign(student, arrays)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, max(1, len(batches)))
    student.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss=distance, jit_compile=False)
    targets = kernels(student)
    scale = {name: values.scales(arrays[name], steps[name]) for name in targets}
    free = {name: arrays[name].astype(np.float32) for name in targets}
    with bar(title, len(batches), "steps") as advance:
        for number in range(len(batches)):
            x = batches[number][0]
            before = {name: values.indices(free[name], scale[name]) * scale[name] for name in targets}
            for name, target in targets.items():
                target.assign(before[name])
            loss = float(student.train_on_batch(x, teacher.predict_on_batch(x)))
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the fine-tuning diverged in step {number + 1}; lower the recipe's learning rate"
                )
            for name, after in zip(targets, snapshot(list(targets.values())), strict=True):
                free[name] += after - before[name]
            advance()
    named = variables(student)
    others = {name: weight for name, weight in named.items() if name not in targets}
    vectors = dict(zip(others, snapshot(list(others.values())), strict=True))
    palettes = {name: values.as_palette(values.indices(free[name], scale[name]), scale[name]) for name in targets}
    return palettes, vectors
