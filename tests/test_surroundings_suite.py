"""The suite `surroundings`: the cell stays what it is, what lies around it does not, and the frame becomes as wide as it says."""

import cv2
import numpy as np
import pytest

from build.score.corruptions import surroundings
from build.score.corruptions.definition import SEVERITIES

SIDE = 96
FAR = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)) / SIDE
LIGHT = (230, 220, 210)
RED_CELLS, WIDER_FRAME = surroundings.SUITE.corruptions


def picture(radius: float = 0.2) -> np.ndarray:
    """A dark disc in the middle of a light picture, and another one in a corner."""
    image = np.full((SIDE, SIDE, 3), LIGHT, np.uint8)
    image[radius > FAR] = (90, 40, 130)
    image[:20, :20] = (90, 40, 130)
    return image


def test_the_cell_in_the_middle_is_cut_out_with_a_rim():
    mask = surroundings.cut_out(picture())
    assert mask.shape == (SIDE, SIDE)
    assert mask[FAR < 0.2 + surroundings.RIM - 0.04].min() > 0.95
    assert mask[FAR > 0.2 + surroundings.RIM + 0.05].max() < 0.05, "and nothing else, such as the cell in the corner"


def test_a_cell_of_several_parts_is_one_cell():
    image = np.full((SIDE, SIDE, 3), LIGHT, np.uint8)
    image[40:52, 25:37] = image[40:52, 60:72] = 60
    assert surroundings.cut_out(image)[44:48, 25:72].min() > 0.95


def test_without_anything_dark_in_the_middle_its_disc_is_kept():
    mask = surroundings.cut_out(np.full((SIDE, SIDE, 3), 255, np.uint8))
    assert mask[FAR < surroundings.MIDDLE - 0.05].min() > 0.95
    assert mask[FAR > surroundings.MIDDLE + 0.05].max() < 0.05


@pytest.mark.parametrize("severity", SEVERITIES)
def test_among_red_cells_the_cell_itself_does_not_change(severity):
    image = picture()
    for seed in range(4):
        out = RED_CELLS(image, severity, rng=np.random.default_rng(seed))
        assert np.abs(out[FAR < 0.2].astype(int) - image[FAR < 0.2]).max() <= 1
        around = FAR > 0.2 + surroundings.RIM + 0.05
        assert (np.abs(out[around].astype(int) - image[around]).max(-1) > 8).mean() > 0.1
        assert (out[:20, :20] != image[:20, :20]).any(), "the other cell is gone"


def test_the_frame_becomes_as_wide_as_the_level_says():
    sizes = []
    for severity, (*_, wider) in zip(SEVERITIES, WIDER_FRAME.levels, strict=True):
        shares = []
        for seed in range(12):
            out = WIDER_FRAME(picture(), severity, rng=np.random.default_rng(seed))
            # Only the cell is violet: red cells take away more blue than red.
            violet = (out[..., 2].astype(int) - out[..., 0] > 20).sum()
            shares.append(np.sqrt((FAR < 0.2).sum() / violet))
        assert wider**0.75 - 0.05 < min(shares)
        assert max(shares) < wider + 0.05
        sizes.append(np.mean(shares))
    assert sizes == sorted(sizes)


def test_red_cells_are_as_large_as_many_and_as_deep_as_asked_for():
    light = np.array(LIGHT, np.float32)

    def field(**changed) -> np.ndarray:
        options = {"radius": 12.0, "coverage": 0.5, "depth": 0.6} | changed
        fields = [
            surroundings.paint_red_cells((SIDE, SIDE), light, rng=np.random.default_rng(seed), **options)
            for seed in range(16)
        ]
        return np.stack(fields)

    def covered(fields: np.ndarray) -> float:
        return (fields[..., 1] < 0.97 * light[1]).mean()

    usual = field()
    assert covered(field(coverage=0.2)) < 0.6 * covered(usual) < 0.6 * covered(field(coverage=1.0))
    assert field(depth=1.0).min() < usual.min() < field(depth=0.3).min()
    assert usual.max() <= light.max() + 1e-3
    assert (usual[..., 0] >= usual[..., 1] * light[0] / light[1] - 1).all(), "red cells let red light through"

    def pieces(fields: np.ndarray) -> float:
        dark = [(one[..., 1] < 0.97 * light[1]).astype(np.uint8) for one in fields]
        return float(np.mean([cv2.connectedComponents(one)[0] - 1 for one in dark]))

    assert pieces(field(radius=4.0, coverage=0.2)) > 2 * pieces(field(radius=12.0, coverage=0.2))
