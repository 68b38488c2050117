"""The suite `surroundings`: the cell stays what it is, what lies around it does not, and the frame becomes as wide as it says."""

import cv2
import numpy as np
import pytest

from build.score.corruptions import surroundings
from build.score.corruptions.definition import SEVERITIES

SIDE = 96
far = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)) / SIDE
LIGHT = (180, 170, 160)
VIOLET = (90, 40, 130)
RED_CELLS, WIDER_FRAME, CUT_OUT = surroundings.SUITE.corruptions


def picture(radius: float = 0.2) -> np.ndarray:
    """A dark disc in the middle of a picture, and another one in a corner."""
    image = np.full((SIDE, SIDE, 3), LIGHT, np.uint8)
    image[far < radius] = VIOLET
    image[:20, :20] = VIOLET
    return image


def violet(image: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) bool, where the cell is: red cells take away more blue than red."""
    return image[..., 2].astype(int) - image[..., 0] > 20


def test_the_cell_in_the_middle_is_cut_out_with_a_rim():
    mask = surroundings.cut_out(picture())
    assert mask.shape == (SIDE, SIDE)
    assert mask[far < 0.2 + surroundings.RIM - 0.04].min() > 0.95
    assert mask[far > 0.2 + surroundings.RIM + 0.05].max() < 0.05, "and nothing else, such as the cell in the corner"


def test_a_cell_of_several_parts_is_one_cell_and_what_lies_beside_it_is_not():
    image = np.full((SIDE, SIDE, 3), LIGHT, np.uint8)
    image[40:52, 33:42] = image[40:52, 54:63] = 60
    image[20:76, 16:22] = 60
    mask = surroundings.cut_out(image)
    assert mask[42:50, 33:63].min() > 0.95
    assert mask[:, :18].max() < 0.05


@pytest.mark.parametrize("shape", [(96, 96), (1, 8), (2, 2), (9, 1)])
def test_without_anything_dark_in_the_middle_its_disc_is_kept(shape):
    mask = surroundings.cut_out(np.full((*shape, 3), 255, np.uint8))
    assert mask.max() > 0.3
    if shape == (SIDE, SIDE):
        assert mask[far < surroundings.MIDDLE - 0.05].min() > 0.95
        assert mask[far > surroundings.MIDDLE + 0.05].max() < 0.05


@pytest.mark.parametrize("severity", SEVERITIES)
def test_among_red_cells_the_cell_itself_does_not_change(severity):
    image = picture()
    for seed in range(4):
        out = RED_CELLS(image, severity, rng=np.random.default_rng(seed))
        assert np.abs(out[far < 0.2].astype(int) - image[far < 0.2]).max() <= 1
        around = far > 0.2 + surroundings.RIM + 0.05
        changed = np.abs(out[around].astype(int) - image[around]).max(-1) > 8
        assert changed.mean() > 0.15
        assert (out[around] <= np.array(LIGHT) + 1).all(), "in the picture's own light"
        assert not violet(out)[:20, :20].any(), "the other cell is gone"


def test_the_frame_becomes_as_wide_as_the_level_says():
    sizes = []
    for severity, (*_, wider) in zip(SEVERITIES, WIDER_FRAME.levels, strict=True):
        shares = []
        for seed in range(12):
            cell = violet(WIDER_FRAME(picture(), severity, rng=np.random.default_rng(seed)))
            shares.append(np.sqrt((far < 0.2).sum() / cell.sum()))
            assert np.abs(np.argwhere(cell).mean(0) - (SIDE - 1) / 2).max() < 1.5, "still in the middle"
        assert wider**0.75 - 0.05 < min(shares)
        assert max(shares) < wider + 0.05
        assert max(shares) - min(shares) > 0.1 * (wider - 1)
        sizes.append(np.mean(shares))
    assert sizes == sorted(sizes)


def test_red_cells_become_smaller_with_the_cell(monkeypatch):
    radii = []

    def paint(shape, light, *, radius, **_):
        radii.append(radius / (surroundings.RED_CELL * SIDE))
        return np.full((*shape, 3), light)

    monkeypatch.setattr(surroundings, "paint_red_cells", paint)
    for seed in range(12):
        cell = violet(WIDER_FRAME(picture(), 5, rng=np.random.default_rng(seed)))
        assert radii[-1] == pytest.approx(np.sqrt(cell.sum() / (far < 0.2).sum()), abs=0.04)


def test_red_cells_are_as_large_as_many_and_as_deep_as_asked_for():
    light = np.array(LIGHT, np.float32)

    def field(**changed) -> np.ndarray:
        options = {"radius": 12.0, "coverage": 0.5, "depth": 0.6} | changed
        fields = [
            surroundings.paint_red_cells((SIDE, SIDE), light, rng=np.random.default_rng(seed), **options)
            for seed in range(32)
        ]
        return np.stack(fields)

    def covered(fields: np.ndarray) -> float:
        return (fields[..., 1] < 0.9 * light[1]).mean()

    for radius in (12.0, 16.0):
        for coverage in (0.2, 0.6, 1.0):
            share = covered(field(radius=radius, coverage=coverage))
            assert share == pytest.approx(1 - np.exp(-coverage), abs=0.1)
    usual = field()
    assert field(depth=1.0).min() < usual.min() < field(depth=0.3).min()
    assert usual.max() <= light.max() + 1e-3
    assert (usual[..., 0] / light[0] >= usual[..., 1] / light[1] - 1e-3).all(), "red cells let red light through"

    def pieces(fields: np.ndarray) -> float:
        dark = [(one[..., 1] < 0.97 * light[1]).astype(np.uint8) for one in fields]
        return float(np.mean([cv2.connectedComponents(one)[0] - 1 for one in dark]))

    assert pieces(field(radius=4.0, coverage=0.2)) > 2 * pieces(field(radius=12.0, coverage=0.2))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_cell_that_is_cut_out_lies_on_one_grey(severity):
    image, level = picture(), CUT_OUT.levels[severity - 1]
    greys = set()
    for seed in range(8):
        out = CUT_OUT(image, severity, rng=np.random.default_rng(seed)).astype(int)
        assert np.abs(out[far < 0.2] - image[far < 0.2]).max() <= 1
        around = out[far > 0.2 + surroundings.RIM + 0.05]
        assert np.ptp(around) <= 1
        assert abs(around.mean() - level) <= 17
        greys.add(round(around.mean()))
    assert len(greys) > 2


def test_the_middle_of_a_red_cell_is_pale():
    deeper = 0
    for seed in range(40):
        one = surroundings.paint_red_cells(
            (SIDE, SIDE),
            np.full(3, 200, np.float32),
            radius=14.0,
            coverage=1e-6,
            depth=1.0,
            rng=np.random.default_rng(seed),
        )
        dark = np.argwhere(one[..., 1] < 190)
        if len(dark) > 200 and dark.min() > 0 and dark.max() < SIDE - 1:  # one that lies wholly in the picture
            y, x = dark.mean(0).round().astype(int)
            assert one[y, x, 1] > one[..., 1].min() + 10
            deeper += 1
    assert deeper > 3
