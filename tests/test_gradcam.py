"""Grad-CAM points at the pixels that decide."""

import numpy as np
import pytest

from build.gradcam import BATCH, explainer
from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.network import NETWORKS, build, complete, variables


@pytest.fixture(scope="module")
def bright_spot_network(tmp_path_factory):
    """A custom CNN whose channels pass brightness on, so that class 0's evidence is where the image is bright."""
    spec = {"network": "custom-cnn", "classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)}
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
    path = tmp_path_factory.mktemp("weights") / "weights.npz"
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


def test_images_are_explained_each_on_its_own_however_many(bright_spot_network, rng):
    images = rng.integers(0, 256, (BATCH + 3, *IMAGE_SHAPE), np.uint8)
    labels = rng.integers(0, len(CLASSES), len(images))
    explain = explainer(bright_spot_network)
    heat = explain(images, labels)
    assert len(heat) == len(images)
    np.testing.assert_allclose(heat[-2:], explain(images[-2:], labels[-2:]), atol=1e-4)
    assert explain(images[:0], labels[:0]).shape == (0, *heat.shape[1:])


@pytest.mark.parametrize("network", NETWORKS)
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
