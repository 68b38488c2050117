"""The contenders of the prediction benchmark compute the same thing, so that their times can be compared."""

import numpy as np
import pytest

from build.bench.predict import OURS, compare, contenders


@pytest.mark.slow
def test_all_contenders_have_the_same_weights_and_ours_is_the_fastest(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), np.uint8)
    runners = contenders("atto", tmp_path)
    assert len(runners) == 5
    expected = runners[OURS](images)
    assert np.ptp(expected, axis=1).min() > 0.1  # between classes
    assert np.ptp(expected, axis=0).max() > 0.01  # between images
    for function in runners.values():
        np.testing.assert_allclose(function(images), expected, atol=1e-3)
    facts = compare("atto", images, rounds=3)
    assert facts.keys() == runners.keys()
    grouped = [facts[name]["times_ours"] for name in facts if "grouped" in name]
    assert min(grouped) > 2  # about 17 on an idle machine
