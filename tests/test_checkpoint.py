"""A checkpoint: every bit back, whole or absent, and refused by a network that it is not of."""

import keras
import numpy as np
import pytest

from build.errors import UserError
from build.train import checkpoint


def variables(rng, *shapes):
    return [keras.Variable(rng.normal(size=shape), name=f"v{i}", dtype="float32") for i, shape in enumerate(shapes)]


@pytest.fixture
def saved(rng, tmp_path):
    network, optimizer = variables(rng, (3, 2), ()), variables(rng, (3, 2))
    network[0].assign(np.array([[np.nan, -0.0], [1e-40, np.inf], [1.5, 2]], np.float32))
    path = tmp_path / "checkpoint" / "state.npz"
    checkpoint.save(path, network, optimizer, {"done": 3, "best": {"loss": 0.1 + 0.2}})
    return path, network, optimizer


def test_every_bit_and_every_fact_comes_back(saved, rng):
    path, network, optimizer = saved
    others, moments = variables(rng, (3, 2), ()), variables(rng, (3, 2))
    checkpoint.load_variables(path, others, moments)
    for mine, theirs in zip(others + moments, network + optimizer, strict=True):
        assert np.array(mine).tobytes() == np.array(theirs).tobytes()
    assert checkpoint.load_facts(path) == {"done": 3, "best": {"loss": 0.1 + 0.2}}


def test_without_an_optimizer_only_the_networks_variables_are_read(saved, rng):
    path, network, _ = saved
    others = variables(rng, (3, 2), ())
    checkpoint.load_variables(path, others, None)
    assert np.array(others[1]) == np.array(network[1])


@pytest.mark.parametrize("shapes", [((3, 2),), ((3, 2), (), (1,)), ((2, 3), ())], ids=str)
def test_another_network_is_one_sentence(saved, rng, shapes):
    path, _, _ = saved
    others = variables(rng, *shapes)
    before = checkpoint.snapshot(others)
    with pytest.raises(UserError, match="does not fit the network"):
        checkpoint.load_variables(path, others, None)
    for variable, value in zip(others, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)


@pytest.mark.parametrize("arrays", [{"a": np.zeros(1)}, {"facts": np.zeros(3, np.uint8)}])
def test_a_file_without_facts_is_one_sentence(tmp_path, arrays):
    np.savez(tmp_path / "state.npz", **arrays)
    with pytest.raises(UserError, match=r"state\.npz holds no facts; the run can be packaged but not resumed\."):
        checkpoint.load_facts(tmp_path / "state.npz")


def test_a_save_that_fails_leaves_the_checkpoint_before(saved, monkeypatch):
    path, network, optimizer = saved
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, network, optimizer, {"done": 4})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["state.npz"]


def test_a_snapshot_does_not_follow_the_variable(rng):
    (variable,) = variables(rng, (4,))
    (taken,) = checkpoint.snapshot([variable])
    value = taken.copy()
    variable.assign(np.zeros(4, np.float32))
    variable.assign_add(np.ones(4, np.float32))
    np.testing.assert_array_equal(taken, value)
    checkpoint.restore([variable], [taken])
    np.testing.assert_array_equal(np.array(variable), value)
