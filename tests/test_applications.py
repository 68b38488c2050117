"""The networks of keras.applications as they are rebuilt: the published function, at any width, under names that hold."""

import dataclasses
import functools
import json

import keras
import numpy as np
import pytest

from build.errors import UserError
from build.recipes import find
from build.train.classifier import HEAD_LAYERS, set_learning, spec_of
from build.train.hardware import Machine, decide
from build.train.schedule import BODY, HEAD
from submission import network as networks
from submission.applications import APPLICATIONS, scaled
from submission.network import build, complete, kernels, variables

NARROW = 0.05
FAST = [name for name in APPLICATIONS if name != "efficientnet-b4"]
NETWORKS = [*FAST, pytest.param("efficientnet-b4", marks=[pytest.mark.slow, pytest.mark.exhaustive])]


def spec_for(name: str, **changes) -> dict:
    return complete({"network": name, "width": NARROW, "classes": 3, "image_shape": [80, 80, 3]} | changes)


@functools.cache
def built(name: str) -> keras.Model:
    return build(spec_for(name))


@functools.cache
def published(name: str) -> keras.Model:
    kind = APPLICATIONS[name]
    return getattr(keras.applications, kind.constructor)(weights=None, include_top=False, input_shape=(80, 80, 3))


def pixels(side: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_its_names_do_not_depend_on_what_was_built_before(name):
    first, second = built(name), build(spec_for(name, seed=0))
    assert list(variables(first)) == list(variables(second))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    for kernel, variable in kernels(first).items():
        np.testing.assert_array_equal(variable.numpy(), kernels(second)[kernel].numpy())
    assert not any(
        isinstance(layer, keras.Model) for layer in first.layers
    )  # so that the last n layers can be fine-tuned
    assert [layer.name for layer in first.layers if layer.name in HEAD_LAYERS] == ["head_dropout", "logits"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_narrow_one_has_every_array_of_the_published_one_and_fewer_numbers_in_it(name):
    theirs = [
        v
        for layer in published(name).layers
        if not isinstance(layer, keras.layers.Normalization)
        for v in layer.weights
    ]
    ours = [variable for key, variable in variables(built(name)).items() if not key.startswith("logits/")]
    assert sorted((v.name, len(v.shape)) for v in ours) == sorted((v.name, len(v.shape)) for v in theirs)
    assert sum(np.prod(v.shape) for v in ours) < 0.1 * sum(np.prod(v.shape) for v in theirs)
    wide = {key: variable.shape for key, variable in variables(built(name)).items() if key.endswith("/kernel")}
    # Published numbers below 8 (of squeeze-and-excitation) stay; a depthwise kernel ends in (channels, 1).
    assert all(
        max(shape[-2:]) % 8 == 0 or max(shape[-2:]) <= 8 or "logits" in key
        for key, shape in wide.items()
        if shape[-2] != 3
    )
    logits = np.asarray(built(name)(pixels(), training=False))
    assert logits.shape == (2, 3)
    assert np.abs(logits[0] - logits[1]).max() > 1e-6


def test_filters_are_scaled_to_multiples_of_eight():
    assert [scaled(filters, 0.25) for filters in (4, 8, 24, 64, 100, 728)] == [4, 8, 8, 16, 24, 184]
    assert [scaled(filters, 2) for filters in (4, 32, 100)] == [8, 64, 200]
    assert scaled(30, 1) == 30


def test_mobilenet_has_the_weight_names_of_keras_so_that_older_weights_files_load():
    ours = [name for name in variables(built("mobilenet-v3-large")) if not name.startswith("logits/")]
    assert ours == list(variables(published("mobilenet-v3-large")))
    older = {"network": "mobilenet-v3-large", "classes": 8, "image_shape": [96, 96, 3], "dropout": 0.0, "seed": 0}
    assert complete(older)["width"] == 1.0


@pytest.mark.parametrize("name", ["efficientnet-b0", "mobilenet-v3-large", "resnet50"])
def test_open_sides_pad_as_fixed_ones_also_where_a_side_is_odd(name):
    opened = build(spec_for(name, image_shape=[None, None, 3]))
    fixed = build(spec_for(name, image_shape=[72, 72, 3]))
    np.testing.assert_allclose(np.asarray(opened(pixels(72))), np.asarray(fixed(pixels(72))), rtol=1e-4, atol=1e-4)


def moving(network: keras.Model) -> dict[str, np.ndarray]:
    """The moving means and variances of batch normalization."""
    return {key: variable.numpy().copy() for key, variable in variables(network).items() if "/moving_" in key}


@pytest.mark.parametrize("name", FAST)
def test_frozen_layers_keep_their_statistics_and_the_head_alone_learns(name):
    network = built(name)
    set_learning(network, HEAD, 0)
    assert {id(variable) for variable in network.trainable_variables} == {
        id(variables(network)[f"logits/{name}"]) for name in ("kernel", "bias")
    }
    before = moving(network)
    expected = np.asarray(network(pixels(), training=False))
    np.testing.assert_allclose(np.asarray(network(pixels(), training=True)), expected, rtol=1e-4, atol=1e-5)
    assert all(np.array_equal(value, before[key]) for key, value in moving(network).items())
    set_learning(network, BODY, 20)
    network(pixels(), training=True)
    learning = {layer.name for layer in network.layers if layer.trainable}
    assert len(learning) == 20
    frozen = {key: value for key, value in before.items() if key.split("/")[0] not in learning}
    moved = {key for key in before.keys() - frozen.keys() if not np.array_equal(moving(network)[key], before[key])}
    assert moved == before.keys() - frozen.keys() != set()
    assert all(np.array_equal(moving(network)[key], value) for key, value in frozen.items())
    set_learning(network, BODY, 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"network": "xception", "image_shape": [64, 96, 3]},
            "xception needs images of at least 71 x 71 pixels, got 64 x 96",
        ),
        ({"network": "inception-v3", "image_shape": [72, 72, 3]}, "inception-v3 needs images of at least 75 x 75"),
        ({"width": 0.01}, r"Expected width in 0.05\.\.4.0, got 0.01"),
        (
            {"network": "custom-cnn", "padding": "full"},
            "Expected padding same or valid and pooling average or flatten, got 'full'",
        ),
        ({"network": "custom-cnn", "pooling": "max"}, "pooling average or flatten, got 'same' and 'max'"),
        ({"network": "custom-cnn", "kernel": 0}, "Expected a kernel of at least 1 pixel, got 0"),
    ],
)
def test_a_wrong_spec_is_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        complete({"network": "resnet50", "classes": 8, "image_shape": [96, 96, 3]} | change)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("recipe", "changes", "sentence"),
    [
        ("podium", {"width": 0.5}, "width 0.5, but convnext has no such setting"),
        (
            "report-xception",
            {"resolutions": ((64, 0.5), (96, 0.5))},
            "at least 71 x 71 pixels, the recipe trains at 64",
        ),
        (
            "report-custom-cnn",
            {"pooling": "flatten", "resolutions": ((64, 0.5), (96, 0.5))},
            "96 x 96 pixels only, .* at 64",
        ),
        ("report-resnet", {"width": 9.0}, "Expected width in"),
    ],
)
def test_a_recipe_that_cannot_be_trained_says_so_before(recipe, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        settings(recipe, **changes)


def test_a_resolution_is_of_the_longer_side_and_the_shorter_one_must_do():
    recipe = dataclasses.replace(find("report-inception-v3"), size="auto", resolutions=((96, 0.5), (160, 0.5)))
    with pytest.raises(UserError, match=r"at least 75 x 75 pixels, the recipe trains at 96 x 48"):
        spec_of(recipe, decide(recipe, Machine("tensorflow", 2)), classes=8, image_shape=(160, 80, 3), seed=0)


def test_the_settings_of_a_recipe_reach_the_spec():
    spec = settings("report-resnet", width=0.25)
    assert (spec["network"], spec["width"], spec["dropout"]) == ("resnet50", 0.25, 0.3)
    spec = settings("report-custom-cnn", kernel=5, padding="valid", pooling="flatten")
    assert (spec["kernel"], spec["padding"], spec["pooling"]) == (5, "valid", "flatten")
    assert json.loads(json.dumps(spec)) == spec


def settings(name: str, **changes) -> dict:
    recipe = dataclasses.replace(find(name), **changes)
    decision = decide(recipe, Machine("tensorflow", 2))
    return spec_of(recipe, decision, classes=8, image_shape=(96, 96, 3), seed=0)


def test_a_custom_cnn_that_flattens_has_a_weight_for_each_position():
    spec = complete(
        {"network": "custom-cnn", "classes": 3, "image_shape": [32, 32, 3], "filters": 4, "pooling": "flatten"}
    )
    assert variables(build(spec))["logits/kernel"].shape == (8 * 8 * 16, 3)
    with pytest.raises(ValueError, match="images of one size"):
        build(spec | {"image_shape": [None, None, 3]})


@pytest.mark.parametrize("network", ["convnext", "efficientnet-lite", "custom-cnn"])
def test_every_setting_that_network_and_recipe_share_reaches_the_spec(network):
    changed = {
        "stochastic_depth": 0.3,
        "layer_scale": 0.5,
        "stem_patch": 2,
        "upsample": 1.5,
        "dropout": 0.2,
        "crop": 0.8,
        "edge_blur": 2.0,
        "edge_radius": 0.7,
        "l1": 1e-4,
        "l2": 1e-3,
        "depth": 4,
        "filters": 5,
    }
    own = {name: value for name, value in changed.items() if name in networks.NETWORKS[network]}
    assert len(own) > 3
    spec = settings("podium", network=network, size="auto", weights="none", **own)
    assert {name: spec[name] for name in own} == own
