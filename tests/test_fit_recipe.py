"""That what a recipe asks for reaches the training, and that a training keeps what it should and no more."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import toy_cells
from toy_cells import RECIPE, column

from build.runs import RunInterrupted
from build.train import fit, learner, progress
from build.train.fit import train
from submission import network as networks
from submission import weights

cells = toy_cells.cells


def test_the_recipe_s_augmentation_and_loss_reach_the_training(cells, tmp_path, monkeypatch):
    fed, losses, objective = [], [], learner.Objective

    class Seen(learner.Batches):
        def __init__(self, *rest, augmentation, **named):
            fed.append(augmentation)
            super().__init__(*rest, augmentation=augmentation, **named)

    monkeypatch.setattr(learner, "Batches", Seen)
    monkeypatch.setattr(learner, "Objective", lambda **named: losses.append(named) or objective(**named))
    rows = cells.split.train
    few = rows[(cells.cells.labels[rows] > 0) | (np.arange(len(rows)) < 40)]
    counts = np.bincount(cells.cells.labels[few], minlength=8)
    assert counts[0] < counts[1:].min()
    uneven = dataclasses.replace(cells, split=dataclasses.replace(cells.split, train=few))
    recipe = dataclasses.replace(RECIPE, epochs=1, balance="weights", label_smoothing=0.1, jsd_weight=12.0)
    recipe = dataclasses.replace(recipe, teacher_weight=0.25, teacher_temperature=3.0)
    train(recipe, uneven, seed=0, root=tmp_path)
    assert [one.recipe for one in fed] == [recipe]
    (loss,) = losses
    assert list(loss["class_weight"]) == pytest.approx(list(len(few) / 8 / counts))
    assert (loss["label_smoothing"], loss["jsd_weight"]) == (0.1, 12.0)
    assert (loss["teacher_weight"], loss["temperature"]) == (0.25, 3.0)


def test_a_curriculum_weakens_all_but_the_flips_for_its_share_of_the_epochs(cells, tmp_path, monkeypatch):
    shown, batches = [], learner.Batches

    def seen(*rest, epoch, augmentation, **named):
        shown.append((epoch, augmentation.recipe))
        return batches(*rest, epoch=epoch, augmentation=augmentation, **named)

    monkeypatch.setattr(learner, "Batches", seen)
    recipe = dataclasses.replace(
        RECIPE, epochs=4, patience=0, curriculum=((0.5, 0.25), (0.0, 0.25), (1.0, 0.5)), degrade_probability=0.3
    )
    train(recipe, cells, seed=0, root=tmp_path)
    assert [(epoch, one.degrade_probability, one.flip) for epoch, one in shown] == [
        (0, 0.15, True),
        (1, 0.0, True),
        (2, 0.3, True),
        (3, 0.3, True),
    ]
    assert [one.geometry_probability / recipe.geometry_probability for _, one in shown] == [0.5, 0, 1, 1]


@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_the_kept_weights_are_the_best_epoch_s_and_give_its_loss(cells, tmp_path, monkeypatch, l2):
    monkeypatch.setattr(fit, "surpasses", lambda *_: False)  # the first is kept
    run = train(dataclasses.replace(RECIPE, epochs=3, l2=l2), cells, seed=0, root=tmp_path)
    arrays, meta = weights.load(run.weights_path)
    network = networks.build(meta["spec"], initialize=False)
    networks.assign(network, arrays)
    rows = cells.split.validation
    logits = np.array(network(cells.cells.images[rows].astype(np.float32), training=False), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -log_p[np.arange(len(rows)), cells.cells.labels[rows]].mean()
    assert loss == pytest.approx(column(run, "validation_loss")[0], rel=1e-3)
    assert loss != pytest.approx(column(run, "validation_loss")[-1], rel=1e-2)


@pytest.mark.parametrize(("xla", "resolutions"), [("off", ((16, 0.5), (32, 0.5))), ("on", ((32, 1.0),))])
def test_what_a_time_budget_tries_leaves_no_trace(cells, tmp_path, xla, resolutions):
    recipe = dataclasses.replace(RECIPE, epochs=2, resolutions=resolutions, xla=xla)
    free, timed = (
        train(dataclasses.replace(recipe, minutes=minutes), cells, seed=0, root=tmp_path / str(minutes))
        for minutes in (0.0, 60.0)
    )
    assert column(timed, "learning_rate") == column(free, "learning_rate")
    assert timed.weights_path.read_bytes() == free.weights_path.read_bytes()


def test_a_resumed_run_has_only_the_rest_of_its_minutes(cells, tmp_path, monkeypatch):
    ticks = itertools.count()
    for module in (fit, progress):  # every look at the clock is a second later
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    recipe, left = dataclasses.replace(RECIPE, epochs=6, patience=0, minutes=3.0), []
    decide, epoch = fit.Timetable.decide, fit.Training._epoch

    def decided(self, done, total, rest, **known):
        left.append(rest)
        return decide(self, done, total, rest, **known)

    def stopped(self, number):
        epoch(self, number)
        self.stop.wished |= number == 2

    monkeypatch.setattr(fit.Timetable, "decide", decided)
    with monkeypatch.context() as patch:
        patch.setattr(fit.Training, "_epoch", stopped)
        with pytest.raises(RunInterrupted) as caught:
            train(recipe, cells, seed=0, root=tmp_path)
    train(recipe, cells, seed=0, resume=caught.value.run)
    assert len(left) == 6
    assert left == sorted(left, reverse=True)
