"""The variants of the training benchmark do train, so that their times mean something."""

import dataclasses

import numpy as np
import pytest
import toy_cells

from build.bench.train import LITE_VARIANTS, OURS, VARIANTS, step
from submission import convnext, efficientnet_lite


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        VARIANTS[OURS],
        pytest.param(VARIANTS["keras.applications (grouped Conv2D)"], marks=pytest.mark.exhaustive),
        pytest.param(LITE_VARIANTS[OURS], marks=pytest.mark.exhaustive),
        LITE_VARIANTS["ours, products in bfloat16"],
    ],
)
def test_a_variant_s_steps_lower_the_loss(variant, monkeypatch):
    monkeypatch.setitem(convnext.SIZES, "atto", toy_cells.SHALLOW)
    shallow = dataclasses.replace(efficientnet_lite.SIZES["lite2"], depths=(1, 0, 1, 0, 1, 0, 0))
    monkeypatch.setitem(efficientnet_lite.SIZES, "lite2", shallow)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    function = step(32, batch=8, **variant)
    first = function(images)
    losses = [function(images) for _ in range(12)]
    assert np.isfinite(losses).all()
    assert min(losses) < 0.9 * first
