import cv2
import numpy as np
import pytest
from pixels import difference

from build.augment import geometry, program
from build.augment.randaugment import DEFAULT, draw_randaugment
from build.bench.augment import cells

CELLS = cells(24)


def step_by_step(image: np.ndarray, steps, **border) -> np.ndarray:
    for step in steps:
        image = program.run(image, [step], **border)
    return image


# --- composing --------------------------------------------------------------------------------------------------------


def test_tables_in_a_row_are_the_same_to_the_byte_as_one_after_the_other():
    steps = [("solarize", 170), ("equalize", 0), ("posterize", 5), ("autocontrast", 0), ("brightness", -31.0)]
    for image in CELLS[:6]:
        assert np.array_equal(program.run(image, steps), step_by_step(image, steps))


@pytest.mark.parametrize(
    "between", [("saturation", 0.4), ("pixelate", 0.2), ("sharpness", 2.5)], ids=lambda step: step[0]
)
def test_a_histogram_is_taken_anew_after_what_tables_cannot_follow(between):
    steps = [("equalize", 0), between, ("equalize", 0), ("autocontrast", 0)]
    for image in CELLS[:4]:
        assert np.array_equal(program.run(image, steps), step_by_step(image, steps))


def test_a_table_after_a_warp_is_the_same_as_before_it_but_for_interpolation():
    steps = [("rotate", 25.0), ("brightness", 20.0), ("channel_shift", np.array([10.0, 0.0, -15.0]))]
    for image in CELLS[:6] // 2 + 40:  # nothing is clipped: the mean of clipped values is not the clipped mean
        apart = difference(program.run(image, steps), step_by_step(image, steps))
        assert apart[24:-24, 24:-24].max() <= 2


def test_two_warps_in_one_are_sharper_than_and_near_to_one_after_the_other():
    steps = [("rotate", 20.0), ("shear_x", (0.2, 0.5)), ("translate_y", 0.1)]
    for image in CELLS[:6]:
        smooth = cv2.GaussianBlur(image, (0, 0), 2.5)  # interpolating twice blurs a fine texture
        apart = difference(program.run(smooth, steps), step_by_step(smooth, steps))[28:-28, 28:-28]
        assert apart.max() <= 4
        assert apart.mean() < 1
        laplacian = [
            np.abs(cv2.Laplacian(picture[28:-28, 28:-28], cv2.CV_32F)).mean()
            for picture in (program.run(image, steps), step_by_step(image, steps))
        ]
        assert laplacian[0] > laplacian[1]


def test_steps_back_and_forth_leave_the_image_whole_where_one_after_the_other_loses_what_left_the_frame():
    steps = [("translate_x", 0.3), ("translate_x", -0.3), ("rotate", 30.0), ("rotate", -30.0)]
    assert difference(program.run(CELLS[0], steps), CELLS[0]).max() <= 1
    assert (step_by_step(CELLS[0], steps) == 0).mean() > 0.2


def test_randaugments_programs_stay_near_to_one_step_after_the_other():
    rng = np.random.default_rng(5)
    programs = draw_randaugment(len(CELLS), operations=3, magnitude=0.3, pool=DEFAULT, rng=rng)
    border = {"border": "reflect"}
    apart = [
        difference(program.run(image, steps, **border), step_by_step(image, steps, **border)).mean()
        for image, steps in zip(CELLS, programs, strict=True)
    ]
    changed = [
        difference(program.run(image, steps, **border), image).mean()
        for image, steps in zip(CELLS, programs, strict=True)
    ]
    assert np.median(apart) < 2
    assert np.mean(apart) < np.mean(changed) / 4


def test_what_needs_neighbours_sees_what_came_before_it():
    steps = [("rotate", 40.0), ("brightness", 30.0), ("blur", ("gaussian", 0.02, 0.0)), ("rotate", -15.0)]
    for image in CELLS[:4]:
        apart = difference(program.run(image, steps), step_by_step(image, steps))
        assert apart[30:-30, 30:-30].max() <= 3


def test_the_object_stays_in_the_frame_however_far_the_steps_add_up():
    spot = np.zeros((96, 96, 3), np.uint8)
    cv2.circle(spot, (48, 48), 9, (255, 255, 255), -1)
    between = [
        ("translate_x", 0.45),
        ("sharpness", 1.0),
    ]  # neighbours are needed, so what is pending happens: two warps
    turned = [("rotate", 70.0), *between, ("shear_y", (0.6, 0.6)), *between, ("translate_y", 0.45)]
    for steps in (
        [("translate_x", 0.9)],
        [("translate_x", 0.5)] * 3,
        [("shear_x", (1.0, 1.0)), ("translate_y", -0.8)],
        between * 3,
        turned,
    ):
        assert program.run(spot, steps).max() > 200, steps
        assert program.run(spot, steps).mean() > 1, steps


def test_where_a_matrix_puts_the_object_is_where_it_is_then(rng):
    spot = np.zeros((64, 96, 3), np.uint8)
    cv2.circle(spot, (60, 24), 4, (255, 255, 255), -1)
    for matrix in geometry.draw_geometry(
        8, 64, 96, flip=True, probability=1, rotation=180, zoom=0.3, translation=0.6, shear=20, rng=rng
    ):
        kept, (x, y) = geometry.keep_centre(matrix, 64, 96, centre=(12.5, -7.5))
        assert abs(x) <= 0.45 * 96
        assert abs(y) <= 0.45 * 64
        assert geometry.keep_centre(kept, 64, 96, centre=(12.5, -7.5))[1] == pytest.approx((x, y))
        rows, columns = np.nonzero(geometry.warp(spot, kept, border="constant")[..., 0] > 128)
        if max(abs(x) - 40, abs(y) - 24) < 0:  # whole in the frame
            assert (columns.mean() - 47.5, rows.mean() - 31.5) == pytest.approx((x, y), abs=1)


def test_the_result_may_be_written_over_the_image_and_otherwise_the_image_stays():
    steps = [("saturation", 0.5), ("rotate", 30.0), ("equalize", 0)]
    for steps_ in (steps, steps[:1], steps[1:2], steps[2:], []):
        image = CELLS[1].copy()
        expected = program.run(image, steps_).copy()
        assert np.array_equal(image, CELLS[1])
        place = np.empty_like(image)
        assert program.run(image, steps_, out=place) is place
        assert np.array_equal(place, expected)
        assert program.run(image, steps_, out=image) is image
        assert np.array_equal(image, expected)


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_flips_and_half_turns_are_exact_copies():
    image = CELLS[2]
    for x, y in ((-1, 1), (1, -1), (-1, -1)):
        matrix = geometry.matrices(scale_x=x, scale_y=y)
        assert np.array_equal(geometry.warp(image, matrix, border="constant"), image[::y, ::x])


def test_composing_matrices_is_doing_one_and_then_the_other(rng):
    first, then = geometry.draw_geometry(
        2, 64, 80, flip=True, probability=1, rotation=180, zoom=0.5, translation=0.2, shear=20, rng=rng
    )
    point = np.array([3.0, -7.0])
    middle = then[:, :2] @ point + then[:, 2]
    assert geometry.compose(first, then) @ [*point, 1] == pytest.approx(first[:, :2] @ middle + first[:, 2])


def test_drawn_geometry_keeps_its_bounds(rng):
    settings = {"rotation": 30.0, "zoom": 0.25, "translation": 0.1, "shear": 0.0}
    made = geometry.draw_geometry(4000, 96, 96, flip=True, probability=1.0, **settings, rng=rng)
    area = np.abs(np.linalg.det(made[..., :2]))
    assert area.min() >= 1.25**-2 - 1e-9
    assert area.max() <= 1.25**2 + 1e-9
    # By Pythagoras the angle, whatever the mirrors: cos of it is on the diagonal.
    cosine = np.abs(made[:, 0, 0]) / np.sqrt(area)
    assert cosine.min() >= np.cos(np.deg2rad(30)) - 1e-9
    assert np.mean(np.linalg.det(made[..., :2]) < 0) == pytest.approx(0.5, abs=0.03)
    shift = np.linalg.solve(made[..., :2], made[..., 2:])[..., 0]  # in the frame of the result
    assert np.abs(shift).max() <= 0.1 * 96 + 1e-6
    assert np.abs(shift).max() > 0.09 * 96


def test_with_probability_zero_only_flips_are_left(rng):
    settings = {"rotation": 90.0, "zoom": 0.5, "translation": 0.2, "shear": 20.0}
    made = geometry.draw_geometry(64, 96, 96, flip=True, probability=0.0, **settings, rng=rng)
    assert np.array_equal(np.abs(made), np.broadcast_to(np.eye(2, 3), made.shape))
    assert len(np.unique(made, axis=0)) == 4
    still = geometry.draw_geometry(64, 96, 96, flip=False, probability=0.0, **settings, rng=rng)
    assert np.array_equal(still, np.broadcast_to(np.eye(2, 3), made.shape))


@pytest.mark.parametrize("border", geometry.BORDERS)
def test_each_border_mode_fills_as_it_says(border):
    image = CELLS[3]
    moved = geometry.warp(image, geometry.matrices(shift_x=-20.0), border=border, fill=(9, 80, 200))
    assert np.array_equal(moved[:, 20:], image[:, :-20])
    corner = {
        "constant": np.broadcast_to(np.uint8([9, 80, 200]), (96, 20, 3)),
        "reflect": image[:, 20:0:-1],
        "replicate": np.repeat(image[:, :1], 20, axis=1),
        "wrap": image[:, -20:],
    }[border]
    assert np.array_equal(moved[:, :20], corner)


def test_any_border_draws_each_mode_in_its_share_and_black_white_or_any_colour(rng):
    borders = geometry.draw_borders(6000, border="any", rng=rng)
    for mode, share in geometry.BORDER_SHARES.items():
        assert borders.modes.count(mode) / 6000 == pytest.approx(share, abs=0.03)
    fills = np.array(borders.fills)
    assert (fills == 0).all(1).mean() == pytest.approx(1 / 3, abs=0.03)
    assert (fills >= 200).all(1).mean() == pytest.approx(1 / 3 + (56 / 256) ** 3 / 3, abs=0.03)
    assert geometry.draw_borders(3, border="wrap", rng=rng).modes == ["wrap"] * 3


@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, 0), (-7, 3), (0, -31), (40, 0), (-10, -90)])
def test_shift_copies_what_stays_and_blackens_the_rest(x, y, rng):
    image = rng.integers(1, 256, (32, 40, 4), dtype=np.uint8)
    out = np.full_like(image, 77)
    geometry.shift(image, x, y, out)
    for r in range(0, 32, 3):
        for c in range(0, 40, 3):
            inside = 0 <= r + y < 32 and 0 <= c + x < 40
            assert (out[r, c] == (image[r + y, c + x] if inside else 0)).all()
