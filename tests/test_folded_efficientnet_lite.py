"""EfficientNet-Lite folded for prediction: the same logits as its layers, with every setting that changes what is computed."""

import numpy as np
import pytest
import tensorflow as tf

from submission.efficientnet_lite import SIZES, weight_shapes
from submission.folded_efficientnet_lite import forward
from submission.inference import Predictor
from submission.network import build, complete, variables
from submission.weights import save


def trained(rng, **settings):
    """A network whose normalizations are not those of a new one, its spec and its arrays."""
    asked = {"network": "efficientnet-lite", "size": "lite0", "classes": 8, "image_shape": [96, 96, 3]}
    spec = complete(asked | settings)
    model = build(spec)
    for name, variable in variables(model).items():
        part = name.split("/")[1]
        if part == "moving_variance":
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif part in ("gamma", "beta", "moving_mean"):
            variable.assign(variable + rng.normal(0, 0.2, variable.shape).astype(np.float32))
    return model, spec, {name: np.asarray(variable) for name, variable in variables(model).items()}


@pytest.mark.parametrize("size", SIZES)
def test_the_shapes_are_told_without_building(size):
    spec = {"network": "efficientnet-lite", "size": size, "classes": 5, "image_shape": [96, 96, 3]}
    told = weight_shapes(size=size, classes=5)
    assert told == {name: tuple(variable.shape) for name, variable in variables(build(spec, initialize=False)).items()}


@pytest.mark.parametrize(
    "settings",
    [{}, {"upsample": 1.34}, {"crop": 0.8, "edge_blur": 2.0}, {"image_shape": [75, 90, 3]}],
    ids=["plain", "enlarged", "framed", "odd sides"],
)
def test_folded_and_layers_give_the_same_logits(settings, rng):
    model, spec, arrays = trained(rng, **settings)
    images = rng.integers(0, 256, (4, *spec["image_shape"])).astype(np.uint8)
    expected = model(images.astype(np.float32), training=False).numpy()
    got = tf.function(forward(arrays, spec))(tf.constant(images)).numpy()
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_predictor_takes_the_folded_one(rng, tmp_path, monkeypatch):
    _, spec, arrays = trained(rng)
    save(tmp_path / "weights.npz", arrays, {"spec": spec}, storage="float32")
    monkeypatch.setattr("submission.inference.build", lambda *_, **__: pytest.fail("the layers were built"))
    images = rng.integers(0, 256, (3, 96, 96, 3)).astype(np.uint8)
    assert Predictor(tmp_path / "weights.npz").logits(images).shape == (3, 8)
