"""Framing: the crop and the blurred edges are what they say, part of every network, and the same in every engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from submission import framing, weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.framing import OFF, Framing, disc
from submission.inference import Predictor
from submission.network import build, complete, kernels, variables

ROOT = Path(__file__).resolve().parent.parent
ON = {"crop": 0.8, "edge_blur": 3.0, "edge_radius": 0.5}
SPECS = {
    "convnext": {"size": "atto", "layer_scale": 0.5},
    "efficientnet-lite": {"size": "lite0", "upsample": 1.5},
    "custom-cnn": {"filters": 4},
    "mobilenet-v3-large": {"width": 0.1},
}


def spec_for(name: str, **changes) -> dict:
    common = {"network": name, "classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)}
    return complete(common | SPECS[name] | changes)


def pictures(rng, count: int = 3) -> np.ndarray:
    coarse = rng.integers(0, 256, (count, 12, 12, 3), np.uint8)
    return np.stack([cv2.resize(image, IMAGE_SHAPE[1::-1], interpolation=cv2.INTER_CUBIC) for image in coarse])


def framed(images: np.ndarray, **settings) -> np.ndarray:
    return np.asarray(Framing(**(OFF | settings))(images))


def test_a_crop_is_the_middle_enlarged(rng):
    images = rng.integers(0, 256, (2, 64, 48, 3), np.uint8)
    middle = images[:, 16:48, 12:36].astype(np.float32)
    found = framed(images, crop=0.5)
    # Half a pixel at the crop's border comes from outside of it, where cv2 repeats the last one.
    for image, expected in zip(found, middle, strict=True):
        enlarged = cv2.resize(expected, (48, 64), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(image[1:-1, 1:-1], enlarged[1:-1, 1:-1], atol=1e-3)
    np.testing.assert_allclose(framed(np.full((1, 32, 32, 3), 255, np.uint8), **ON), 255, rtol=1e-6)


def test_the_blur_is_a_gaussian_outside_the_disc_and_nothing_inside(rng):
    images = rng.integers(0, 256, (2, 64, 64, 3), np.uint8).astype(np.float32)
    found = framed(images, edge_blur=2.0, edge_radius=0.4)
    kept = disc(64, 64, 0.4)
    np.testing.assert_allclose(found[:, kept == 1], images[:, kept == 1], rtol=1e-6)
    # Far from the border, where both take the same neighbours, scipy's own filter gives the same.
    expected = gaussian_filter(images, (0, 2, 2, 0), truncate=8)
    inner = np.zeros((64, 64), bool)
    inner[10:54, 10:54] = True
    corner = (kept == 0) & inner
    assert corner.sum() > 20
    np.testing.assert_allclose(found[:, corner], expected[:, corner], atol=0.02)
    assert 0.2 < np.abs(found - images)[:, kept == 0].mean() / np.abs(images - 127).mean() < 2
    assert ((kept > 0.01) & (kept < 0.99)).sum() > 100


@pytest.mark.parametrize("name", SPECS)
def test_switched_off_the_network_is_the_one_without_the_settings(name, rng):
    spec = {key: value for key, value in spec_for(name).items() if key not in OFF}
    images = pictures(rng).astype(np.float32)
    plain = build(spec)
    off = build(spec | {"crop": 1.0, "edge_blur": 0.0, "edge_radius": 0.3})
    assert [layer.name for layer in off.layers] == [layer.name for layer in plain.layers]
    assert "framing" not in [layer.name for layer in off.layers]
    np.testing.assert_array_equal(np.asarray(off(images)), np.asarray(plain(images)))


@pytest.mark.parametrize("name", SPECS)
def test_every_network_sees_the_framed_image(name, rng):
    images = pictures(rng)
    plain, on = build(spec_for(name)), build(spec_for(name, **ON))
    assert list(variables(on)) == list(variables(plain))
    assert [layer.name for layer in on.layers][1] == "framing"
    expected = np.asarray(plain(framed(images, **ON)))
    found = np.asarray(on(images.astype(np.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(found - np.asarray(plain(images.astype(np.float32)))).max() > 1e-3 * np.abs(expected).max()


def test_a_neighbour_with_granules_at_the_edge_counts_less(rng):
    images = pictures(rng, 16).astype(np.float32)
    crowded = images.copy()
    # Its texture is what a blur takes away; of an even patch the mean colour would stay.
    crowded[:, :10, 30:60] = np.float32((240, 80, 255)) * rng.integers(0, 2, (16, 10, 30, 1))
    moved = []
    for settings in ({}, {"edge_blur": 4.0, "edge_radius": 0.5}, {"crop": 0.75}):
        network = build(spec_for("custom-cnn", **settings))
        moved.append(np.abs(np.asarray(network(crowded)) - np.asarray(network(images))).mean())
    assert moved[1] < 0.5 * moved[0]
    assert moved[2] < 0.01 * moved[0]


def write(path: Path, name: str, rng, **changes) -> Path:
    spec = spec_for(name, **changes)
    network = build(spec)
    for kernel in kernels(network).values():
        kernel.assign(rng.normal(0, 0.1, kernel.shape))
    weights.save(path, {key: np.asarray(v) for key, v in variables(network).items()}, {"spec": spec}, storage="float32")
    return path


@pytest.mark.parametrize("settings", [ON, {"crop": 0.7}, {"edge_blur": 2.0}])
def test_the_folded_engine_frames_as_the_layers_do(settings, rng, tmp_path):
    path = write(tmp_path / "w.npz", "convnext", rng, **settings)
    arrays, meta = weights.load(path)
    network = build(meta["spec"], initialize=False)
    for name, variable in variables(network).items():
        variable.assign(arrays[name])
    images = pictures(rng, 5)
    expected = np.asarray(network(images.astype(np.float32), training=False))
    found = Predictor(path).logits(images)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    arrays, meta = weights.load(path)
    weights.save(path, arrays, {"spec": meta["spec"] | OFF}, storage="float32")
    assert np.abs(found - Predictor(path).logits(images)).max() > 1e-2 * np.abs(expected).max()


def test_a_weights_file_from_before_framing_predicts_as_it_did(rng, tmp_path):
    path = write(tmp_path / "w.npz", "convnext", rng)
    images = pictures(rng, 4)
    expected = Predictor(path).logits(images)
    arrays, meta = weights.load(path)
    older = {key: value for key, value in meta["spec"].items() if key not in OFF}
    weights.save(path, arrays, {"spec": older}, storage="float32")
    np.testing.assert_array_equal(Predictor(path).logits(images), expected)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"crop": 0.0}, r"Expected crop in 0\.1\.\.1\.0, got 0\.0"),
        ({"crop": 1.5}, "Expected crop"),
        ({"edge_blur": -1.0}, "Expected edge_blur"),
        ({"edge_radius": 3.0}, "Expected edge_radius"),
    ],
)
def test_settings_out_of_range_are_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        spec_for("custom-cnn", **change)
    assert framing.framing(OFF) is None


PROGRAM = """
import json, sys
import numpy as np
from submission.framing import Framing
settings, out = json.loads(sys.argv[1]), sys.argv[2]
images = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), np.uint8)
np.save(out, np.asarray(Framing(**settings)(images)))
"""


@pytest.mark.slow
def test_jax_frames_the_same(tmp_path):
    pytest.importorskip("jax")
    out = tmp_path / "framed.npy"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(ON), str(out)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=1200)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), np.uint8)
    np.testing.assert_allclose(np.load(out), framed(images, **ON), atol=1e-3)
