"""Stopping and going on: bit-exact after a kill, refused with anything else, Ctrl-C keeps what there is."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy_cells
from toy_cells import RECIPE

from build.errors import UserError
from build.runs import Run, RunInterrupted
from build.train import fit, record
from build.train.fit import train
from submission import convnext

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
TIMES = {"seconds", "images_per_second"}
KILLED = """
import dataclasses, os, signal, sys
from pathlib import Path
import toy_cells
from build.recipe import Recipe
from build.train import batches
from build.train.fit import train
from build.train.streams import TRAIN
from submission import convnext

convnext.SIZES["atto"] = toy_cells.SHALLOW
make = batches.Batches.make

def make_until_the_kill(self, index):
    if (self.stream, self.epoch, index) == (TRAIN, 2, 5):
        os.kill(os.getpid(), signal.SIGKILL)
    return make(self, index)

batches.Batches.make = make_until_the_kill
train(Recipe.from_json(sys.stdin.read()), toy_cells.prepared(), seed=0, root=Path(sys.argv[1]))
"""


cells = toy_cells.cells


def killed(recipe, root) -> Run:
    """A run whose process was killed amid its third epoch."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)],
        input=recipe.to_json(),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = Run.open("latest", root)
    assert [row["epoch"] for row in run.history] == ["1", "2"]
    return run


def assert_equal(resumed: Run, straight: Run) -> None:
    """The same weights, history and checkpoint, to the bit; only the times are others."""
    assert resumed.weights_path.read_bytes() == straight.weights_path.read_bytes()
    for mine, theirs in zip(resumed.history, straight.history, strict=True):
        assert {k: v for k, v in mine.items() if k not in TIMES} == {k: v for k, v in theirs.items() if k not in TIMES}
    with np.load(resumed.checkpoint_path) as mine, np.load(straight.checkpoint_path) as theirs:
        assert mine.files == theirs.files
        for name in set(mine.files) - {"facts"}:
            assert mine[name].tobytes() == theirs[name].tobytes(), name


def test_two_epochs_a_kill_and_two_more_are_four_epochs_to_the_bit(cells, tmp_path):
    straight = train(RECIPE, cells, seed=0, root=tmp_path / "straight")
    run = killed(RECIPE, tmp_path / "killed")
    assert train(run.recipe, cells, seed=0, resume=run) == run
    assert_equal(run, straight)
    assert run.facts["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        # The kill comes in the first epoch of another resolution, with random generators in the network.
        {"network": "convnext", "size": "atto", "stochastic_depth": 0.3, "resolutions": ((32, 0.5), (48, 0.5))},
        # Amid the second phase, whose optimizer is another one, at the beginning of another strength; three views an image.
        {
            **{"head_epochs": 1, "optimizer": "lion", "learning_rate": 1e-3, "jsd_weight": 12.0, "mixup_alpha": 0.2},
            **{"curriculum": ((0.2, 0.5), (1.0, 0.5)), "degrade_probability": 0.9},
        },
        # In the first epoch of the second phase.
        pytest.param({"head_epochs": 2, "epochs": 6, "l2": 1e-3, "ema_momentum": 0.0}, marks=pytest.mark.exhaustive),
    ],
    ids=["atto, two resolutions", "lion, views, a curriculum", "at the phases' border"],
)
def test_it_is_bit_exact_in_phases_and_resolutions_too(cells, tmp_path, monkeypatch, changes):
    monkeypatch.setitem(convnext.SIZES, "atto", toy_cells.SHALLOW)
    recipe = dataclasses.replace(RECIPE, **changes)
    if "head_epochs" in changes:
        own = train(dataclasses.replace(RECIPE, epochs=1), cells, seed=5, root=tmp_path / "own")
        recipe = dataclasses.replace(recipe, weights=str(own.weights_path))
    straight = train(recipe, cells, seed=0, root=tmp_path / "straight")
    run = killed(recipe, tmp_path / "killed")
    train(run.recipe, cells, seed=0, resume=run)
    assert_equal(run, straight)


@pytest.fixture(scope="module")
def interrupted(cells, tmp_path_factory):
    """A run that Ctrl-C reached in its second epoch."""
    patch = pytest.MonkeyPatch()
    watch = fit.Training._steps

    def steps(self, stream, epoch, *rest):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return watch(self, stream, epoch, *rest)

    patch.setattr(fit.Training, "_steps", steps)
    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background of a shell
    with pytest.raises(RunInterrupted, match="--resume") as caught:
        train(RECIPE, cells, seed=0, root=tmp_path_factory.mktemp("runs"))
    patch.undo()
    assert signal.getsignal(signal.SIGINT) is before
    return caught.value.run


def test_a_second_ctrl_c_stops_at_once_and_says_how_to_go_on_too(cells, tmp_path, monkeypatch):
    def steps(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(fit.Training, "_steps", steps)
    with pytest.raises(RunInterrupted, match="--resume") as caught:
        train(RECIPE, cells, seed=0, root=tmp_path)
    assert caught.value.run.facts["status"] == "interrupted"


def test_ctrl_c_keeps_the_best_weights_and_draws_the_curves(interrupted):
    facts = interrupted.facts
    assert facts["status"] == "interrupted"
    assert facts["epochs"] == {"done": 1, "total": 4, "recipe": 4}
    assert facts["result"]["epoch"] == 1
    assert interrupted.weights_path.exists()
    assert interrupted.curves_path.exists()
    assert len(interrupted.history) == 1


@pytest.mark.parametrize("what", ["seed", "data", "recipe", "split"])
def test_a_run_is_not_resumed_with_anything_else(interrupted, cells, what):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e-4) if what == "recipe" else RECIPE
    other = toy_cells.prepared(seed=1) if what == "data" else cells
    if what == "split":  # drawn by other code than the run's
        swapped = {"train": cells.split.test, "test": cells.split.train}
        other = dataclasses.replace(cells, split=dataclasses.replace(cells.split, **swapped))
    before = interrupted.facts
    with pytest.raises(UserError, match=rf"{interrupted.id} was trained with another {what}") as caught:
        train(recipe, other, seed=1 if what == "seed" else 0, resume=interrupted)
    # No option draws the split: the code does.
    assert ("check out the commit" if what == "split" else "resume it with its own") in str(caught.value)
    assert interrupted.facts == before


def test_a_run_without_a_whole_epoch_begins_again_from_the_same_weights_alone(
    interrupted, cells, tmp_path, monkeypatch
):
    run = Run(Path(shutil.copytree(interrupted.folder, tmp_path / interrupted.id)))
    monkeypatch.setattr(record.pretrained, "hash_of", lambda *_: "0" * 64)
    record.decision_of(run, RECIPE, cells, 0)  # a checkpoint has them
    run.checkpoint_path.unlink()
    with pytest.raises(UserError, match=f"are others than when run {run.id} began"):
        record.decision_of(run, RECIPE, cells, 0)


def test_the_notes_of_another_version_are_one_sentence(interrupted, cells, tmp_path):
    run = Run(Path(shutil.copytree(interrupted.folder, tmp_path / interrupted.id)))
    run.update(decided=run.facts["decided"] | {"of_tomorrow": True})
    with pytest.raises(UserError, match="check out the commit"):
        record.decision_of(run, RECIPE, cells, 0)
    with np.load(run.checkpoint_path) as held:
        arrays = dict(held)
    facts = json.loads(arrays["facts"].tobytes())
    timetable = SimpleNamespace(recall=lambda costs: costs["rates"])
    assert record.recall(run, timetable)[0].done == 1
    for other in (facts | {"of_tomorrow": True}, facts | {"costs": {}}):
        np.savez(run.checkpoint_path, **arrays | {"facts": np.frombuffer(json.dumps(other).encode(), np.uint8)})
        with pytest.raises(UserError, match="check out the commit"):
            record.recall(run, timetable)


def test_the_number_of_epochs_is_fixed_once_a_run_has_begun(interrupted, cells):
    with pytest.raises(UserError, match="--epochs"):
        train(RECIPE, cells, seed=0, resume=interrupted, epochs=9)


def test_a_damaged_checkpoint_is_one_sentence(interrupted, cells, tmp_path):
    whole = interrupted.checkpoint_path.read_bytes()
    try:
        for damaged in (whole[: len(whole) // 2], b""):
            interrupted.checkpoint_path.write_bytes(damaged)
            with pytest.raises(UserError, match="damaged") as error:
                train(RECIPE, cells, seed=0, resume=interrupted)
            assert "\n" not in str(error.value)
    finally:
        interrupted.checkpoint_path.write_bytes(whole)


def test_a_finished_run_is_left_as_it_is(cells, tmp_path, capsys):
    run = train(dataclasses.replace(RECIPE, epochs=1), cells, seed=0, root=tmp_path)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert train(run.recipe, cells, seed=0, resume=run) == run
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_is_exit_code_130_and_resume_goes_on(tmp_path):
    def command(*arguments):
        return [sys.executable, "-m", "build", "train", *arguments]

    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            # A network that is traced at once, so wide that an epoch takes seconds: the signal has to come before the last one's end.
            command("--data", "synthetic:320", "--epochs", "3", "--recipe", "report-custom-cnn", "--set", "filters=64"),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stderr=file,
        )
        end = time.monotonic() + 300
        while "epoch   1/3" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130, log.read_text()
    said = log.read_text()
    run = Run.open("latest", tmp_path / "runs")
    assert "Traceback" not in said
    assert f"nox -s train -- --resume {run.id}" in said
    assert run.facts["status"] == "interrupted"
    assert run.weights_path.exists()
    done = len(run.history)
    assert 1 <= done < 3

    resumed = subprocess.run(
        command("--resume", "latest"), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"Going on with run {run.id} after epoch {done} of 3" in resumed.stderr
    assert resumed.stdout.strip().endswith(run.id)
    assert [row["epoch"] for row in run.history] == ["1", "2", "3"]
    assert run.facts["status"] == "finished"
