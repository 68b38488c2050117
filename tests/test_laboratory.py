"""The suite `laboratory`: each part does to colours, light and sharpness what it says."""

import cv2
import numpy as np
import pytest

from build.data import synthetic
from build.score.corruptions import laboratory
from build.score.corruptions.definition import SEVERITIES


@pytest.fixture(scope="module")
def cell() -> np.ndarray:
    """A painted cell, its colours kept away from black and white, so that nothing is clipped."""
    return (60 + synthetic.cell(3, seed=3, kinds=synthetic.kinds_of_classes())[0] * 0.5).astype(np.uint8)


def lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3)


def test_other_dyes_have_the_means_and_spreads_that_were_drawn(cell):
    before = lab(cell)
    for seed in range(8):
        after = lab(laboratory.stain_otherwise(cell, (6, 0.16), rng=np.random.default_rng(seed)))
        moved = np.abs(after.mean(0) - before.mean(0))
        stretched = np.abs(np.log(after.std(0) / before.std(0)))
        assert ((moved > 0.75 * 6 - 0.5) & (moved < 6 + 0.5)).all(), moved
        assert ((stretched > 0.75 * np.log(1.16) - 0.03) & (stretched < np.log(1.16) + 0.03)).all(), stretched


def test_both_directions_of_every_channel_are_drawn(cell):
    signs = {
        tuple(np.sign(lab(laboratory.stain_otherwise(cell, (6, 0), rng=np.random.default_rng(seed))).mean(0) - mean))
        for mean in [lab(cell).mean(0)]
        for seed in range(60)
    }
    assert len(signs) == 8


def test_an_exposure_keeps_black_white_and_the_order_of_values(rng):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    middles = []
    for _ in range(20):
        out = laboratory.expose(ramp, 2.0, rng=rng)[0]
        assert out[0].tolist() == [0, 0, 0]
        assert out[255].tolist() == [255, 255, 255]
        assert (np.diff(out.astype(int), axis=0) >= 0).all()
        middles.append(out[128, 0])
    assert 255 * (128 / 255) ** 2 - 1 <= min(middles) < 90
    assert 160 < max(middles) <= 255 * (128 / 255) ** 0.5 + 1


def test_a_white_point_scales_each_channel_by_itself(rng):
    grey, directions = np.full((8, 8, 3), 120, np.uint8), set()
    for _ in range(60):
        out = laboratory.balance_white(grey, 1.25, rng=rng)
        ratios = out[0, 0] / 120
        assert (out == out[0, 0]).all()
        assert (
            (np.abs(np.log(ratios)) > 0.75 * np.log(1.25) - 0.01) & (np.abs(np.log(ratios)) < np.log(1.25) + 0.01)
        ).all()
        directions.add(tuple(ratios > 1))
    assert len(directions) == 8


def test_a_coarse_sensor_loses_what_is_finer_than_its_pixels_and_nothing_else(rng):
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 200
    assert laboratory.resolve(stripes, 0.5, rng=rng)[:, 4:-4].std() < 2
    ramp = np.repeat(np.linspace(20, 220, 96).astype(np.uint8)[None, :, None], 96, 0).repeat(3, 2)
    assert np.abs(laboratory.resolve(ramp, 0.5, rng=rng).astype(int) - ramp)[:, 4:-4].max() <= 2


def test_all_at_once_is_every_part_in_order_at_the_same_severity(cell):
    last = laboratory.SUITE.corruptions[-1]
    for severity in SEVERITIES:
        rng, expected = np.random.default_rng(severity), cell
        for part in laboratory.PARTS:
            expected = part(expected, severity, rng=rng)
        assert np.array_equal(last(cell, severity, rng=np.random.default_rng(severity)), expected)
    assert set(last.operations) == {operation for part in laboratory.PARTS for operation in part.operations}
