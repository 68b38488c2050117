"""AdamW and Lion against their papers' formulas, what is left out of the decay, the moving average, the schedule's length."""

import dataclasses

import keras
import numpy as np
import pytest

from build.errors import UserError
from build.recipes import find
from build.train.optimizers import build_optimizer
from build.train.schedule import Phase, multiplier

STEPS, PEAK, DECAY = 12, 0.05, 0.3


def recipe(**changes):
    return dataclasses.replace(find("podium"), **({"weight_decay": DECAY, "ema_momentum": 0.0} | changes))


def optimizer_of(chosen, undecayed=(), epochs=3, warmup=0.5):
    return build_optimizer(chosen, Phase("all", 0, epochs, PEAK, warmup), steps_per_epoch=4, undecayed=undecayed)


def rates(steps=STEPS, total=12.0, warmup=2.0):
    return [PEAK * float(multiplier(step, total, warmup)) for step in range(steps)]


@pytest.fixture
def start(rng):
    return rng.normal(size=(3, 2))


@pytest.fixture
def gradients(rng):
    return rng.normal(size=(STEPS, 3, 2))


def trained(optimizer, variables, gradients):
    """The variables' values after each step, every variable with the same gradient."""
    optimizer.build(variables)
    steps = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32") for _ in variables], variables)
        steps.append([np.array(variable) for variable in variables])
    return steps


def test_lion_is_algorithm_2_of_its_paper(start, gradients):
    kernel, bias = keras.Variable(start, dtype="float32"), keras.Variable(start, dtype="float32")
    steps = trained(optimizer_of(recipe(optimizer="lion"), [bias]), [kernel, bias], gradients)
    decayed, plain, m = start.copy(), start.copy(), np.zeros_like(start)
    for rate, g, (found, found_bias) in zip(rates(), gradients, steps, strict=True):
        update = np.sign(0.9 * m + 0.1 * g)
        decayed = decayed - rate * (update + DECAY * decayed)
        plain = plain - rate * update
        m = 0.99 * m + 0.01 * g
        np.testing.assert_allclose(found, decayed, atol=1e-5)
        np.testing.assert_allclose(found_bias, plain, atol=1e-5)


def test_adamw_is_algorithm_2_of_its_paper(start, gradients):
    kernel, bias = keras.Variable(start, dtype="float32"), keras.Variable(start, dtype="float32")
    steps = trained(optimizer_of(recipe(optimizer="adamw"), [bias]), [kernel, bias], gradients)
    decayed, plain, m, v = start.copy(), start.copy(), 0, 0
    for t, (rate, g, (found, found_bias)) in enumerate(zip(rates(), gradients, steps, strict=True), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        update = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
        decayed = decayed - rate * (update + DECAY * decayed)
        plain = plain - rate * update
        np.testing.assert_allclose(found, decayed, atol=1e-4)
        np.testing.assert_allclose(found_bias, plain, atol=1e-4)


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_the_average_begins_at_the_first_weights_and_its_momentum_grows_to_the_recipes(name, start, gradients):
    variable = keras.Variable(start, dtype="float32")
    optimizer = optimizer_of(recipe(optimizer=name, ema_momentum=0.5))
    steps = trained(optimizer, [variable], gradients)
    average = steps[0][0]
    for t, (value,) in enumerate(steps[1:], 1):
        momentum = min(0.5, (1 + t) / (10 + t))
        average = momentum * average + (1 - momentum) * value
    raw = np.array(variable)
    optimizer.finalize_variable_values([variable])  # what keras calls at the end of each epoch's fit
    np.testing.assert_array_equal(np.array(variable), raw)
    optimizer.load_average([variable])
    np.testing.assert_allclose(np.array(variable), average, atol=1e-5)
    assert np.abs(average - raw).max() > 1e-3


def test_without_a_momentum_there_is_no_average(start, gradients):
    variable = keras.Variable(start, dtype="float32")
    optimizer = optimizer_of(recipe())
    ((*_, last),) = trained(optimizer, [variable], gradients[:1])
    optimizer.load_average([variable])
    np.testing.assert_array_equal(np.array(variable), last)


def test_the_schedules_length_may_change_on_the_way(start, gradients):
    variable = keras.Variable(start, dtype="float32")
    optimizer = optimizer_of(recipe())
    trained(optimizer, [variable], gradients[:6])
    assert float(optimizer.learning_rate) == pytest.approx(PEAK * float(multiplier(6, 12.0, 2.0)))
    optimizer.total_steps.assign(24.0)
    assert float(optimizer.learning_rate) == pytest.approx(PEAK * float(multiplier(6, 24.0, 2.0)))
    assert any(variable is optimizer.total_steps for variable in optimizer.variables)  # so the checkpoint has it


def test_the_decay_leaves_out_all_but_the_kernels():
    from build.train.classifier import undecayed
    from submission import network as networks

    spec = {"network": "convnext", "size": "atto", "classes": 8, "image_shape": [32, 32, 3]}
    network = networks.build(spec, initialize=False)
    left_out = {variable.path for variable in undecayed(network)}
    assert left_out == {v.path for v in network.trainable_variables if not v.path.endswith("/kernel")}
    ends = {path.rsplit("/", 1)[1] for path in left_out}
    assert ends == {"bias", "gamma", "beta"}


def test_an_unknown_optimizer_is_one_sentence():
    with pytest.raises(UserError, match=r"adamw or lion.*'sgd'"):
        optimizer_of(recipe(optimizer="sgd"))
