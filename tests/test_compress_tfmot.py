"""tfmot in its own process: the twin computes the same, zeros and shared values hold exactly, its absence is one sentence."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from untrained import run_without_weights

from build.compress import tfmot_process
from build.compress.candidates import METHODS, Material, make
from build.errors import UserError
from build.recipes import find
from submission import weights
from submission.inference import Predictor
from submission.network import build, complete, variables

ROOT = Path(__file__).resolve().parent.parent
RECIPE = dataclasses.replace(find("smoke"), network="custom-cnn", filters=8, batch=8)
SPECS = (
    {"network": "custom-cnn", "filters": 8, "classes": 8, "image_shape": [96, 96, 3]},
    {"network": "convnext", "size": "atto", "classes": 8, "image_shape": [96, 96, 3]},
    {"network": "efficientnet-lite", "size": "lite0", "classes": 8, "image_shape": [96, 96, 3], "upsample": 1.5},
)
needs_tfmot = pytest.mark.skipif(bool(tfmot_process.missing()), reason="the dependency group compress is not installed")


def network_file(spec: dict, path: Path, seed: int = 1) -> dict[str, np.ndarray]:
    """Random weights of every kind, moving variances among them, written to `path`."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, variable in variables(build(complete(spec))).items():
        noise = rng.uniform(0.9, 1.1, tuple(variable.shape)).astype(np.float32)
        arrays[name] = (np.array(variable) * noise).astype(np.float32)
    weights.save(path, arrays, {"spec": complete(spec)}, storage="float32")
    return arrays


def test_without_its_packages_a_method_of_tfmots_is_refused_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(tfmot_process, "missing", lambda: ["tf_keras"])
    with pytest.raises(
        UserError, match="tfmot-cluster-16 needs tf_keras, which the dependency group `compress` brings"
    ):
        make(METHODS["tfmot-cluster-16"], Material.__new__(Material), tmp_path / "w.npz")


@needs_tfmot
@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", [pytest.param(SPECS[0], marks=pytest.mark.exhaustive), *SPECS[1:]], ids=lambda spec: spec["network"]
)
def test_the_twin_in_tf_keras_computes_the_same(spec, rng, tmp_path):
    arrays = network_file(spec, tmp_path / "w.npz")
    images = rng.integers(0, 256, (4, 96, 96, 3)).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    code = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
from build.compress.bridge import twin, weights_of
from submission import weights
arrays, meta = weights.load("w.npz")
model = twin(meta["spec"], arrays)
np.save("y.npy", model(np.load("x.npy").astype("float32"), training=False).numpy())
np.savez("back.npz", **weights_of(model))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), Predictor(tmp_path / "w.npz").logits(images), atol=2e-4)
    with np.load(tmp_path / "back.npz") as back:
        assert set(back.files) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)


@needs_tfmot
@pytest.mark.slow
def test_pruned_and_clustered_kernels_have_their_zeros_and_few_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = run_without_weights(tmp_path, RECIPE, cells=240)
    arrays = network_file(SPECS[0], run.weights_path)
    make(METHODS["tfmot-prune-50-cluster-16"], Material(run, steps=6), tmp_path / "w.npz")
    found, _ = weights.load(tmp_path / "w.npz")
    assert found.keys() == arrays.keys()
    for name, array in found.items():
        if name.endswith("/kernel"):
            assert len(np.unique(array)) <= 16, name
            assert (array == 0).mean() == pytest.approx(0.5, abs=0.02), name
            assert np.corrcoef(array.ravel(), arrays[name].ravel())[0, 1] > 0.8, name


@needs_tfmot
def test_its_process_leaves_the_gpu_to_ours(tmp_path, monkeypatch):
    given, said = {}, "import os; raise SystemExit(f'CUDA_VISIBLE_DEVICES is {os.environ[\"CUDA_VISIBLE_DEVICES\"]}')"
    start = tfmot_process.subprocess.Popen

    def popen(command, **options):
        given.update(command=command)
        return start([command[0], "-c", said], **options)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(tfmot_process.subprocess, "Popen", popen)
    run = run_without_weights(tmp_path, RECIPE, cells=240)
    network_file(SPECS[0], run.weights_path)
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES is -1"):
        make(METHODS["tfmot-cluster-16"], Material(run, steps=1), tmp_path / "w.npz")
    assert "build.compress.tfmot_job" in given["command"]


@needs_tfmot
@pytest.mark.slow
def test_a_job_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = run_without_weights(tmp_path, RECIPE, cells=240)
    network_file(SPECS[0], run.weights_path)
    facts = json.loads(run.facts_path.read_text())
    material = Material(run, steps=1)
    facts["data"]["sha256"] = "another"
    run.facts_path.write_text(json.dumps(facts))
    with pytest.raises(
        UserError, match=r"failed in tfmot's process \(exit code 1\): The cells of .*are not those that run"
    ):
        make(METHODS["tfmot-cluster-16"], material, tmp_path / "w.npz")
