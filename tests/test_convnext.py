"""ConvNeXt: sizes as published, layers as in the paper, and the folded form that predicts the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from submission.convnext import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    SIZES,
    LayerScale,
    PixelNormalization,
    StochasticDepth,
    convnext,
    weight_shapes,
)
from submission.folded_convnext import fold, forward
from submission.network import build, complete, variables

# Millions of parameters with 1000 classes: timm's models (atto to nano), Liu et al. 2022, table 1 and keras.applications.
MILLIONS = {
    "atto": 3.70,
    "femto": 5.22,
    "pico": 9.05,
    "nano": 15.59,
    "tiny": 28.59,
    "small": 50.22,
    "base": 88.59,
    "large": 197.77,
    "xlarge": 350.20,
}


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_the_published_number_of_parameters(size):
    shapes = weight_shapes(size=size, classes=1000)
    assert round(sum(int(np.prod(shape)) for shape in shapes.values()) / 1e6, 2) == MILLIONS[size]


def test_depths_and_widths_are_timms_and_the_papers():
    assert {size: depths for size, (depths, _) in SIZES.items()} == {
        **dict.fromkeys(("atto", "femto", "pico"), (2, 2, 6, 2)),
        "nano": (2, 2, 8, 2),
        "tiny": (3, 3, 9, 3),
        **dict.fromkeys(("small", "base", "large", "xlarge"), (3, 3, 27, 3)),
    }
    first = {size: widths[0] for size, (_, widths) in SIZES.items()}
    assert list(first.values()) == [40, 48, 64, 80, 96, 96, 128, 192, 256]
    assert all(widths == tuple(widths[0] << stage for stage in range(4)) for _, widths in SIZES.values())


@pytest.mark.parametrize("settings", [{"size": "atto"}, {"size": "nano", "stem_patch": 2}])
def test_the_shapes_told_without_building_are_the_built_networks(settings):
    model = convnext(classes=5, image_shape=(32, 32, 3), **settings)
    built = {name: tuple(variable.shape) for name, variable in variables(model).items()}
    assert list(built.items()) == list(weight_shapes(classes=5, **settings).items())


def drawn(spec: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights that let every part of the network be seen in the logits (a fresh LayerScale hides the blocks)."""
    shapes = weight_shapes(size=spec["size"], classes=spec["classes"], stem_patch=spec["stem_patch"])
    arrays = {}
    for name, shape in shapes.items():
        fan_in = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:-1])
        array = rng.normal(0, 1 / np.sqrt(fan_in) if name.endswith("kernel") else 0.3, shape)
        arrays[name] = (array + name.endswith("gamma")).astype(np.float32)
    return arrays


@pytest.mark.parametrize(("side", "settings"), [(32, {}), (36, {}), (27, {"stem_patch": 2}), (25, {"upsample": 1.5})])
def test_the_folded_network_gives_the_same_logits(side, settings, rng):
    spec = complete({"network": "convnext", "classes": 8, "image_shape": [side, side + 4, 3], **settings})
    arrays = drawn(spec, rng)
    model = build(spec, initialize=False)
    for name, variable in variables(model).items():
        variable.assign(arrays[name])
    pixels = rng.integers(0, 256, (3, side, side + 4, 3), np.uint8)
    expected = model(pixels.astype(np.float32), training=False).numpy()
    assert expected.std() > 0.3
    network = forward(arrays, spec)
    np.testing.assert_allclose(network(tf.constant(pixels)).numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(network(tf.constant(pixels.astype(np.float32))).numpy(), expected, atol=1e-4)


def test_folding_leaves_fewer_weights_and_the_callers_arrays_alone(rng):
    spec = complete({"network": "convnext", "classes": 8, "image_shape": [32, 32, 3]})
    arrays = drawn(spec, rng)
    before = {name: array.copy() for name, array in arrays.items()}
    folded = fold(arrays, spec)
    blocks = sum(SIZES["atto"][0])
    assert len(folded) == len(arrays) - 3 * blocks - 2
    assert all(np.array_equal(arrays[name], before[name]) for name in before)


def test_pixels_of_any_dtype_are_scaled_by_imagenets_mean_and_deviation():
    layer = PixelNormalization(PIXEL_MEAN, PIXEL_DEVIATION, name="normalize")
    pixels = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    expected = (pixels - np.array([0.485, 0.456, 0.406]) * 255) / (np.array([0.229, 0.224, 0.225]) * 255)
    for dtype in ("uint8", "float32", "float64", "int64"):
        found = layer(pixels.astype(dtype))
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


def test_pixels_keep_their_precision_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build({"network": "convnext", "classes": 3, "image_shape": [32, 32, 3]})
    finally:
        keras.config.set_dtype_policy("float32")
    # bfloat16 has 8 significant bits: 254 and 255 would be one.
    assert model.get_layer("normalize").output.dtype == "float32"
    assert model.get_layer("stem_conv").output.dtype == "bfloat16"
    assert model.output.dtype == "float32"


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean():
    layer = StochasticDepth(0.25, seed=1, name="drop")
    x = np.ones((4000, 2, 2, 3), np.float32)
    np.testing.assert_array_equal(np.asarray(layer(x, training=False)), x)
    dropped = np.asarray(layer(x, training=True)).reshape(4000, -1)
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert dropped.mean() == pytest.approx(1, abs=0.03)


def test_drop_rates_rise_linearly_from_the_first_block_to_the_last():
    model = build({"network": "convnext", "classes": 3, "image_shape": [32, 32, 3], "stochastic_depth": 0.22})
    rates = [layer.rate for layer in model.layers if isinstance(layer, StochasticDepth)]
    np.testing.assert_allclose(rates, np.linspace(0, 0.22, 12))


def test_a_block_begins_as_identity():
    model = build({"network": "convnext", "classes": 3, "image_shape": [32, 32, 3], "layer_scale": 1e-6})
    scales = [layer for layer in model.layers if isinstance(layer, LayerScale)]
    assert len(scales) == 12
    assert all(np.unique(scale.gamma.numpy()) == np.float32(1e-6) for scale in scales)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    inner = keras.Model(model.input, [model.get_layer(f"stage_0_block_{block}_add").output for block in (0, 1)])
    first, second = inner(pixels)
    np.testing.assert_allclose(np.asarray(second), np.asarray(first), atol=1e-4)


def test_padding_repeats_nothing_at_sides_that_the_patch_does_not_divide():
    model = convnext(size="atto", classes=3, image_shape=(None, None, 3))
    for side, expected in ((96, 3), (64, 2), (70, 3), (33, 2)):
        maps = keras.Model(model.input, model.get_layer("stage_3_block_1_add").output)
        assert maps(np.zeros((1, side, side, 3), np.float32)).shape[1:3] == (expected, expected)
