"""When what is learned: the learning rate's curve, the phases of pretrained weights, the resolutions."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build.recipes import find
from build.train.schedule import ALL, BODY, HEAD, multiplier, phase_at, phases_of, stage_of


def rate(step, total, warmup):
    return float(multiplier(step, total, warmup))


def test_the_warm_up_rises_linearly_to_the_peak():
    assert [rate(step, 100, 10) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rate(10, 100, 10) == pytest.approx(1)


def test_after_the_warm_up_it_is_half_a_cosine_down_to_nothing():
    for step in range(10, 101):
        assert rate(step, 100, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 10) / 90)), abs=1e-6)
    assert rate(55, 100, 10) == pytest.approx(0.5, abs=1e-6)
    assert rate(100, 100, 10) == rate(500, 100, 10) == pytest.approx(0, abs=1e-12)


def test_without_a_warm_up_it_begins_at_the_peak():
    assert rate(0, 50, 0) == 1


def test_a_warm_up_longer_than_a_fifth_of_the_training_is_cut_to_a_fifth():
    assert rate(20, 100, 80) == pytest.approx(1)
    assert rate(19, 100, 80) == pytest.approx(1)
    assert rate(9, 100, 80) == pytest.approx(0.5)


def test_half_a_step_of_warm_up_never_exceeds_the_peak():
    assert rate(0, 100, 0.5) == 1


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 300), st.floats(0, 400))
def test_it_stays_between_nothing_and_the_peak_and_never_rises_after_it(total, warmup):
    values = np.array(multiplier(np.arange(total + 1), float(total), warmup))
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-6
    falling = values[math.ceil(min(warmup, total / 5)) :]
    assert (np.diff(falling) <= 1e-6).all()


RECIPE = dataclasses.replace(
    find("podium"), head_epochs=5, head_learning_rate=0.5, learning_rate=0.25, warmup_epochs=2.0
)


def test_from_scratch_there_is_one_phase():
    (phase,) = phases_of(RECIPE, pretrained=False, total=30)
    assert (phase.name, phase.first, phase.end, phase.learning_rate, phase.warmup_epochs) == (ALL, 0, 30, 0.25, 2.0)


def test_pretrained_weights_get_a_head_first_and_are_fine_tuned_then():
    head, body = phases_of(RECIPE, pretrained=True, total=30)
    assert (head.name, head.first, head.end, head.learning_rate) == (HEAD, 0, 5, 0.5)
    assert (body.name, body.first, body.end, body.learning_rate) == (BODY, 5, 30, 0.25)
    assert [phase_at(epoch, (head, body)).name for epoch in (0, 4, 5, 29)] == [HEAD, HEAD, BODY, BODY]


@pytest.mark.parametrize(("total", "head"), [(1, 0), (2, 0), (3, 1), (6, 2), (15, 5), (60, 5)])
def test_the_head_never_takes_more_than_a_third(total, head):
    phases = phases_of(RECIPE, pretrained=True, total=total)
    assert sum(phase.epochs for phase in phases) == total
    assert sum(phase.epochs for phase in phases if phase.name == HEAD) == head
    assert phases[-1].name == BODY
    assert phases[-1].epochs >= 1


def test_resolutions_follow_their_shares_of_the_epochs():
    sides = [stage_of(epoch, 10, ((48, 0.3), (64, 0.5), (96, 0.2))) for epoch in range(10)]
    assert sides == [48] * 3 + [64] * 5 + [96] * 2


@pytest.mark.parametrize("total", range(1, 6))
def test_the_last_epoch_has_the_last_resolution_however_few_there_are(total):
    assert stage_of(total - 1, total, ((48, 0.95), (96, 0.05))) == 96
