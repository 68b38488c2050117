"""`train` on the command line: what a run is resumed with, which recipe and weights are meant, what is refused before any work."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from build import cli, gpu_troubles
from build.data.read import read
from build.recipes import find
from build.runs import Run
from build.train import hardware


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run():
    """A run of the recipe smoke that was stopped before its first epoch."""
    recipe = dataclasses.replace(find("smoke"), minutes=2.0)
    facts = {"data": {"source": "gone.npz", "sha256": "0" * 64}, "status": "interrupted"}
    made = Run.create("runs", recipe, seed=3, **facts)
    made.become_latest()
    return made


@pytest.mark.parametrize(
    ("option", "value", "own"),
    [
        ("recipe", "podium", "recipe 'smoke' and not 'podium'"),
        ("minutes", "60", "minutes 2.0 and not 60.0"),
        ("seed", "4", "seed 3 and not 4"),
        ("size", "tiny", "size 'atto' and not 'tiny'"),
        ("weights", "imagenet", "weights 'none' and not 'imagenet'"),
        ("member", "1", "member 0 and not 1"),
        ("teacher", "other", "teachers () and not ('other',)"),
    ],
)
def test_a_run_is_not_resumed_by_other_settings_than_its_own(run, capsys, option, value, own):
    assert cli.main(["train", "--resume", run.id, f"--{option}", value]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert own in said
    assert f"leave --{option} out" in said


def test_a_run_is_resumed_by_what_set_repeats_only(run, capsys):
    assert cli.main(["train", "--resume", run.id, "--set", "minutes=2", "--set", "crop=0.7"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "crop 1.0 and not 0.7; leave --set crop out" in said


@pytest.mark.parametrize("facts", ["{}", "", "[]", '{"seed": 3, "data": {}}'])
def test_a_run_of_which_the_facts_are_lost_is_not_resumed(run, capsys, facts):
    run.facts_path.write_text(facts)
    assert cli.main(["train", "--resume", run.id]) == 2
    assert "run.json" in capsys.readouterr().err


def test_its_own_settings_may_be_named_again_and_its_data_elsewhere(run, capsys):
    own = ["--recipe", "smoke", "--minutes", "2", "--seed", "3", "--weights", "none"]
    assert cli.main(["train", "--resume", run.id, *own]) == 2
    assert "gone.npz" in capsys.readouterr().err
    assert cli.main(["train", "--resume", run.id, *own, "--data", "moved.npz"]) == 2
    assert "moved.npz" in capsys.readouterr().err


def test_no_device_is_asked_for_before_the_hosts_of_a_run_have_met(monkeypatch):
    monkeypatch.setattr(gpu_troubles, "nvidia_smi", lambda: "nvidia-smi")
    monkeypatch.setattr(hardware, "find", lambda: pytest.fail("JAX looked at a device"))
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "10.0.0.1:4711,10.0.0.2:4711")
    assert gpu_troubles.has_gpu()
    monkeypatch.setattr(gpu_troubles, "nvidia_smi", lambda: None)
    assert not gpu_troubles.has_gpu()


@pytest.mark.parametrize(
    ("data", "gpu", "name"),
    [
        ("synthetic", True, "smoke"),
        ("synthetic:160", False, "smoke"),
        ("synthetic_cells.npz", False, "podium"),
        ("synthetic_cells.npz", True, "podium-gpu"),
    ],
)
def test_the_recipe_follows_from_the_data_and_the_machine(monkeypatch, capsys, data, gpu, name):
    monkeypatch.setattr("build.cli.training.has_gpu", lambda: gpu)
    asked = []
    monkeypatch.setattr("build.data.prepare.prepare", lambda data, recipe, seed: asked.append(recipe.name) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "--data", data])
    assert asked == [name]
    assert ("Training on synthetic cells" in capsys.readouterr().err) == (name == "smoke")


@pytest.mark.parametrize("option", [("--set", "upsample=2"), ("--size", "tiny")])
def test_a_setting_of_other_networks_is_refused_before_the_training(capsys, option):
    assert cli.main(["train", "--data", "synthetic:160", "--recipe", "report-custom-cnn", *option]) == 2
    assert "The network custom-cnn has no setting" in " ".join(capsys.readouterr().err.split())
    assert not Path("runs").exists()


def test_rows_that_are_left_out_are_told_with_the_command_that_shows_them(tmp_path, capsys):
    cells = read("synthetic:160", seed=0, cache=tmp_path)
    images, labels = (np.concatenate([array, array[:3]]) for array in (cells.images, cells.labels))
    np.savez(tmp_path / "some cells.npz", images=images, labels=labels)
    # A setting of other networks ends it after the data is told.
    asked = ["--data", "some cells.npz", "--recipe", "report-custom-cnn", "--size", "tiny"]
    assert cli.main(["train", *asked]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Left out: 3 as duplicate (`nox -s inspect -- --data 'some cells.npz'` shows them)." in said


def test_the_latest_run_s_weights_are_named_by_its_id(run, monkeypatch):
    asked = []
    monkeypatch.setattr("build.data.prepare.prepare", lambda data, recipe, seed: asked.append(recipe) or 1 / 0)
    for given in ("runs/latest/weights.npz", f"runs/{run.id}/weights.npz"):
        with pytest.raises(ZeroDivisionError):
            cli.main(["train", "--weights", given])
        with pytest.raises(ZeroDivisionError):
            cli.main(["train", "--set", f"weights={given}", "--set", "teachers=latest"])
        with pytest.raises(ZeroDivisionError):
            cli.main(["train", "--weights", given, "--teacher", "runs/latest", "--teacher", given])
    Path("models/latest").mkdir(parents=True)  # of somebody's own
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "--weights", "models/latest/w.npz"])
    assert asked.pop().weights == "models/latest/w.npz"
    inside = f"runs/{run.id}"
    assert [recipe.teachers for recipe in asked] == [(), (run.id,), (inside, f"{inside}/weights.npz")] * 2
    assert {recipe.weights for recipe in asked} == {f"runs/{run.id}/weights.npz"}


@pytest.mark.parametrize(("backend", "says"), [("tensorlfow", "not on 'tensorlfow'"), ("jax", "nox -s install -- jax")])
def test_a_backend_that_cannot_train_is_one_sentence_before_any_work(monkeypatch, capsys, backend, says):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr("build.machine.find_spec", lambda name: None)
    monkeypatch.setattr("build.data.prepare.prepare", lambda *_, **__: pytest.fail("data was read"))
    assert cli.main(["train"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert says in said
    assert "Traceback" not in said
    for command in (["soup", "a"], ["compress"], ["package"], ["cam"], ["sweep"], ["reproduce"], ["pretrain"]):
        assert cli.main(command) == 2
        assert says in " ".join(capsys.readouterr().err.split())
    assert cli.main(["leaderboard", "--rule", "Add", "--add", "none"]) == 2
    assert says not in capsys.readouterr().err  # which needs no keras
