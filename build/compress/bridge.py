"""From a network of this kit, which is Keras 3, to its twin in tf_keras (Keras 2), the only Keras that tfmot 0.8 knows.

    model = twin(spec, arrays)         # in a process that has not imported submission.network
    arrays = weights_of(model)

The builders of submission/ are called as they are, with a module in the place of `keras` that hands out tf_keras' layers and the few
backend-free operations that they use. For a process of its own: tfmot sets TF_USE_LEGACY_KERAS when imported, and keras stays replaced.
"""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import tensorflow as tf
import tf_keras

from build.errors import UserError


class Operations(SimpleNamespace):
    """keras.ops: TensorFlow's function of the same name, except for those that are called otherwise."""

    def __getattr__(self, name: str):
        for place in (tf, tf.math, tf.nn, tf.image):
            if hasattr(place, name):
                return getattr(place, name)
        raise AttributeError(f"keras.ops.{name} has no counterpart here")


class StandIn(ModuleType):
    """A module that the builders take for keras."""


def stand_in() -> StandIn:
    """The stand-in, filled."""
    module = StandIn("keras")
    for name in ("layers", "Model", "Input", "initializers", "regularizers", "backend", "applications", "activations"):
        setattr(module, name, getattr(tf_keras, name))
    module.Variable = tf.Variable
    module.ops = Operations(
        convert_to_tensor=lambda value, dtype=None: tf.convert_to_tensor(value, dtype),
        image=SimpleNamespace(resize=lambda x, size, interpolation="bilinear": tf.image.resize(x, size, interpolation)),
    )
    module.random = SimpleNamespace(
        SeedGenerator=lambda seed: seed,
        uniform=lambda shape, dtype, seed: tf.random.uniform(shape, dtype=dtype, seed=seed),
    )
    return module


def twin(spec: dict, arrays: dict[str, np.ndarray]) -> tf_keras.Model:
    """The tf_keras network of `spec` with these weights; UserError if its builder needs more of Keras 3 than the stand-in has."""
    if "submission.network" not in sys.modules:
        # TensorFlow may have imported the real one; whoever did keeps it.
        sys.modules["keras"] = stand_in()
    from submission import network

    if not isinstance(network.keras, StandIn):
        raise UserError("The bridge to tf_keras needs a process of its own, whose networks are not yet Keras 3's.")
    try:
        model = network.build(spec, initialize=False)
        for name, weight in _named(model).items():
            weight.assign(arrays[name])
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise UserError(
            f"tfmot cannot work on {spec['network']}: its twin in tf_keras cannot be built ({type(error).__name__}: {error}); "
            "use the methods that do not need tfmot."
        ) from error
    return model


def weights_of(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """All weights by the names of submission/network.py, float32 or as they are."""
    return {name: weight.numpy() for name, weight in _named(model).items()}


def _named(model: tf_keras.Model) -> dict[str, tf.Variable]:
    """LAYER/WEIGHT -> variable. Keras 2 calls a depthwise layer's kernel depthwise_kernel."""
    named = {}
    for layer in model.layers:
        for weight in layer.weights:
            last = weight.name.split("/")[-1].split(":")[0]
            named[f"{layer.name}/{'kernel' if last == 'depthwise_kernel' else last}"] = weight
    return named
