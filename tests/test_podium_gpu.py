"""The recipe for a GPU, at toy size: what it decides on each card, and both of its phases on a CPU."""

import dataclasses

import numpy as np
import pytest
import toy_cells

from build.recipes import find
from build.train import hardware
from build.train.classifier import spec_of
from build.train.fit import train
from build.train.hardware import Machine
from submission import contract, convnext, weights
from submission.network import build, variables

RECIPE = find("podium-gpu")


@pytest.mark.parametrize(
    ("machine", "decided"),
    [
        (Machine("tensorflow", 16, ("H100",), 80.0, (9, 0)), ("base", "imagenet", "mixed_bfloat16")),
        (Machine("jax", 16, ("A100",), 40.0, (8, 0)), ("base", "imagenet", "mixed_bfloat16")),
        (Machine("tensorflow", 4, ("T4",), 15.0, (7, 5)), ("tiny", "imagenet", "mixed_float16")),
    ],
)
def test_it_fine_tunes_imagenets_weights_at_twice_the_side(machine, decided):
    decision = hardware.decide(RECIPE, machine)
    assert (decision.size, decision.weights, decision.precision) == decided
    spec = spec_of(RECIPE, decision, classes=8, image_shape=contract.IMAGE_SHAPE, seed=0)
    assert spec["upsample"] == 2.0
    assert RECIPE.learning_rate <= 2e-4  # a rate made for a training from scratch would destroy them


@pytest.mark.slow
def test_both_phases_train_at_toy_size(tmp_path, monkeypatch):
    monkeypatch.setitem(convnext.SIZES, "atto", toy_cells.SHALLOW)
    spec = {"network": "convnext", "size": "atto", "classes": 1000, "image_shape": [96, 96, 3], "layer_scale": 0.1}
    arrays = {name: np.asarray(value) for name, value in variables(build(spec)).items()}
    published = tmp_path / "published.npz"
    weights.save(published, arrays, {"spec": spec}, storage="float32")
    toy = dataclasses.replace(
        RECIPE, size="atto", weights=str(published), epochs=3, batch=16, resolutions=((32, 1.0),), learning_rate=1e-3
    )
    run = train(toy, toy_cells.prepared(), seed=0, root=tmp_path / "runs")
    assert [row["phase"] for row in run.history] == ["head", "fine-tune", "fine-tune"]
    kept, meta = weights.load(run.weights_path)
    assert meta["spec"]["upsample"] == 2.0
    assert float(run.history[-1]["loss"]) < float(run.history[0]["loss"])
    assert all(np.isfinite(array).all() for array in kept.values())
    moved = np.abs(kept["stage_0_block_0_expand/kernel"] - arrays["stage_0_block_0_expand/kernel"]).max()
    assert moved > 1e-3
