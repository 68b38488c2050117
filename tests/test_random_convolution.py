"""Random convolutions: the mix that their paper gives, from kernels of its weights."""

import numpy as np
import pytest
from scipy.ndimage import correlate

from build.augment.random_convolution import draw_random_convolutions, random_convolution
from build.bench.augment import cells


@pytest.mark.parametrize("side", [1, 3, 7])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_an_image_is_mixed_with_its_channels_under_the_kernel(rng, side, share):
    image = cells(1)[0]
    before = image.copy()
    weights = 0.2 * rng.standard_normal((3, 3, side, side)).astype(np.float32)
    pixels = image.astype(float)
    middle = pixels.mean((0, 1))
    made = [
        sum(correlate(pixels[..., read] - middle[read], of[read], mode="mirror") for read in range(3)) for of in weights
    ]
    expected = np.clip(share * pixels + (1 - share) * (np.stack(made, 2) + middle), 0, 255)
    mixed = random_convolution(image, (weights, share))
    assert mixed.dtype == np.uint8
    assert np.abs(mixed - expected).max() < 0.51
    assert np.array_equal(image, before)
    if share == 1:
        assert np.array_equal(mixed, image)


def test_kernels_of_every_side_are_drawn_each_as_strong_as_the_others(rng):
    steps = draw_random_convolutions(800, rng=rng)
    assert {name for name, _ in steps} == {"random_convolution"}
    sides = [weights.shape[-1] for _, (weights, _) in steps]
    assert {side: pytest.approx(200, abs=50) for side in (1, 3, 5, 7)} == {
        side: sides.count(side) for side in set(sides)
    }
    for side in (1, 3, 5, 7):
        drawn = np.stack([weights for _, (weights, _) in steps if weights.shape == (3, 3, side, side)])
        assert drawn.dtype == np.float32
        assert drawn.mean() == pytest.approx(0, abs=0.05)
        assert 3 * side * side * drawn.var() == pytest.approx(1, abs=0.15)
    shares = np.array([share for _, (_, share) in steps])
    assert (shares.min() >= 0) & (shares.max() <= 1)
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
