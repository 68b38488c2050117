"""A training that cannot go on, or cannot begin, is one sentence: memory, divergence, settings, an empty side of the split."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import toy_cells
from toy_cells import RECIPE

from build.errors import UserError
from build.runs import Run
from build.train import fit, learner
from build.train.fit import train

cells = toy_cells.cells


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "OOM"), RuntimeError("RESOURCE_EXHAUSTED: out of memory")]
)
def test_a_gpu_s_memory_that_does_not_suffice_is_one_sentence(cells, tmp_path, monkeypatch, error):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(learner.Classifier, "fit", failing)
    with pytest.raises(UserError, match=r"does not hold a batch of 8 images; halve it, or take a smaller network"):
        train(RECIPE, cells, seed=0, root=tmp_path)
    assert Run.open("latest", tmp_path).facts["status"] == "failed"


def test_a_run_of_more_gpus_than_are_here_is_not_resumed(cells, tmp_path):
    run = train(dataclasses.replace(RECIPE, epochs=1), cells, seed=0, root=tmp_path)
    run.update(decided=run.facts["decided"] | {"replicas": 2}, status="interrupted")
    with pytest.raises(UserError, match="was begun on 2 GPUs, and TensorFlow sees none here"):
        train(run.recipe, cells, seed=0, resume=run, root=tmp_path)


def test_averaged_weights_that_diverge_alone_are_told_by_their_loss(cells, tmp_path, monkeypatch):
    measure = fit.Validation.measure

    def broken(*given):
        arrays, measured = measure(*given)
        return arrays, measured | {"perturbed_loss": float("nan")}

    monkeypatch.setattr(fit.Validation, "measure", broken)
    with pytest.raises(UserError, match=r"diverged in epoch 1 \(perturbed validation loss nan\)"):
        train(RECIPE, cells, seed=0, root=tmp_path)


def test_a_training_that_diverges_later_keeps_what_was_good(cells, tmp_path, monkeypatch):
    measure, asked, kept = fit.Validation.measure, itertools.count(1), []

    def broken(*given):
        arrays, measured = measure(*given)
        return arrays, measured if next(asked) < 2 else measured | {"perturbed_loss": float("nan")}

    def note(run, history):
        kept.append(run.weights_path.read_bytes())

    monkeypatch.setattr(fit.Validation, "measure", broken)
    with pytest.raises(UserError, match=r"diverged in epoch 2 "):
        train(RECIPE, cells, seed=0, root=tmp_path, watch=note)
    run = Run.open("latest", tmp_path)
    assert (run.facts["status"], run.facts["result"]["epoch"], len(run.history)) == ("failed", 1, 1)
    assert [run.weights_path.read_bytes()] == kept


def test_a_training_that_diverges_at_once_is_one_sentence(cells, tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30, warmup_epochs=0.0)
    with pytest.raises(UserError, match=r"diverged in epoch 1 .*lower the recipe's learning rate") as error:
        train(recipe, cells, seed=0, root=tmp_path)
    assert "\n" not in str(error.value)
    assert Run.open("latest", tmp_path).facts["status"] == "failed"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "at least 1 epoch"),
        ({"learning_rate": -1e-3}, "learning_rate must be at least 0"),
        ({"teacher_temperature": 0.0}, "teacher_temperature must be above 0"),
        ({"teacher_weight": 1.5}, "teacher_weight must be from 0 to 1"),
        ({"teachers": ("nowhere",), "teacher_weight": 0.0}, "teacher_weight is 0, so nowhere would teach nothing"),
        ({"patience": -1}, "patience must be at least 0"),
        ({"label_smoothing": 1.5}, "label_smoothing must be from 0 to 1"),
        ({"storage": "float8"}, "storage must be one of float32, float16, int8"),
        ({"views": 3}, "views must be 0 .* or one of 1, 2, 4, 8, 16"),
        ({"name": "a/b"}, "name is part of a folder's name"),
        ({"name": ""}, "name is part of a folder's name"),
        ({"crop": 7.0}, "crop in 0.1..1.0"),
        ({"depth": 2}, "cannot be built .*at least 3 blocks, got depth 2"),
        ({"filters": 0}, "cannot be built"),
        ({"padding": "valid", "depth": 5}, "5 blocks of unpadded 3 x 3 kernels leave nothing of images of 32"),
        ({"member": 5000}, "member must be from 0 to 4000"),
        ({"optimizer": "sgd"}, "adamw or lion"),
        ({"network": "resnet"}, "resnet"),
        ({"dropout": 1.5}, "dropout"),
        ({"balance": "somehow"}, "balance"),
        ({"weights": "nowhere.npz"}, "nowhere.npz"),
        ({"precision": "float8"}, "float8"),
        ({"resolutions": ((32, 0.3),)}, "add up to 1"),
    ],
    ids=lambda value: str(value),
)
def test_settings_that_cannot_work_are_one_sentence_and_leave_no_run(cells, tmp_path, changes, said):
    with pytest.raises(UserError, match=said) as error:
        train(dataclasses.replace(RECIPE, **changes), cells, seed=0, root=tmp_path / "runs")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("side", "said"), [("train", "more cells"), ("validation", "validation_share"), ("test", "test_share")]
)
def test_an_empty_side_of_the_split_is_one_sentence(cells, tmp_path, side, said):
    split = dataclasses.replace(cells.split, **{side: np.empty(0, np.int64)})
    with pytest.raises(UserError, match=f"The {side} side .* {said}"):
        train(RECIPE, dataclasses.replace(cells, split=split), seed=0, root=tmp_path)
