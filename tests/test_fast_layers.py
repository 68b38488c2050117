"""The faster layers give Keras' own answers and gradients, at every size of features, in both precisions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from learned_layers import learned

from build.recipes import find
from build.train.classifier import precision
from build.train.fast_layers import FAST, LARGEST_MAP, Gelu
from build.train.hardware import Machine, decide
from submission.network import build, variables
from submission.parts import STANDARD, gelu


def compare(ours, keras_own, shape, rng, *, tolerance: float = 1e-4):
    keras_own.build(shape)
    weights = [rng.normal(1.0, 0.5, variable.shape).astype(np.float32) for variable in keras_own.weights]
    x, upstream = (
        rng.normal(0.0, 1.5, size).astype(np.float32) for size in (shape, keras_own.compute_output_shape(shape))
    )
    wanted = learned([keras_own], x, upstream, weights)
    got = learned([ours], x, upstream, weights)
    for name, ours_value, value in zip(("outputs", "of x", "of w0", "of w1"), got, wanted, strict=False):
        np.testing.assert_allclose(ours_value, value, atol=tolerance * max(1.0, np.abs(value).max()), err_msg=name)


def test_gelu_and_its_gradient_are_keras_own(rng):
    compare(Gelu(name="a"), gelu("b"), (3, 5, 5, 8), rng)


@pytest.mark.parametrize("shape", [(4, 6, 6, 16), (7, 24)])
def test_layer_normalization_and_its_gradients_are_keras_own(rng, shape):
    compare(FAST.norm(epsilon=1e-6, name="a"), STANDARD.norm(epsilon=1e-6, name="b"), shape, rng)


@pytest.mark.parametrize("side", [1, 2, 3, 6, 12, 13])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_depthwise_convolution_and_its_gradients_are_keras_own(rng, side, kernel):
    assert (side * side <= LARGEST_MAP) == (side < 13)  # both ways are tried
    ours = FAST.depthwise(kernel, padding="same", name="a")
    compare(ours, STANDARD.depthwise(kernel, padding="same", name="b"), (4, side, side, 6), rng)


@pytest.mark.parametrize("shape", [(4, 6, 5, 16), (2, 1, 1, 8)])
def test_pointwise_convolution_and_its_gradients_are_keras_own(rng, shape):
    compare(FAST.pointwise(12, "a"), STANDARD.pointwise(12, "b"), shape, rng)


def test_depthwise_convolution_takes_maps_that_are_not_square_and_no_bias(rng):
    arguments = {"padding": "same", "use_bias": False}
    compare(FAST.depthwise(5, **arguments), STANDARD.depthwise(5, **arguments), (3, 4, 9, 6), rng)


@pytest.mark.parametrize("arguments", [{"strides": 2, "padding": "same"}, {"padding": "valid"}])
def test_other_depthwise_convolutions_are_left_to_keras(rng, arguments):
    compare(FAST.depthwise(3, **arguments), STANDARD.depthwise(3, **arguments), (2, 8, 8, 16), rng)


@pytest.mark.parametrize(
    # With keras' layer scale of 1e-6 the blocks would not show in the logits.
    "spec",
    [{"network": "convnext", "size": "atto", "layer_scale": 0.1}, {"network": "efficientnet-lite", "size": "lite0"}],
)
def test_a_network_of_either_parts_has_the_same_weights_and_logits(rng, spec):
    spec = spec | {"classes": 5, "image_shape": [64, 64, 3]}
    standard, fast = build(spec), build(spec, parts=FAST)
    assert list(variables(fast)) == list(variables(standard))
    pixels = rng.integers(0, 256, (4, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(fast(pixels), standard(pixels), atol=1e-5)


def test_half_precision_stays_half_precision(rng):
    with precision("mixed_bfloat16"):
        network = build({"network": "convnext", "size": "atto", "classes": 5, "image_shape": [32, 32, 3]}, parts=FAST)
    inner = keras.Model(network.input, network.get_layer("stage_0_block_0_gelu").output)
    pixels = rng.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    assert inner(pixels).dtype == tf.bfloat16
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(pixels, training=True) ** 2)
    assert all(gradient is not None for gradient in tape.gradient(loss, [v.value for v in network.trainable_variables]))


@pytest.mark.parametrize(
    ("machine", "xla", "fast"),
    [
        (Machine("tensorflow", 2), "auto", True),
        (Machine("tensorflow", 2), "on", False),  # the whole step is compiled then
        (Machine("tensorflow", 8, ("A100",), 40.0, (8, 0)), "auto", False),
        (Machine("jax", 2), "auto", False),
    ],
)
def test_they_are_for_a_cpu_under_tensorflow(machine, xla, fast):
    recipe = find("podium").__class__(name="tried", xla=xla)
    assert decide(recipe, machine).fast_layers == fast


def test_the_layers_are_keras_layers_by_the_names_that_grad_cam_and_fine_tuning_look_for():
    fast = build({"network": "convnext", "size": "atto", "classes": 5, "image_shape": [32, 32, 3]}, parts=FAST)
    kinds = {type(layer).__mro__[1] for layer in fast.layers if layer.name.endswith(("_depthwise", "_norm"))}
    assert kinds == {layers.DepthwiseConv2D, layers.LayerNormalization}
