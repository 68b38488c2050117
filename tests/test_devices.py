"""The same trainer on the JAX backend, on two devices at once, and in mixed precision; each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path

import toy_cells
from build.recipe import Recipe
from build.train import hardware

changes = json.loads(sys.stdin.read())
devices = changes.pop("devices", 1)
if devices > 1:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    decide = hardware.decide
    hardware.decide = lambda recipe, machine: dataclasses.replace(decide(recipe, machine), replicas=devices)

from build.train.fit import train

recipe = dataclasses.replace(toy_cells.RECIPE, **changes)
run = train(recipe, toy_cells.prepared(), seed=0, root=Path(sys.argv[1]))
print(json.dumps({"facts": run.facts, "history": run.history}))
"""


def trained(root, *, backend="tensorflow", **changes):
    """Facts and history of the toy recipe with `changes`, trained in another process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root)],
        input=json.dumps(changes),
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["facts"], [
        {name: row[name] for name in ("loss", "validation_loss", "score")} for row in answer["history"]
    ]


PLAIN = {"dropout": 0.0, "epochs": 3}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("reference"), **PLAIN)[1]


def losses(history):
    return [float(row["loss"]) for row in history]


@pytest.mark.slow
def test_jax_trains_the_same_batches_to_the_same_losses(tmp_path, reference):
    facts, history = trained(tmp_path, backend="jax", **PLAIN)
    assert facts["backend"] == "jax"
    assert losses(history) == pytest.approx(losses(reference), rel=0.02)
    assert facts["result"]["score"] == 1


@pytest.mark.slow
def test_two_devices_train_to_the_losses_of_one(tmp_path, reference):
    facts, history = trained(tmp_path, devices=2, **PLAIN)
    assert facts["decided"]["replicas"] == 2
    assert losses(history) == pytest.approx(losses(reference), rel=0.02)
    assert facts["result"]["score"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_it_too(tmp_path, reference, policy):
    facts, history = trained(tmp_path, precision=policy, **PLAIN)
    assert facts["decided"]["precision"] == policy
    assert losses(history) != losses(reference)
    assert losses(history) == pytest.approx(losses(reference), rel=0.3)
    assert facts["result"]["score"] > 0.9
