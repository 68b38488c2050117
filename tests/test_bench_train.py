"""The variants of the training benchmark do train, so that their times mean something."""

import numpy as np
import pytest

from build.bench.train import LITE_VARIANTS, OURS, VARIANTS, step


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        VARIANTS[OURS],
        VARIANTS["keras.applications (grouped Conv2D)"],
        LITE_VARIANTS[OURS],
        LITE_VARIANTS["ours, products in bfloat16"],
    ],
)
def test_a_variant_s_steps_lower_the_loss(variant):
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    function = step(32, batch=8, **variant)
    first = function(images)
    losses = [function(images) for _ in range(12)]
    assert np.isfinite(losses).all()
    assert min(losses) < 0.9 * first
