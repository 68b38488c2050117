"""AdamW and Lion with a cosine schedule whose length may change, and with a moving average of the weights.

    optimizer = build_optimizer(recipe, phase, steps_per_epoch=150, undecayed=[...])
    optimizer.build(model.trainable_variables)
    optimizer.total_steps.assign(3000)
    optimizer.load_average(model.trainable_variables)   # the model now has the averaged weights

What is taken from keras.optimizers: the update rules, weight decay, tf.distribute. What is added: the schedule's length is an
optimizer variable (in the checkpoint, and changeable without tracing anew), the average's momentum grows with the step, and
`fit` leaves the raw weights in place at its end, so that epoch follows epoch.
"""

from collections.abc import Iterable

import keras
from keras import ops

from build.errors import UserError
from build.recipe import Recipe
from build.train.schedule import Phase, multiplier


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at a step, from the optimizer's own variable `total_steps`."""

    def __init__(self, peak: float, warmup_steps: float):
        super().__init__()
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.optimizer = None

    def __call__(self, step):
        """Learning rate of the step that follows `step` finished ones."""
        return self.peak * multiplier(step, self.optimizer.total_steps, self.warmup_steps)


class _Averaging:
    """What both optimizers get besides their update rule."""

    def __init__(self, schedule: WarmupCosine, *, weight_decay: float, ema_momentum: float):
        super().__init__(
            learning_rate=schedule, weight_decay=weight_decay, use_ema=ema_momentum > 0, ema_momentum=ema_momentum
        )
        schedule.optimizer = self
        self.total_steps = self.add_variable((), dtype="float32", name="total_steps")

    @property
    def ema_momentum(self):
        """Momentum of the average at the present step: (1 + t) / (10 + t), at most the recipe's.

        As in tf.train.ExponentialMovingAverage with num_updates: without it the first epochs' average is the random start.
        """
        if self._ema_limit == 0:
            return 0.0
        step = ops.cast(self.iterations, "float32")
        return ops.minimum(self._ema_limit, (1.0 + step) / (10.0 + step))

    @ema_momentum.setter
    def ema_momentum(self, limit: float) -> None:
        self._ema_limit = limit

    def finalize_variable_values(self, var_list) -> None:
        """Nothing at the end of a `fit`: each epoch is one, and the next one goes on from the raw weights."""

    def load_average(self, variables) -> None:
        """Overwrite the model's variables with their moving average; nothing without one."""
        super().finalize_variable_values(variables)
        for variable in variables:
            # On JAX they would share the average's memory, and keras gives the model's away to every compiled step.
            variable.assign(ops.copy(variable))


class AdamW(_Averaging, keras.optimizers.AdamW):
    """Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2."""


class Lion(_Averaging, keras.optimizers.Lion):
    """Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2."""


OPTIMIZERS = {"adamw": AdamW, "lion": Lion}


def check_optimizer(recipe: Recipe) -> None:
    """Raise UserError if the recipe names no known optimizer."""
    if recipe.optimizer not in OPTIMIZERS:
        raise UserError(f"Expected the optimizer {' or '.join(OPTIMIZERS)} in the recipe, got {recipe.optimizer!r}.")


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' loss scaling for float16, for several GPUs too (Micikevicius et al. 2018, section 3.2).

    Keras asks the first replica alone whether its gradients are finite, as if they were summed already; under MirroredStrategy they are
    summed afterwards, and another replica's infinity would reach the weights.
    """

    def check_finite(self, grads):
        """Whether the gradients of every replica are finite."""
        finite = super().check_finite(grads)
        if keras.backend.backend() != "tensorflow":
            return finite
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return finite
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.float32)) == 0

    def load_average(self, variables):
        """As of the optimizer within."""
        self.inner_optimizer.load_average(variables)


def scaled(optimizer: AdamW | Lion, policy: str) -> AdamW | Lion | LossScale:
    """The optimizer for a network of keras' dtype policy `policy`: in float16 small gradients would be 0 without a scale."""
    return LossScale(optimizer) if policy == "mixed_float16" else optimizer


def build_optimizer(
    recipe: Recipe, phase: Phase, *, steps_per_epoch: int, undecayed: Iterable[keras.Variable]
) -> AdamW | Lion:
    """The optimizer of a phase; `undecayed` variables (biases, norms, layer scale) are left out of the weight decay.

    Raises UserError if the recipe names no known optimizer.
    """
    check_optimizer(recipe)
    schedule = WarmupCosine(phase.learning_rate, phase.warmup_epochs * steps_per_epoch)
    optimizer = OPTIMIZERS[recipe.optimizer](
        schedule, weight_decay=recipe.weight_decay, ema_momentum=recipe.ema_momentum
    )
    optimizer.exclude_from_weight_decay(var_list=list(undecayed))
    optimizer.total_steps.assign(float(phase.epochs * steps_per_epoch))
    return optimizer
