"""Grad-CAM points at the pixels that decide."""

import numpy as np
import pytest

from build.gradcam import explainer
from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE


@pytest.fixture(scope="module")
def bright_spot_network(tmp_path_factory):
    """A custom CNN whose channels pass brightness on, so that class 0's evidence is where the image is bright."""
    from submission.network import build, variables

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
