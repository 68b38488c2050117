"""The network as it is trained: from a recipe's spec, on one device or several, with any views of an image side by side.

spec = spec_of(recipe, decision, classes=8, image_shape=(96, 96, 3), seed=0)
with precision("float32"), strategy.scope():
    model = Classifier(build(spec))
"""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops

from build.errors import UserError
from build.recipe import Recipe
from build.train.hardware import BFLOAT16_PRODUCTS, Decision
from build.train.losses import VIEWS
from build.train.schedule import BODY, HEAD
from submission import network as networks
from submission.parts import STANDARD, Parts

HEAD_LAYERS = ("head_norm", "head_dropout", "logits")
"""What every network of this kit ends with; the first phase of pretrained weights trains only this."""


class Classifier(keras.Model):
    """A network that also takes (B, 3, H, W, C) views, and then gives logits (B, 3, K); a teacher may answer beside it."""

    def __init__(self, network: keras.Model, teacher: Callable | None = None):
        """teacher: pixels, as `call` takes them -> logits (B, K); the loss gets them behind the labels, in training only."""
        super().__init__(name="classifier")
        self.network = network
        self.teacher = teacher

    def call(self, pixels, training=None):
        """(B, H, W, C) -> (B, K), or (B, 3, H, W, C) -> (B, 3, K)."""
        if len(pixels.shape) == 4:
            return self.network(pixels, training=training)
        shape = ops.shape(pixels)
        logits = self.network(ops.reshape(pixels, (-1, *shape[2:])), training=training)
        return ops.reshape(logits, (-1, VIEWS, logits.shape[-1]))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The compiled loss, in training with the teacher's logits behind the labels."""
        if training and self.teacher is not None:
            y = ops.concatenate([ops.cast(y, "float32"), self.teacher(x)], axis=-1)
        return super().compute_loss(x, y, y_pred, sample_weight, training=training)


def spec_of(recipe: Recipe, decision: Decision, *, classes: int, image_shape: tuple[int, ...], seed: int) -> dict:
    """The spec of a recipe's network, complete (submission/network.py); UserError with its sentence if a setting is wrong."""
    _check(recipe, image_shape)
    # A recipe names the settings as the networks do; what only some networks know `complete` leaves out.
    known = {name for defaults in networks.NETWORKS.values() for name in defaults}
    wanted = {name: getattr(recipe, name) for name in known | {"network"} if hasattr(recipe, name)}
    wanted |= {"classes": classes, "image_shape": list(image_shape), "size": decision.size, "seed": seed}
    try:
        return networks.complete(wanted)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check(recipe: Recipe, image_shape: tuple[int, ...]) -> None:
    """Raise UserError for settings that the network would ignore, or that do not go with the recipe's resolutions."""
    if recipe.width != 1 and recipe.network not in networks.APPLICATIONS:
        raise UserError(
            f"The recipe has width {recipe.width}, but {recipe.network} has no such setting (it has a size, or filters); "
            f"set width to 1, or choose a network among {', '.join(networks.APPLICATIONS)}."
        )
    smallest, needed = min(pixels for pixels, _ in recipe.resolutions), networks.smallest_side(recipe.network)
    side = max(image_shape[:2])  # a resolution is of the longer one
    shorter = max(1, round(smallest * min(image_shape[:2]) / side))
    trains = f"{smallest}" if shorter == smallest else f"{smallest} x {shorter}"
    if shorter < needed:
        raise UserError(
            f"The network {recipe.network} needs images of at least {needed} x {needed} pixels, the recipe trains at {trains}; "
            "change its resolutions or choose another network."
        )
    if recipe.network == "custom-cnn" and recipe.pooling == "flatten" and smallest < side:
        raise UserError(
            f"A custom CNN that flattens its features takes images of {side} x {side} pixels only, the recipe trains at "
            f"{smallest} first; take --set resolutions={side}:1, or --set pooling=average."
        )
    if recipe.network == "custom-cnn" and recipe.padding == "valid":
        left = shorter
        for block in range(recipe.depth):
            left = (-(-left // 2) if block else left) - recipe.kernel + 1  # pooled between the blocks
        if left < 1:
            raise UserError(
                f"{recipe.depth} blocks of unpadded {recipe.kernel} x {recipe.kernel} kernels leave nothing of images of {trains} "
                "pixels; raise the recipe's resolutions, lower its depth, or take --set padding=same."
            )


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """Build layers under keras' precision policy of that name; the one before comes back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def parts_of(decision: Decision) -> Parts:
    """The layers that a network of that decision is put together from."""
    # Imported where they are used: they need TensorFlow.
    if decision.precision == BFLOAT16_PRODUCTS:
        from build.train.bfloat16_layers import PARTS

        return PARTS
    if decision.fast_layers:
        from build.train.fast_layers import FAST

        return FAST
    return STANDARD


def strategy_of(replicas: int):
    """MirroredStrategy over the first `replicas` GPUs (over CPUs where there is none), or None for a single device."""
    if replicas == 1:
        return None
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    if replicas > (count := len(tf.config.list_logical_devices(kind))):
        raise UserError(
            f"The run was begun on {replicas} GPUs, and TensorFlow sees {count if kind == 'GPU' else 'none'} here; "
            "go on with it where there are as many, or train a new run."
        )
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(replicas)])


def unite_statistics(strategy, network: keras.Model) -> None:
    """Give every GPU the mean of all GPUs' moving statistics; nothing without a strategy.

    Each has gathered those of its own part of the batches, and what is saved would be the first one's alone.
    """
    for variable in network.non_trainable_variables if strategy else ():
        if variable.name in ("moving_mean", "moving_variance"):
            parts = [part.numpy() for part in strategy.experimental_local_results(variable.value)]
            variable.assign(sum(parts) / len(parts))


def part_dropouts(strategy, network: keras.Model) -> None:
    """Give every GPU random numbers of its own to drop features and branches by; nothing without a strategy.

    A generator's copies all begin alike, so every GPU would drop the same of its part of a batch. They follow from the first one's, which
    is what a checkpoint keeps.
    """
    for variable in network.non_trainable_variables if strategy else ():
        if variable.name == "seed_generator_state":
            first, *others = strategy.experimental_local_results(variable.value)
            for number, other in enumerate(others, 1):
                other.assign(first + np.array([0, number << 24], variable.dtype))


def set_learning(network: keras.Model, phase: str, fine_tune_layers: int) -> None:
    """Choose the layers that learn: the head, the last n layers of `network.layers` (0: all), or all in any other phase.

    Batch normalization that does not learn keeps its moving statistics and uses them, as in prediction: frozen filters then see what
    they were trained on, where statistics of small batches of other images would change every feature under the new head.
    """
    layers = network.layers
    if phase == HEAD:
        learning = {layer.name for layer in layers if layer.name in HEAD_LAYERS}
    elif phase == BODY and fine_tune_layers:
        learning = {layer.name for layer in layers[-fine_tune_layers:]}
    else:
        learning = {layer.name for layer in layers}
    for layer in layers:
        layer.trainable = layer.name in learning


def undecayed(network: keras.Model) -> list[keras.Variable]:
    """Variables without weight decay: all but the kernels, that is biases, norms and layer scales."""
    decayed = {id(kernel) for kernel in networks.kernels(network).values()}
    return [variable for variable in network.trainable_variables if id(variable) not in decayed]
