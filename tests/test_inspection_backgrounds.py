"""Groups of backgrounds: what a gap separates is found and named, and nothing is invented where there is none."""

import numpy as np
import pytest

from build.inspection.backgrounds import groups


def around(rng, centre, count: int, spread: float = 0.7) -> np.ndarray:
    return (np.array(centre) + rng.normal(0, spread, (count, 3))).astype(np.float32)


def test_a_bluish_two_percent_is_a_group_and_a_lone_picture_is_none(rng):
    usual, blue = around(rng, (92, 5, 16), 980), around(rng, (89, 4, -3), 20)
    everything = np.concatenate([usual, blue, [[40, 60, 60]]]).astype(np.float32)
    order = rng.permutation(len(everything))
    found, alone = groups(everything[order])
    assert [group.name for group in found] == ["usual", "bluer"]
    assert set(order[found[1].positions]) == set(range(980, 1000))
    assert 1000 in set(order[alone])
    assert len(found[0].positions) + len(found[1].positions) + len(alone) == 1001
    assert found[1].lab == pytest.approx((89, 4, -3), abs=0.6)


def test_one_wide_cloud_is_one_group(rng):
    found, alone = groups(around(rng, (90, 4, 10), 2000, spread=2.0))
    assert [group.name for group in found] == ["usual"]
    assert len(alone) < 20


@pytest.mark.parametrize(
    ("difference", "name"),
    [
        ((0, 0, -12), "bluer"),
        ((0, 0, 12), "yellower"),
        ((-20, 0, 0), "darker"),
        ((8, 0, -12), "bluer and lighter"),
        ((0, 14, 0), "redder"),
        ((0, -14, 6), "greener and yellower"),
        ((0, 0, -4.6), "slightly bluer"),
    ],
)
def test_a_group_is_named_by_how_it_differs(rng, difference, name):
    usual = around(rng, (80, 5, 5), 300, spread=0.15)
    other = around(rng, np.add((80, 5, 5), difference), 30, spread=0.15)
    found, _ = groups(np.concatenate([usual, other]))
    assert [group.name for group in found] == ["usual", name]


def test_a_few_pictures_are_no_group(rng):
    found, alone = groups(around(rng, (80, 5, 5), 4, spread=0.1))
    assert found == []
    assert alone.tolist() == [0, 1, 2, 3]
