"""Grad-CAM points at the pixels that decide."""

import keras
import numpy as np
import pytest
from keras import layers

from build.attention import outside_share
from build.errors import UserError
from build.gradcam import BATCH, GradCam, explainer
from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.network import NETWORKS, build, complete, variables


@pytest.fixture(scope="module")
def bright_spot_network(tmp_path_factory):
    return bright_spots(tmp_path_factory.mktemp("weights") / "weights.npz")


def bright_spots(path, **settings):
    """A custom CNN whose channels pass brightness on, so that class 0's evidence is where the image is bright."""
    spec = {"network": "custom-cnn", "classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE), **settings}
    arrays = {}
    for name, variable in variables(build(spec)).items():
        array = np.zeros(variable.shape, np.float32)
        if name.endswith("/kernel"):
            if array.ndim == 4:
                array[array.shape[0] // 2, array.shape[1] // 2] = 1 / array.shape[2]
            else:
                array[:, 0] = 1
        elif name.endswith(("/gamma", "/moving_variance")):
            array[:] = 1
        arrays[name] = array
    weights.save(path, arrays, {"spec": spec}, storage="float32")
    return path


def test_the_heat_is_where_the_evidence_is(bright_spot_network):
    images = np.zeros((2, *IMAGE_SHAPE), np.uint8)
    images[0, :32, :32] = 255
    images[1, -32:, -32:] = 255
    heat = explainer(bright_spot_network)(images, np.array([0, 0]))
    assert heat.shape[0] == 2
    assert heat.max() == pytest.approx(1)
    assert heat.min() >= 0
    middle = heat.shape[1] // 2
    assert heat[0, :middle, :middle].mean() > 3 * heat[0, middle:, middle:].mean()
    assert heat[1, middle:, middle:].mean() > 3 * heat[1, :middle, :middle].mean()


def test_the_heat_of_a_cropped_network_is_put_back_where_the_image_had_it(tmp_path):
    image = np.zeros((1, *IMAGE_SHAPE), np.uint8)
    image[0, 26:40, 26:40] = 255  # the upper left corner of the middle half
    heat = explainer(bright_spots(tmp_path / "weights.npz", crop=0.5))(image, np.array([0]))[0]
    side = len(heat)
    edge = side // 4 - 1
    assert heat[:edge].max() == 0  # outside of what the network sees
    assert heat[:, side - edge :].max() == 0
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 0.2 < (row + 0.5) / side < 0.5
    assert 0.2 < (column + 0.5) / side < 0.5


def test_images_are_explained_each_on_its_own_however_many(bright_spot_network, rng):
    images = rng.integers(0, 256, (BATCH + 3, *IMAGE_SHAPE), np.uint8)
    labels = rng.integers(0, len(CLASSES), len(images))
    explain = explainer(bright_spot_network)
    heat = explain(images, labels)
    assert len(heat) == len(images)
    np.testing.assert_allclose(heat[-2:], explain(images[-2:], labels[-2:]), atol=1e-4)
    assert explain(images[:0], labels[:0]).shape == (0, *heat.shape[1:])


FAST = dict.fromkeys(("convnext", "efficientnet-lite", "custom-cnn"), ())
DEEP = dict.fromkeys(("xception", "inception-v3", "efficientnet-b4"), (pytest.mark.slow, pytest.mark.exhaustive))


@pytest.mark.parametrize(
    "network", [pytest.param(name, marks=(FAST | DEEP).get(name, pytest.mark.slow)) for name in NETWORKS]
)
def test_every_network_of_the_kit_is_explained_on_maps_of_at_least_six_by_six(network, tmp_path, rng):
    spec = {"network": network, "classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)}
    model = build(spec | ({"layer_scale": 0.5} if network == "convnext" else {}))
    arrays = {name: variable.numpy() for name, variable in variables(model).items()}
    weights.save(tmp_path / "weights.npz", arrays, {"spec": complete(spec)}, storage="float32")
    heat = explainer(tmp_path / "weights.npz")(rng.integers(0, 256, (3, *IMAGE_SHAPE), np.uint8), np.array([0, 3, 7]))
    assert heat.shape[0] == 3
    assert min(heat.shape[1:]) >= 6
    assert heat.dtype == np.float32
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    assert set(np.round(heat.max(axis=(1, 2)), 5)) <= {0, 1}
    assert heat.max() > 0


def test_evidence_in_a_corner_is_outside_the_disc_and_evidence_in_the_middle_inside(bright_spot_network):
    images = np.zeros((2, *IMAGE_SHAPE), np.uint8)
    images[0, :24, :24] = 255
    images[1, 36:60, 36:60] = 255
    heat, called = explainer(bright_spot_network).look(images)
    assert called.tolist() == [0, 0]
    in_corner, in_middle = outside_share(heat)
    assert in_corner > 0.9
    assert in_middle < 0.1


def averaged(x) -> keras.KerasTensor:
    return layers.Dense(2, kernel_initializer="ones")(layers.GlobalAveragePooling2D()(x))


def spot(network: keras.Model) -> np.ndarray:
    """The heat of an image whose lower right corner is bright."""
    images = np.zeros((1, 24, 24, 3), np.uint8)
    images[0, -6:, -6:] = 255
    return GradCam(network, (24, 24, 3))(images, np.array([0]))[0]


def test_the_layers_of_a_network_within_the_network_are_found():
    inner_pixels = keras.Input((24, 24, 3))
    x = layers.Conv2D(4, 2, strides=2, kernel_initializer="ones", name="inner_conv")(inner_pixels)
    inner = keras.Model(inner_pixels, layers.MaxPooling2D(4)(x))
    pixels = keras.Input((24, 24, 3))
    network = keras.Model(pixels, averaged(inner(layers.Rescaling(1 / 255)(pixels))))
    assert GradCam(network, (24, 24, 3)).layer == "inner_conv"
    heat = spot(network)
    assert heat.shape == (12, 12)
    assert heat[-3:, -3:].sum() == pytest.approx(heat.sum())


def test_a_branch_or_a_border_is_not_taken_for_the_whole():
    pixels = keras.Input((24, 24, 3))
    x = layers.Conv2D(4, 2, strides=2, kernel_initializer="ones", name="whole")(pixels)
    branch = layers.Conv2D(4, 3, padding="same", name="branch")(x)
    padded = layers.ZeroPadding2D(((0, 4), (0, 4)), name="border")(layers.Add(name="sum")([x, branch]))
    shortcut = layers.Conv2D(4, 4, strides=4, name="small_shortcut")(padded)
    long_way = layers.Conv2D(4, 4, strides=4, name="small")(layers.Activation("relu", name="one_branch")(padded))
    network = keras.Model(pixels, averaged(layers.Add()([shortcut, long_way])))
    ones = np.ones((1, 24, 24, 3), np.float32)
    before, calls = np.asarray(network(ones)), [layer.call for layer in network.layers]
    assert GradCam(network, (24, 24, 3)).layer == "sum"
    # The network is as it was: what was put around its layers is gone.
    assert [layer.call for layer in network.layers] == calls
    np.testing.assert_array_equal(network(ones), before)


def test_a_network_without_maps_is_refused_in_one_sentence():
    pixels = keras.Input((24, 24, 3))
    network = keras.Model(pixels, layers.Dense(2)(layers.Dense(5)(layers.Flatten()(pixels))))
    # The input itself is no layer's map.
    with pytest.raises(UserError, match="at least 6x6"):
        GradCam(network, (24, 24, 3))
