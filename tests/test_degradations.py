import cv2
import numpy as np
import pytest
from pixels import difference

from build.augment import degradations, occlusion, program
from build.bench.augment import cells

CELLS = cells(24)


def test_blurs_are_convolutions_that_keep_flat_pictures_and_the_mean():
    flat = np.full((40, 40, 3), 123, np.uint8)
    for kind in degradations.BLURS:
        for radius in (0.001, 0.02, 0.04):
            assert np.array_equal(degradations.blur(flat, (kind, radius, 0.6)), flat)
            blurred = degradations.blur(CELLS[0], (kind, radius, 0.6))
            assert blurred.mean() == pytest.approx(CELLS[0].mean(), abs=1.5)
        strong, weak = (
            np.abs(cv2.Laplacian(degradations.blur(CELLS[0], (kind, r, 0.6)), cv2.CV_32F)).mean() for r in (0.04, 0.01)
        )
        assert strong < weak


def test_a_gaussian_blur_has_the_spread_that_it_says():
    point = np.zeros((97, 97, 3), np.uint8)
    point[48, 48] = 255
    spread = degradations.blur(np.minimum(point, 255), ("gaussian", 1.5 / 97, 0.0))[..., 0].astype(float)
    y = np.arange(97) - 48
    assert np.sqrt((spread.sum(1) * y**2).sum() / spread.sum()) == pytest.approx(1.5, abs=0.2)


def test_motion_blur_smears_along_its_angle():
    point = np.zeros((97, 97, 3), np.uint8)
    point[48, 48] = 255
    smeared = degradations.blur(point, ("motion", 0.04, 0.0))[..., 0]
    rows, columns = np.nonzero(smeared)
    assert np.ptp(columns) >= 6
    assert np.ptp(rows) <= 2


@pytest.mark.parametrize("kind", degradations.NOISES)
def test_noise_has_the_deviation_that_it_says_and_its_place_decides_it(kind):
    grey = np.full((96, 96, 3), 128, np.uint8)
    noisy = degradations.noise(grey, (kind, 20.0, 0.2)).astype(float) - 128
    expected = {"gaussian": 20, "grey": 20, "shot": 20 * np.sqrt(128 / 255), "impulse": 128 * np.sqrt(0.0132)}[kind]
    assert noisy.std() == pytest.approx(expected, rel=0.12)
    assert abs(noisy.mean()) < 1.5
    assert np.array_equal(noisy + 128, degradations.noise(grey, (kind, 20.0, 0.2)))
    assert not np.array_equal(noisy + 128, degradations.noise(grey, (kind, 20.0, 0.7)))
    alike = (np.ptp(noisy, axis=2) == 0).mean()
    assert alike == 1 if kind == "grey" else alike < 1


def test_impulse_noise_sets_values_to_black_or_white_and_spares_the_rest():
    grey = np.full((96, 96, 3), 128, np.uint8)
    for deviation, share in ((0.0, 0.005), (80.0, 0.134)):
        noisy = degradations.noise(grey, ("impulse", deviation, 0.4))
        assert set(np.unique(noisy)) == {0, 128, 255}
        assert (noisy != 128).mean() == pytest.approx(share, rel=0.2)


def test_jpeg_keeps_red_red_and_loses_more_at_a_lower_quality():
    red = np.full((64, 64, 3), (200, 30, 40), np.uint8)
    assert difference(degradations.jpeg(red, 60), red).max() <= 4
    losses = [difference(degradations.jpeg(CELLS[4], quality), CELLS[4]).mean() for quality in (90, 40, 5)]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_pixelation_makes_flat_blocks_with_the_blocks_mean():
    pixelated = degradations.pixelate(CELLS[5], 1 / 4)
    blocks = CELLS[5].reshape(24, 4, 24, 4, 3).mean((1, 3))
    assert np.abs(pixelated[::4, ::4] - blocks).max() <= 0.51
    assert np.array_equal(pixelated, np.kron(pixelated[::4, ::4], np.ones((4, 4, 1), np.uint8)))


def test_drawn_degradations_name_known_steps_of_all_kinds_and_grow_with_the_strength(rng):
    for strength, fewest in ((0.05, 0.0), (1.0, 4.0)):
        steps = degradations.draw_degradations(300, strength=strength, rng=rng)
        assert {name for name, _ in steps} == set(degradations.KINDS)
        damage = [difference(program.run(CELLS[i % 24], [step]), CELLS[i % 24]).mean() for i, step in enumerate(steps)]
        assert np.mean(damage) > fewest
    assert np.mean(damage) < 40


def test_a_cutout_is_one_box_of_the_asked_size_within_the_image(rng):
    holes = occlusion.draw_cutout(500, 60, 96, size=0.5, rng=rng)
    boxes = np.array([hole.boxes[0] for hole in holes])
    assert all(len(hole.boxes) == 1 for hole in holes)
    top, bottom, left, right = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom - top).max() <= 30
    assert (right - left).max() <= 48
    assert (bottom <= 60).all()
    assert (right <= 96).all()
    assert ((bottom - top) * (right - left)).max() > 0.15 * 60 * 96


@pytest.mark.parametrize("drawn", [occlusion.draw_cutout, occlusion.draw_grid])
def test_holes_blank_their_boxes_and_nothing_else_by_black_colour_or_noise(drawn, rng):
    size = {"size": 0.5} if drawn is occlusion.draw_cutout else {}
    kinds = set()
    for holes in drawn(60, 96, 96, **size, rng=rng):
        image = np.full((96, 96, 3), 77, np.uint8)
        occlusion.cut(image, holes)
        inside = np.zeros((96, 96), bool)
        for top, bottom, left, right in holes.boxes:
            inside[top:bottom, left:right] = True
        assert (image[~inside] == 77).all()
        if isinstance(holes.fill, tuple):
            assert (image[inside] == holes.fill).all()
            kinds.add("black" if holes.fill == (0, 0, 0) else "colour")
        elif inside.sum() > 200:
            assert 30 < image[inside].std() < 80
            kinds.add("noise")
    assert kinds == {"black", "colour", "noise"}


def test_a_grid_covers_a_quarter_at_most_and_reaches_every_side(rng):
    shares = []
    for holes in occlusion.draw_grid(200, 96, 96, rng=rng):
        inside = np.zeros((96, 96), bool)
        for top, bottom, left, right in holes.boxes:
            inside[top:bottom, left:right] = True
        shares.append(inside.mean())
        assert inside.any(1)[:48].any()
        assert inside.any(1)[48:].any()
    assert min(shares) > 0.02
    assert max(shares) < 0.4
    assert 0.08 < np.mean(shares) < 0.2


def test_noise_covers_pictures_larger_than_its_bank():
    grey = np.full((640, 640, 3), 128, np.uint8)
    noisy = degradations.noise(grey, ("gaussian", 20.0, 0.9)).astype(float)
    assert noisy[-32:].std() == pytest.approx(20, rel=0.1)
    occlusion.cut(grey, occlusion.Holes([(0, 640, 0, 640)], 0.5))
    assert grey[-32:].std() > 40
