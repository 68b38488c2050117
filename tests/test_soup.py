"""Means of weights: of one run and of two, the greedy choice, BatchNorm's statistics, and who may be in one pot."""

import dataclasses

import keras
import numpy as np
import pytest
import toy_cells
from toy_cells import CLASSES, RECIPE

from build import run_cells
from build.errors import UserError
from build.files import sha256
from build.members import operations_of
from build.runs import Run
from build.train.fit import train
from build.train.soup import frozen_norms, mean, measure_statistics, soup
from submission import contract, weights
from submission.network import build, complete, variables

SPEC = {
    "network": "custom-cnn",
    "depth": 3,
    "filters": 8,
    "classes": CLASSES,
    "image_shape": list(contract.IMAGE_SHAPE),
}


cells = toy_cells.cells


@pytest.fixture(scope="module")
def trained(cells, tmp_path_factory):
    """A run that has learned its cells."""
    return train(RECIPE, cells, seed=0, root=tmp_path_factory.mktemp("trained"))


@pytest.fixture
def root(cells, trained, tmp_path, monkeypatch):
    """A folder of runs: `good`, trained; `near`, all but it; `bad`, its negative, which is larger."""
    monkeypatch.setattr(run_cells, "read", lambda *_, **__: cells.cells)
    arrays, meta = weights.load(trained.weights_path)
    rng = np.random.default_rng(0)
    near = {name: array + rng.normal(0, 1e-3, array.shape).astype(np.float32) for name, array in arrays.items()}
    for name, held in {
        "good": arrays,
        "near": near,
        "bad": {name: -10 * array for name, array in arrays.items()},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        for path in (trained.recipe_path, trained.facts_path, trained.split_path):
            (folder / path.name).write_bytes(path.read_bytes())
        weights.save(folder / "weights.npz", held, meta, storage="float32")
    return tmp_path


def arrays_of(run: Run) -> dict:
    return weights.load(run.weights_path)[0]


def test_batch_statistics_of_a_soup_are_measured_anew(root, cells):
    spec = complete({"network": "mobilenet-v3-large", "width": 0.05, "classes": CLASSES, "image_shape": [96, 96, 3]})
    for number, name in enumerate(("good", "near")):
        network = build({**spec, "seed": number})
        arrays = {key: np.asarray(variable) for key, variable in variables(network).items()}
        for key in [key for key in arrays if key.endswith("/moving_mean")]:
            arrays[key] = arrays[key] + number
        weights.save(root / name / "weights.npz", arrays, {"spec": spec}, storage="float32")
    found = arrays_of(soup(["good", "near"], greedy=False, root=root))
    plain = mean(root / name / "weights.npz" for name in ("good", "near"))
    moving = [name for name in plain if name.endswith("/moving_mean")]
    assert all(np.abs(found[name] - plain[name]).max() > 0.1 for name in moving)
    np.testing.assert_allclose(found["logits/kernel"], plain["logits/kernel"], rtol=1e-6)


@pytest.mark.parametrize("greedy", [False, True])
def test_a_soup_of_one_run_is_the_run(root, greedy):
    run = soup(["good"], greedy=greedy, root=root)
    expected = arrays_of(Run.open("good", root))
    assert arrays_of(run).keys() == expected.keys()
    for name, array in arrays_of(run).items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_soup_of_two_is_the_mean_of_their_arrays_and_a_run_like_any_other(root, cells):
    run = soup(["good", "near"], greedy=False, root=root)
    good, near = (arrays_of(Run.open(name, root)) for name in ("good", "near"))
    for name, array in arrays_of(run).items():
        np.testing.assert_allclose(array, (good[name].astype(np.float64) + near[name]) / 2, rtol=1e-6, atol=1e-8)
        assert array.dtype == np.float32
    assert Run.open("latest", root) == run
    assert run.recipe.name == "toy-soup"
    facts = run.facts
    assert facts["data"]["sha256"] == cells.cells.sha256
    assert facts["seed"] == 0
    assert [(part["run"], part["used"]) for part in facts["soup"]["ingredients"]] == [("good", True), ("near", True)]
    assert facts["soup"]["ingredients"][0]["sha256"] == sha256(root / "good" / "weights.npz")
    assert facts["result"]["score"] > 0.9
    assert run_cells.split_of(run).test.tolist() == cells.split.test.tolist()


def test_a_soup_of_runs_whose_file_was_moved_is_measured_on_the_cells_in_the_cache(root, cells, monkeypatch):
    def gone(*_, **__):
        raise UserError("moved.npz does not exist.")

    monkeypatch.setattr(run_cells, "read", gone)
    with pytest.raises(UserError, match=r"cannot be read: moved\.npz does not exist\."):
        soup(["good"], greedy=False, root=root, cache=root / "data")
    monkeypatch.setattr(run_cells.store, "of_hash", lambda _, sha256, __: {cells.cells.sha256: cells.cells}[sha256])
    assert soup(["good"], greedy=False, root=root).facts["result"]["score"] > 0.9


def test_a_soup_that_met_a_full_disk_is_not_what_one_would_go_on_with(root, monkeypatch):
    before = Run.create(root, Run.open("good", root).recipe)
    before.become_latest()

    def full(*_):
        raise UserError("weights.npz cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save_weights", full)
        with pytest.raises(UserError):
            soup(["good", "near"], greedy=False, root=root)
    assert Run.open("latest", root) == before


def test_a_soup_has_trained_with_what_any_of_its_ingredients_has(root):
    near = Run.open("near", root)
    (near.folder / "recipe.json").write_text(
        dataclasses.replace(near.recipe, channel_shuffle_probability=0.5).to_json()
    )
    first = operations_of(Run.open("good", root))
    assert "channel shuffle" not in first
    run = soup(["good", "near"], greedy=False, root=root)
    assert set(operations_of(run)) == {*first, "channel shuffle"}
    # What the greedy soup leaves out has taught it nothing.
    bad = Run.open("bad", root)
    (bad.folder / "recipe.json").write_text(dataclasses.replace(near.recipe, degrade_probability=0.5).to_json())
    assert "jpeg" not in operations_of(soup(["good", "bad"], greedy=True, root=root))


def test_the_greedy_soup_leaves_out_what_would_spoil_it_in_whatever_order_they_come(root):
    for names in (["bad", "near", "good"], ["good", "bad", "near"]):
        run = soup(names, greedy=True, root=root)
        used = {part["run"]: part["used"] for part in run.facts["soup"]["ingredients"]}
        assert used == {"good": True, "near": True, "bad": False}
        spoiled = soup(names, greedy=False, root=root)
        assert spoiled.facts["result"]["score"] < run.facts["result"]["score"]


def test_the_score_is_the_training_s(root, trained):
    run = soup(["good"], greedy=False, root=root)
    theirs = trained.facts["result"]
    for key in ("validation_accuracy", "perturbed_accuracy", "score"):
        assert run.facts["result"][key] == pytest.approx(theirs[key])


def test_a_soup_is_not_resumed(root, cells):
    run = soup(["good"], greedy=False, root=root)
    with pytest.raises(UserError, match=f"{run.id} is a soup"):
        train(run.recipe, cells, seed=0, resume=run)


def test_other_networks_and_seen_validation_cells_are_refused(root, cells):
    other = complete(SPEC | {"filters": 4})
    arrays = {name: np.asarray(variable) for name, variable in variables(build(other)).items()}
    weights.save(root / "bad" / "weights.npz", arrays, {"spec": other}, storage="float32")
    with pytest.raises(UserError, match="good and bad are of different networks"):
        soup(["good", "bad"], greedy=False, root=root)
    arrays, meta = weights.load(root / "near" / "weights.npz")
    weights.save(root / "bad" / "weights.npz", arrays, meta | {"spec": meta["spec"] | {"crop": 0.5}}, storage="float32")
    with pytest.raises(UserError, match="good and bad are of different networks"):  # of equal shapes
        soup(["good", "bad"], greedy=False, root=root)
    split = cells.split
    dataclasses.replace(split, train=np.append(split.train, split.validation)).save(root / "near" / "split.npz")
    with pytest.raises(UserError, match="near was trained on validation cells of run good"):
        soup(["good", "near"], greedy=True, root=root)


def test_the_mean_of_files(tmp_path):
    for number in range(3):
        weights.save(tmp_path / f"{number}.npz", {"a": np.full(2, number, np.float32)}, {}, storage="float32")
    np.testing.assert_array_equal(mean(tmp_path / f"{number}.npz" for number in range(3))["a"], [1, 1])


def test_norms_that_no_ingredient_moved_are_frozen_and_keep_their_statistics(rng, tmp_path):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization(name="first")(inputs)
    network = keras.Model(inputs, keras.layers.BatchNormalization(name="second")(x))
    network.get_layer("first").moving_mean.assign([5.0, 6.0, 7.0])
    for number in range(2):
        network.get_layer("second").moving_variance.assign([1.0, 1.0, 1.0 + number])
        arrays = {name: np.array(value) for name, value in variables(network).items()}
        weights.save(tmp_path / f"{number}.npz", arrays, {}, storage="float32")
    frozen = frozen_norms(tmp_path / f"{number}.npz" for number in range(2))
    assert frozen == {"first"}
    batch = rng.normal(0, 1, (64, 4, 4, 3)).astype(np.float32)
    measure_statistics(network, [batch], frozen=frozen)
    first, second = network.get_layer("first"), network.get_layer("second")
    np.testing.assert_array_equal(np.array(first.moving_mean), [5.0, 6.0, 7.0])
    # What reaches the second was normalised by the first one's own statistics, not by the batch's.
    expected = (batch.mean((0, 1, 2)) - [5.0, 6.0, 7.0]) / np.sqrt(1 + first.epsilon)
    np.testing.assert_allclose(np.array(second.moving_mean), expected, rtol=1e-4)


def test_statistics_are_the_means_over_the_batches_layer_by_layer(rng):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization(name="first")(inputs)
    x = keras.layers.BatchNormalization(name="second", momentum=0.7)(x * 3)
    network = keras.Model(inputs, x)
    batches = [rng.normal(number, 1 + number, (16, 4, 4, 3)).astype(np.float32) for number in range(3)]
    measure_statistics(network, batches)
    first, second = network.get_layer("first"), network.get_layer("second")
    axes = (0, 1, 2)
    np.testing.assert_allclose(np.array(first.moving_mean), np.mean([x.mean(axes) for x in batches], 0), rtol=1e-4)
    np.testing.assert_allclose(np.array(first.moving_variance), np.mean([x.var(axes) for x in batches], 0), rtol=1e-3)
    # The first layer leaves every batch with mean 0 and variance 1.
    np.testing.assert_allclose(np.array(second.moving_mean), 0, atol=1e-4)
    np.testing.assert_allclose(np.array(second.moving_variance), 9, rtol=1e-2)
    assert (first.momentum, second.momentum) == (0.99, 0.7)
