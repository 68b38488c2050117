"""The same trainer on the JAX backend, on two devices at once, in mixed precision, and all that a GPU brings; each in its own process."""

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
from submission import convnext

convnext.SIZES["atto"] = toy_cells.SHALLOW
changes = json.loads(sys.stdin.read())
devices = changes.pop("devices", 1)
hardware.decided, decide = changes.pop("decided", {}), hardware.decide
hardware.decide = lambda recipe, machine: dataclasses.replace(decide(recipe, machine), **hardware.decided)
if devices > 1:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    hardware.decided["replicas"] = devices

from build.train import learner
from build.train.fit import train

united, unite = [], learner.unite_statistics
learner.unite_statistics = lambda *given: (united.append(given[0]), unite(*given))
recipe = dataclasses.replace(toy_cells.RECIPE, **changes)
run = train(recipe, toy_cells.prepared(), seed=0, root=Path(sys.argv[1]))
print(json.dumps({"facts": run.facts | {"united": len([one for one in united if one])}, "history": run.history}))
"""


def process(script: str, *arguments: str, backend: str = "tensorflow", **options) -> list[str]:
    """The lines that a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def printed(script: str) -> list[list[float]]:
    """The numbers in each of its lines."""
    return [list(map(float, line.split())) for line in process(script)]


def trained(root, *, backend="tensorflow", **changes):
    """Facts and history of the toy recipe with `changes`, trained in another process."""
    answer = json.loads(process(SCRIPT, str(root), backend=backend, input=json.dumps(changes))[-1])
    return answer["facts"], [
        {name: row[name] for name in ("loss", "validation_loss", "score")} for row in answer["history"]
    ]


SCALED = """
import keras, tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from build.train.optimizers import LossScale

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    variable = keras.Variable([1.0])
    optimizer = LossScale(keras.optimizers.SGD(1.0))
    optimizer.build([variable])

@tf.function
def step(gradients):
    strategy.run(lambda gradient: optimizer.apply([gradient], [variable]), args=(gradients,))

def value(of):
    return strategy.experimental_local_results(of.value)[0].numpy().item()

for infinite in (float("inf"), 1.0):
    scale = value(optimizer.dynamic_scale)
    step(strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([scale if context.replica_id_in_sync_group == 0 else scale * infinite])
    ))
    print(value(variable), value(optimizer.dynamic_scale) / scale)
"""


@pytest.mark.slow
def test_an_infinite_gradient_of_the_second_gpu_alone_reaches_no_weight():
    (kept, halved), (moved, same) = printed(SCALED)
    assert (kept, halved) == (1, 0.5)
    assert (moved, same) == (-1, 1)  # the sum of both replicas' gradients


UNITED = """
import keras, numpy as np, tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from build.train.classifier import unite_statistics
from submission.parts import BatchNormalization

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    network = keras.Sequential([keras.Input((2, 2, 1)), BatchNormalization(momentum=0.0)])

@tf.function
def step(x):
    strategy.run(lambda x: network(x, training=True), args=(x,))

def means():
    (mean,) = [one for one in network.non_trainable_variables if one.name == "moving_mean"]
    return [part.numpy().item() for part in strategy.experimental_local_results(mean.value)]

step(strategy.experimental_distribute_values_from_function(
    lambda context: tf.fill((4, 2, 2, 1), 1.0 + 2.0 * context.replica_id_in_sync_group)
))
print(*means())
unite_statistics(strategy, network)
print(*means())
"""


@pytest.mark.slow
def test_moving_statistics_of_several_gpus_become_their_mean():
    own, united = printed(UNITED)
    assert own == [1, 3]
    assert united == [2, 2]


DROPPED = """
import keras, tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from build.train.classifier import part_dropouts
from submission.convnext import StochasticDepth

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    network = keras.Sequential([keras.Input((1, 1, 1)), StochasticDepth(0.5, 0, "drop")])

@tf.function
def step():
    return strategy.run(lambda: network(tf.ones((64, 1, 1, 1)), training=True))

for call in (lambda *_: None, part_dropouts, part_dropouts):
    call(strategy, network)
    first, second = strategy.experimental_local_results(step())
    print(int(tf.reduce_sum(tf.abs(first - second))))
"""


@pytest.mark.slow
def test_several_gpus_drop_other_branches():
    (alike,), (apart,), (later,) = printed(DROPPED)
    assert alike == 0
    assert apart > 0 < later


CONVNEXT = {"network": "convnext", "size": "atto", "layer_scale": 0.1, "batch": 16, "epochs": 2, "learning_rate": 2e-3}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {
            "precision": "mixed_float16",
            "decided": {"xla": True, "fast_layers": False, "steps_per_execution": 4},
            "batch": 4,  # 20 steps an epoch: of 5 none would be taken together
        },
        {"precision": "mixed_float16", "devices": 2, "decided": {"fast_layers": False}},
        pytest.param(
            {"precision": "mixed_bfloat16", "devices": 2, "decided": {"fast_layers": False}},
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_what_a_gpu_s_decision_holds_trains_together(tmp_path, changes):
    """ConvNeXt in half precision, compiled by XLA or on several devices, several steps at a time: on a CPU, at toy size."""
    facts, history = trained(tmp_path, **(CONVNEXT | changes))
    assert facts["status"] == "finished"
    assert losses(history)[-1] < losses(history)[0]


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
    assert facts["united"] == len(history) == 3
    assert losses(history) == pytest.approx(losses(reference), rel=0.02)
    assert facts["result"]["score"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("policy", [pytest.param("mixed_bfloat16", marks=pytest.mark.exhaustive), "mixed_float16"])
def test_half_precision_learns_it_too(tmp_path, reference, policy):
    facts, history = trained(tmp_path, precision=policy, **PLAIN)
    assert facts["decided"]["precision"] == policy
    assert losses(history) != losses(reference)
    assert losses(history) == pytest.approx(losses(reference), rel=0.3)
    assert facts["result"]["score"] > 0.9
