"""Dense layers of bfloat16 products answer and learn as Keras' own, but for bfloat16's rounding; the rest of the network stays float32."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from learned_layers import learned

from build.errors import UserError
from build.machine import _told, multiplies_bfloat16
from build.recipes import find
from build.train import bfloat16_layers
from build.train.bfloat16_layers import Bfloat16Dense
from build.train.classifier import parts_of
from build.train.fast_layers import FAST
from build.train.hardware import Machine, decide, describe
from submission.network import build, variables
from submission.parts import STANDARD

ROUNDING = 2.0**-7
"""Twice the largest relative error of one rounding to bfloat16."""
SPEC = {"network": "convnext", "size": "atto", "classes": 5, "image_shape": [64, 64, 3], "layer_scale": 0.1}
LITE = {"network": "efficientnet-lite", "size": "lite0", "classes": 5, "image_shape": [64, 64, 3]}
UNITS = Machine("tensorflow", 2, multiplies_bfloat16=True)
PODIUM = find("podium")


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("shape", [(4, 6, 6, 16), (7, 24), (1, 1, 1, 8)])
def test_outputs_and_gradients_are_keras_own_but_for_rounding(rng, gelu, shape):
    ours = [Bfloat16Dense(12, gelu=gelu, name="ours")]
    keras_own = [keras.layers.Dense(12), *([keras.layers.Activation("gelu")] if gelu else [])]
    weights = [rng.normal(0, 0.5, size).astype(np.float32) for size in ((shape[-1], 12), (12,))]
    x, upstream = (rng.normal(0, 1, size).astype(np.float32) for size in (shape, (*shape[:-1], 12)))
    got, wanted = learned(ours, x, upstream, weights), learned(keras_own, x, upstream, weights)
    for name, value, true in zip(("outputs", "of x", "of kernel", "of bias"), got, wanted, strict=True):
        assert value.shape == true.shape, name
        # A sum of n rounded products is off by some sqrt(n) roundings of one of them.
        assert np.abs(value - true).max() <= 2 * ROUNDING * np.abs(true).max(), name


def test_the_gradient_of_a_bias_adds_up_in_float32():
    rows = 4096  # in bfloat16 a sum of ones stops growing at 256
    layer = Bfloat16Dense(3, gelu=False, name="summed")
    x, upstream = np.ones((rows, 2), np.float32), np.ones((rows, 3), np.float32)
    _, _, of_kernel, of_bias = learned([layer], x, upstream, [np.zeros((2, 3), np.float32), np.zeros(3, np.float32)])
    assert (of_bias == rows).all()
    assert (of_kernel == rows).all()


@pytest.mark.parametrize(
    ("spec", "bfloat16"),
    [
        (SPEC, r".+_(expand|gelu)"),
        # The first block does not widen: its features are the stem's. Sums of blocks stay float32.
        (LITE, r"stage_[1-6].+_(expand|depthwise)(_norm|_relu)?|.+_project|top(_norm|_relu)?"),
    ],
)
def test_only_what_lies_between_a_block_s_products_is_bfloat16(rng, spec, bfloat16):
    network = build(spec, parts=bfloat16_layers.PARTS)
    pixels = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    every = keras.Model(network.input, [layer.output for layer in network.layers])(pixels)
    for layer, outputs in zip(network.layers, every, strict=True):
        between = re.fullmatch(bfloat16, layer.name) is not None
        assert outputs.dtype == (tf.bfloat16 if between else tf.float32), layer.name
        assert layer.output.dtype == ("bfloat16" if between else "float32"), layer.name
    assert {weight.dtype for weight in network.weights} <= {"float32", "uint32"}


@pytest.mark.parametrize(("spec", "alike"), [(SPEC, 0.999), (LITE, 0.97)])  # sixty layers round more than twenty
def test_a_network_of_them_has_the_same_weights_and_nearly_the_same_logits_and_gradients(rng, spec, alike):
    standard, ours = build(spec), build(spec, parts=bfloat16_layers.PARTS)
    assert list(variables(ours)) == list(variables(standard))
    assert [layer.name for layer in ours.layers] == [layer.name for layer in standard.layers]  # fine-tuning counts them
    for variable, twin in zip(ours.weights, standard.weights, strict=True):
        variable.assign(twin)
    pixels = rng.integers(0, 256, (16, 64, 64, 3)).astype(np.float32)
    results = []
    for network in (standard, ours):
        with tf.GradientTape() as tape:
            logits = network(pixels)
            loss = tf.reduce_sum(logits**2)
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        results.append((logits.numpy(), np.concatenate([gradient.numpy().ravel() for gradient in gradients])))
    (logits, gradients), (rounded_logits, rounded_gradients) = results
    assert np.abs(rounded_logits - logits).max() < 0.03 * np.abs(logits).max()
    cosine = gradients @ rounded_gradients / np.linalg.norm(gradients) / np.linalg.norm(rounded_gradients)
    assert cosine > alike


@pytest.mark.parametrize("side", [5, 12, 14])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise_layers_of_bfloat16_are_keras_own_but_for_rounding(rng, side, kernel, strides):
    arguments = {"strides": strides, "padding": "same", "use_bias": False}
    x = rounded(rng.normal(0, 1, (4, side, side, 6)))
    upstream = rounded(rng.normal(0, 1, (4, -(-side // strides), -(-side // strides), 6)))
    weights = [rng.normal(0, 0.5, (kernel, kernel, 6, 1)).astype(np.float32)]
    narrow = keras.layers.Lambda(lambda x: tf.cast(x, tf.bfloat16), autocast=False)
    got = learned([narrow, bfloat16_layers.PARTS.depthwise(kernel, **arguments)], x, upstream, weights)
    wanted = learned([keras.layers.DepthwiseConv2D(kernel, **arguments)], x, upstream, weights)
    for name, value, true in zip(("outputs", "of x", "of kernel"), got, wanted, strict=True):
        assert value.shape == true.shape, name
        assert np.abs(value - true).max() <= 2 * ROUNDING * np.abs(true).max(), name


def test_relu6_and_normalization_of_bfloat16_are_keras_own_but_for_rounding(rng):
    x, upstream = rounded(rng.normal(3, 4, (4, 6, 6, 5))), rounded(rng.normal(0, 1, (4, 6, 6, 5)))
    narrow = keras.layers.Lambda(lambda x: tf.cast(x, tf.bfloat16), autocast=False)
    got = learned([narrow, bfloat16_layers.PARTS.relu6("ours")], x, upstream, [])
    for value, true in zip(got, learned([STANDARD.relu6("keras")], x, upstream, []), strict=True):
        np.testing.assert_array_equal(value, true)
    norm = bfloat16_layers.PARTS.batch_norm(name="norm")
    outputs = norm(tf.cast(x, tf.bfloat16), training=True)
    assert outputs.dtype == tf.bfloat16
    twin = STANDARD.batch_norm(name="twin")
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), twin(x, training=True), atol=4 * ROUNDING)
    for ours, theirs in zip(norm.weights, twin.weights, strict=True):
        assert ours.dtype == "float32"
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def rounded(values: np.ndarray) -> np.ndarray:
    """Float32 numbers that bfloat16 has."""
    return tf.cast(tf.cast(values, tf.bfloat16), tf.float32).numpy()


@pytest.mark.parametrize(
    ("machine", "changes", "precision"),
    [
        (UNITS, {}, "bfloat16_products"),
        (UNITS, {"precision": "float32"}, "float32"),
        (UNITS, {"xla": "on"}, "float32"),
        (UNITS, {"network": "efficientnet-lite", "size": "lite0"}, "bfloat16_products"),
        (UNITS, {"network": "efficientnet-lite", "size": "lite0", "precision": "float32"}, "float32"),
        (
            dataclasses.replace(UNITS, multiplies_bfloat16=False),
            {"network": "efficientnet-lite", "size": "lite0", "precision": "bfloat16_products"},
            "bfloat16_products",
        ),
        (UNITS, {"network": "custom-cnn"}, "float32"),
        (dataclasses.replace(UNITS, backend="jax"), {}, "float32"),
        (dataclasses.replace(UNITS, gpus=("H100",), capability=(9, 0)), {}, "mixed_bfloat16"),
        (dataclasses.replace(UNITS, multiplies_bfloat16=False), {}, "float32"),
        (
            dataclasses.replace(UNITS, multiplies_bfloat16=False),
            {"precision": "bfloat16_products"},
            "bfloat16_products",
        ),
    ],
)
def test_they_are_for_a_cpu_that_has_units_for_them_and_where_asked_for(machine, changes, precision):
    decision = decide(dataclasses.replace(PODIUM, **changes), machine)
    assert decision.precision == precision
    assert decision.policy == ("mixed_bfloat16" if machine.gpus else "float32")
    if not machine.gpus:
        wanted = (
            bfloat16_layers.PARTS if precision == "bfloat16_products" else FAST if decision.fast_layers else STANDARD
        )
        assert parts_of(decision) is wanted


@pytest.mark.parametrize("changes", [{"xla": "on"}, {"network": "custom-cnn"}])
def test_where_there_are_none_asking_for_them_is_one_sentence(changes):
    with pytest.raises(UserError, match="bfloat16_products is for ConvNeXt and EfficientNet-Lite on a CPU") as caught:
        decide(dataclasses.replace(PODIUM, precision="bfloat16_products", **changes), UNITS)
    assert "\n" not in str(caught.value)


def test_the_user_is_told():
    assert "float32 with products in bfloat16" in describe(PODIUM, UNITS, decide(PODIUM, UNITS))


def test_what_linux_says_of_the_processor_is_read(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: A: processor\nflags\t\t: fpu amx_bf16 sse\n\nflags\t\t: none\n")
    assert _told("model name", file) == "A: processor"
    assert "amx_bf16" in _told("flags", file).split()
    assert _told("flags", tmp_path / "missing") == ""


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx512_bf16 clzero", True),
        ("fpu avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_units_for_bfloat16_are_known_by_the_processors_flags(flags, answer, monkeypatch):
    monkeypatch.setattr("build.machine._told", lambda name: flags if name == "flags" else "")
    assert multiplies_bfloat16() is answer
