"""What layers answer and learn in one step, for comparing two kinds of them."""

import numpy as np
import tensorflow as tf


def learned(layers: list, x: np.ndarray, upstream: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs of layers one after another, and gradients of x and of their weights, in a graph as the trainer makes them."""
    for layer in layers:
        if not layer.built:
            layer.build(x.shape)
    own = [variable for layer in layers for variable in layer.weights]
    for variable, value in zip(own, weights, strict=True):
        variable.assign(value)

    @tf.function
    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = x
            for layer in layers:
                outputs = layer(outputs)
            outputs = tf.cast(outputs, tf.float32)
        return outputs, tape.gradient(outputs, [x, *(variable.value for variable in own)], upstream)

    outputs, gradients = step(tf.constant(x), tf.constant(upstream))
    return [tf.cast(value, tf.float32).numpy() for value in (outputs, *gradients)]
