"""From a spec to a network: what a spec may say, names that hold, and the same network on either backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from submission.applications import APPLICATIONS
from submission.convnext import StochasticDepth
from submission.network import NETWORKS, build, complete, kernels, variables

ROOT = Path(__file__).resolve().parent.parent
SPECS = {
    "convnext": {"network": "convnext", "size": "atto", "upsample": 1.5},
    "efficientnet-lite": {"network": "efficientnet-lite", "size": "lite0", "upsample": 1.5},
    "custom-cnn": {"network": "custom-cnn", "depth": 4, "filters": 8},
}
SPECS = {name: {**spec, "classes": 3, "image_shape": [32, 32, 3]} for name, spec in SPECS.items()}


def test_a_spec_is_completed_with_its_own_settings_only():
    spec = complete({"network": "custom-cnn", "classes": 8, "image_shape": [96, 96, 3], "size": "auto", "l2": 0.1})
    assert spec == {
        "network": "custom-cnn",
        "classes": 8,
        "image_shape": [96, 96, 3],
        "dropout": 0.0,
        "l1": 0.0,
        "l2": 0.1,
        "seed": 0,
        "crop": 1.0,
        "edge_blur": 0.0,
        "edge_radius": 0.8,
        "depth": 3,
        "filters": 32,
        "kernel": 3,
        "padding": "same",
        "pooling": "average",
    }
    assert complete(spec) == spec
    assert json.loads(json.dumps(spec)) == spec


@pytest.mark.parametrize("name", SPECS)
def test_the_head_drops_as_many_features_as_the_spec_says(name):
    assert build(SPECS[name] | {"dropout": 0.3}, initialize=False).get_layer("head_dropout").rate == 0.3


def test_efficientnet_lite_drops_branches_the_more_the_deeper_they_are():
    network = build(SPECS["efficientnet-lite"] | {"stochastic_depth": 0.2}, initialize=False)
    rates = [layer.rate for layer in network.layers if isinstance(layer, StochasticDepth)]
    assert rates == sorted(rates)
    assert 0.15 < rates[-1] <= 0.2


def test_the_custom_cnn_has_the_kernel_and_the_padding_of_the_spec():
    spec = SPECS["custom-cnn"] | {"kernel": 5, "padding": "valid", "image_shape": [96, 96, 3]}
    convolution = build(spec, initialize=False).get_layer("block_0_conv")
    assert (convolution.kernel_size, convolution.padding) == ((5, 5), "valid")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": "resnet"}, "Expected a network among convnext, .* got 'resnet'"),
        ({"network": None}, "Expected a network among"),
        ({"classes": None}, "needs classes"),
        ({"size": "huge"}, "Expected a size of convnext among atto, .*, got 'huge'"),
        ({"size": "lite0"}, "Expected a size of convnext"),
        ({"stem_patch": 3}, "Expected stem_patch 2 or 4, got 3"),
        ({"dropout": 1.0}, r"Expected dropout in 0\.\.1"),
        ({"stochastic_depth": -0.1}, r"Expected stochastic_depth in 0\.\.1"),
        ({"drop_out": 0.1}, "no setting named drop_out"),
        ({"network": "efficientnet-lite", "size": "lite1", "upsample": 0.5}, r"Expected upsample in 1\.\.8"),
        ({"network": "efficientnet-lite", "size": "atto"}, "Expected a size of efficientnet-lite among lite0"),
    ],
)
def test_a_wrong_spec_is_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        complete({"network": "convnext", "classes": 8, "image_shape": [96, 96, 3]} | change)
    assert str(caught.value).endswith(".")


def test_a_custom_cnn_of_two_blocks_or_of_other_widths_is_refused():
    with pytest.raises(ValueError, match="at least 3 blocks, got depth 2"):
        build(SPECS["custom-cnn"] | {"depth": 2})
    with pytest.raises(ValueError, match="one filter number a block"):
        build(SPECS["custom-cnn"] | {"filters": [4, 8]})


def test_every_network_has_a_spec_in_these_tests():
    assert (
        SPECS.keys() | APPLICATIONS.keys() == NETWORKS.keys()
    )  # those of keras.applications: tests/test_applications.py


@pytest.mark.parametrize("name", SPECS)
def test_built_twice_it_has_the_same_names_and_kernels_and_another_seed_gives_others(name):
    first, second, other = (build(SPECS[name] | {"seed": seed}) for seed in (3, 3, 4))
    assert list(variables(first)) == list(variables(second))
    assert len(kernels(first)) > 3
    for kernel, variable in kernels(first).items():
        np.testing.assert_array_equal(variable.numpy(), kernels(second)[kernel].numpy())
        assert (variable.numpy() != kernels(other)[kernel].numpy()).any()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    logits = first(pixels, training=False)
    assert logits.shape == (2, 3)
    np.testing.assert_array_equal(np.asarray(logits), np.asarray(second(pixels, training=False)))


def test_convnext_kernels_are_truncated_normal_of_deviation_two_hundredths():
    drawn = kernels(build(SPECS["convnext"]))["stage_3_block_0_expand/kernel"].numpy()
    assert np.abs(drawn).max() <= 0.04
    assert drawn.std() == pytest.approx(0.02 * 0.8796, rel=0.01)


def test_other_kernels_keep_the_variance_of_relu_layers():
    drawn = kernels(build(SPECS["custom-cnn"]))["block_3_conv/kernel"].numpy()
    assert drawn.std() == pytest.approx(np.sqrt(2 / (9 * 32)), rel=0.03)


def test_regularizers_are_on_the_kernels_and_only_there():
    model = build(SPECS["custom-cnn"] | {"l1": 0.01, "l2": 0.1})
    expected = sum(
        0.01 * np.abs(kernel.numpy()).sum() + 0.1 * np.square(kernel.numpy()).sum()
        for kernel in kernels(model).values()
    )
    model.compile(loss="mse")
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["convnext", "efficientnet-lite", "custom-cnn"])
def test_sides_may_stay_open(name):
    model = build(SPECS[name] | {"image_shape": [None, None, 3], "upsample": 1.0})
    for side in (32, 48):
        assert model(np.zeros((1, side, side, 3), np.float32)).shape == (1, 3)


@pytest.mark.parametrize("name", ["convnext", "efficientnet-lite"])
def test_an_enlarged_image_of_open_sides_gives_the_logits_of_fixed_ones(name):
    fixed = build(SPECS[name])
    opened = build(SPECS[name] | {"image_shape": [None, None, 3]})
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(opened(pixels)), np.asarray(fixed(pixels)), atol=1e-5)


PROGRAM = """
import json, sys
import numpy as np
from submission.network import build
specs, out = json.loads(sys.argv[1]), sys.argv[2]
pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
np.savez(out, **{spec["network"]: build(spec).predict_on_batch(pixels) for spec in specs})
"""
NARROW = {"width": 0.1, "classes": 3, "image_shape": [32, 32, 3]}
SMALL = [SPECS["convnext"] | {"layer_scale": 0.5}, SPECS["custom-cnn"], SPECS["efficientnet-lite"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "specs",
    [
        SMALL,
        # Those of keras.applications draw their kernels, for which JAX compiles a program a shape: 20 and 48 seconds.
        pytest.param([{"network": "resnet50"} | NARROW], marks=pytest.mark.exhaustive),
        pytest.param([{"network": "mobilenet-v3-large"} | NARROW], marks=pytest.mark.exhaustive),
    ],
    ids=["convnext, custom-cnn, efficientnet-lite", "resnet50", "mobilenet-v3-large"],
)
def test_jax_gives_the_same_logits(tmp_path, specs):
    pytest.importorskip("jax")
    out = tmp_path / "logits.npz"
    flags = "--xla_backend_optimization_level=0"  # compiles five times faster
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, "-c", PROGRAM, json.dumps(specs), str(out)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=1200)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    with np.load(out) as logits:
        for spec in specs:
            ours = np.asarray(build(spec)(pixels, training=False))
            assert np.abs(ours).max() > 0.1
            np.testing.assert_allclose(ours, logits[spec["network"]], atol=1e-4 * max(1, np.abs(ours).max()))
