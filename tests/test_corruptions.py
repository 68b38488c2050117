"""Every corruption of every suite.

Shape, seed, growth, and agreement with the formulas and packages that it is taken from.
"""

import importlib.util
import sys
import types
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from build.score import suites
from build.score.corruptions import (
    basic,
    filters,
    geometric,
    geometry,
    imagenet_c,
    microscopy,
    noise,
    overlays,
    photometric,
    stacked,
)
from build.score.corruptions.definition import SEVERITIES, Corruption

SUITES = [suite for suite in suites.SUITES.values() if suite.corruptions]
CORRUPTIONS = [(suite, one) for suite in SUITES for one in suite.corruptions if not one.process]
IDS = [f"{suite.name}.{one.name}" for suite, one in CORRUPTIONS]


def cells(count: int, side: int = 96) -> list[np.ndarray]:
    """Pictures with a cell's structure: pale ground, pale discs, a dark lobed nucleus, fine texture."""
    pictures = []
    for index in range(count):
        rng = np.random.default_rng(index)
        picture = np.full((side, side, 3), (243, 222, 205), np.float32) + rng.normal(0, 4, 3)
        for _ in range(4):
            centre = rng.uniform(0, side, 2).astype(int)
            cv2.circle(picture, centre.tolist(), side // 8, (200, 160, 165), -1, cv2.LINE_AA)
        middle = (side / 2 + rng.normal(0, side / 20, 2)).astype(int)
        cv2.circle(picture, middle.tolist(), side // 4, (215, 170, 190), -1, cv2.LINE_AA)
        for _ in range(3):
            lobe = (middle + rng.normal(0, side / 12, 2)).astype(int)
            cv2.circle(picture, lobe.tolist(), side // 9, (95, 50, 130), -1, cv2.LINE_AA)
        texture = cv2.GaussianBlur(rng.normal(0, 1, (side, side, 3)).astype(np.float32), (0, 0), 1.2)
        pictures.append(np.clip(picture + 25 * texture, 0, 255).astype(np.uint8))
    return pictures


CELLS = cells(16)


def distance(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """Mean root mean square difference in grey values."""
    return float(np.mean([np.sqrt(np.mean((a.astype(float) - b) ** 2)) for a, b in zip(before, after, strict=True)]))


def corrupted(one: Corruption, severity: int, images: list[np.ndarray], seed: int = 3) -> list[np.ndarray]:
    return [one(image, severity, rng=np.random.default_rng([seed, i])) for i, image in enumerate(images)]


def test_the_suites_have_the_members_that_the_kit_promises():
    counts = {suite.name: len(suite.corruptions) for suite in SUITES}
    assert counts == {
        "basic": 6,
        "microscopy": 11,
        "imagenet-c": 11,
        "geometry": 20,
        "laboratory": 6,
        "surroundings": 3,
        "stacked": 6,
    }
    assert {one.name for one in basic.SUITE.corruptions} == {
        "blur",
        "noise",
        "brightness",
        "contrast",
        "jpeg",
        "occlusion",
    }
    assert stacked.SUITE.corruptions[0].levels[2] == (3, 0.4)
    assert all(one.operations for suite in SUITES for one in suite.corruptions)


@pytest.mark.parametrize(("suite", "one"), CORRUPTIONS, ids=IDS)
def test_damage_grows_with_severity(suite, one):
    damage = [distance(CELLS, corrupted(one, severity, CELLS)) for severity in SEVERITIES]
    assert damage[0] > 1
    assert damage == sorted(set(damage)), damage


@pytest.mark.parametrize(("suite", "one"), CORRUPTIONS, ids=IDS)
def test_same_seed_same_bytes_and_the_input_is_left_alone(suite, one):
    image = CELLS[0].copy()
    first, second = (one(image, 3, rng=np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(image, CELLS[0])
    assert not np.array_equal(first, image)


@pytest.mark.parametrize("shape", [(32, 32), (40, 64), (97, 61)])
def test_every_corruption_takes_any_shape(shape):
    image = cv2.resize(CELLS[1], shape[::-1], interpolation=cv2.INTER_AREA)
    for _, one in CORRUPTIONS:
        for severity in (1, 5):
            out = one(image, severity, rng=np.random.default_rng(1))
            assert out.shape == image.shape
            assert out.dtype == np.uint8


def test_images_that_are_read_only_views_of_a_file_can_be_corrupted():
    frozen = CELLS[2].copy()
    frozen.flags.writeable = False
    for _, one in CORRUPTIONS:
        one(frozen, 2, rng=np.random.default_rng(0))


def test_every_stacked_operation_takes_strength_zero_to_one(rng):
    for name, operation in stacked.OPERATIONS.items():
        for strength in (0.05, 0.5, 1.0):
            out = operation(CELLS[3], strength, rng=rng)
            assert out.shape == CELLS[3].shape, name
            assert out.dtype == np.uint8, name


def test_stacked_operations_are_as_many_and_in_the_order_that_is_said(rng, monkeypatch):
    called = []
    for name in list(stacked.OPERATIONS):
        monkeypatch.setitem(
            stacked.OPERATIONS, name, lambda image, s, *, rng, name=name: called.append((name, s)) or image
        )
    stacked.Draws(stacked.RANDAUGMENT)(CELLS[0], (5, 0.4), rng=rng)
    assert len(called) == 5
    assert {strength for _, strength in called} == {0.4}
    pools = (stacked.GEOMETRIC, stacked.COLOUR, stacked.HOLES)
    for _ in range(30):
        called.clear()
        stacked.Layers(pools)(CELLS[0], (2, 0.3), rng=rng)
        places = [next(place for place, pool in enumerate(pools) if name in pool) for name, _ in called]
        assert len(places) == 2
        assert places == sorted(set(places))


def test_brightness_and_contrast_go_both_ways_and_holes_have_the_stated_area():
    flat, seeds = np.full((96, 96, 3), 128, np.uint8), range(40)
    lit = {int(photometric.add_brightness(flat, 0.2, rng=np.random.default_rng(s))[0, 0, 0]) for s in seeds}
    assert lit == {77, 179}
    spread = CELLS[0].std()
    assert {basic.change_contrast(CELLS[0], 0.5, rng=np.random.default_rng(s)).std() > spread for s in seeds} == {
        True,
        False,
    }
    for cover in (overlays.occlude, overlays.mask_grid):
        areas = [(cover(flat, 0.18, rng=np.random.default_rng(s)) != 128).mean() for s in seeds]
        assert np.mean(areas) == pytest.approx(0.18, rel=0.2)


def test_enhancements_and_jpeg_agree_with_pillow(rng):
    picture = Image.fromarray(CELLS[4])
    for factor in (0.5, 0.8, 1.3):
        for enhancer, function in (
            (ImageEnhance.Brightness, photometric.scale_brightness),
            (ImageEnhance.Contrast, photometric.scale_contrast),
            (ImageEnhance.Color, photometric.scale_colour),
        ):
            theirs = np.asarray(enhancer(picture).enhance(factor)).astype(int)
            assert np.abs(theirs - function(CELLS[4], factor, rng=rng)).max() <= 1, (enhancer, factor)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=15)
    theirs = np.asarray(Image.open(stream)).astype(int)
    assert np.abs(theirs - filters.compress_jpeg(CELLS[4], 15, rng=rng)).mean() < 0.5


def test_pixelate_agrees_with_pillows_box_filter(rng):
    for factor in (0.5, 0.25):
        small = Image.fromarray(CELLS[5]).resize((int(96 * factor), int(96 * factor)), Image.Resampling.BOX)
        theirs = np.asarray(small.resize((96, 96), Image.Resampling.BOX)).astype(int)
        assert np.abs(theirs - filters.pixelate(CELLS[5], factor, rng=rng)).max() <= 1


def test_noise_has_the_stated_spread(rng):
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert noise.add_gaussian(grey, 0.08, rng=rng).std() == pytest.approx(0.08 * 255, rel=0.03)
    shot = noise.add_shot(grey, 60, rng=rng).astype(float) / 255
    assert shot.mean() == pytest.approx(128 / 255, abs=0.01)
    assert shot.var() == pytest.approx(128 / 255 / 60, rel=0.05)
    impulse = noise.add_impulse(grey, 0.1, rng=rng)
    assert (impulse == 0).mean() == pytest.approx(0.05, abs=0.005)
    assert (impulse == 255).mean() == pytest.approx(0.05, abs=0.005)


def test_saturation_moves_only_the_saturation(rng):
    before = cv2.cvtColor(CELLS[6].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    after = cv2.cvtColor(photometric.add_saturation(CELLS[6], 0.2, rng=rng).astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    assert (after[..., 1] - before[..., 1]).mean() == pytest.approx(0.2, abs=0.02)
    assert np.abs(after[..., 2] - before[..., 2]).max() < 0.01


def test_a_disc_sums_to_one_and_small_radii_differ():
    for radius in (0.3, 0.64, 0.86, 1.9, 2, 4.3, 8, 9.5):
        for alias_blur in (0.1, 0.5):
            assert filters.disc(radius, alias_blur).sum() == pytest.approx(1, abs=1e-5), radius
    middles = [filters.disc(radius, 0.5).max() for radius in (0.3, 0.64, 0.86, 1.2, 1.9, 2.2)]
    assert middles == sorted(middles, reverse=True)
    assert len(set(middles[1:])) == 5


def test_a_streak_has_weights_that_sum_to_one_and_runs_along_its_angle():
    weights, offsets = filters.motion_path(10, 5, 0)
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert offsets == [(0, i) for i in range(21)]
    _, offsets = filters.motion_path(4, 2, 45)
    assert all(dy == dx for dy, dx in offsets)


@pytest.mark.parametrize("kind", [kind for kind, _ in geometry.MOVEMENTS], ids=lambda kind: kind.__name__)
def test_movements_keep_the_centre_but_for_translation_and_perspective(kind, rng):
    level = {"scale": 1.5, "rotation": 30, "shear": 20}.get(kind.__name__, 0.2)
    homography = kind(level, 96, 64, rng)
    x, y, w = homography @ (31.5, 47.5, 1)
    moved = np.hypot(x / w - 31.5, y / w - 47.5)
    assert (moved < 1e-9) == (kind.__name__ in ("rotation", "scale", "shear"))


def test_the_border_modes_fill_what_a_movement_uncovers(rng):
    image = np.full((20, 20, 3), 100, np.uint8)
    image[:, 0] = 50
    shift = np.array([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]])
    left = {name: geometric.warp(image, shift, name)[10, 2, 0] for name in geometric.BORDERS}
    assert left == {"black": 0, "edge": 50, "reflect": 100, "wrap": 100}


def test_relative_lengths_follow_the_side_of_the_image(rng):
    small = CELLS[7]
    large = cv2.resize(small, (192, 192), interpolation=cv2.INTER_CUBIC)
    blurred = cv2.resize(filters.blur_gaussian_relative(large, 6, rng=rng), (96, 96), interpolation=cv2.INTER_AREA)
    assert distance([blurred], [filters.blur_gaussian_relative(small, 6, rng=rng)]) < 2
    assert distance([small], [blurred]) > 8


def stand_in(monkeypatch, *names: str, **members) -> None:
    """Put empty modules in the place of absent ones that a reference package imports without needing them here."""
    packages = {name.partition(".")[0] for name in names}
    absent = {package for package in packages if importlib.util.find_spec(package) is None}
    for name in names:
        if name.partition(".")[0] in absent or name.startswith("scipy"):
            module = types.ModuleType(name)
            vars(module).update(members)
            monkeypatch.setitem(sys.modules, name, module)
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                monkeypatch.setattr(sys.modules[parent], child, module, raising=False)


@pytest.fixture
def medmnistc(monkeypatch):
    """The package's corruptions of blood cells, mended for a numpy without the binary mode of fromstring."""
    stand_in(monkeypatch, "torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    try:
        from medmnistc.corruptions.registry import CORRUPTIONS_DS
    except ImportError as error:
        pytest.skip(f"medmnistc is not beside us ({error})")
    monkeypatch.setattr(np, "fromstring", np.frombuffer, raising=False)
    return CORRUPTIONS_DS["bloodmnist"]


class Fixed:
    """In the place of a generator: every uniform draw is 20."""

    @staticmethod
    def uniform(*_):
        return 20.0


def gap(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Mean absolute difference in grey values."""
    return float(np.mean([np.abs(a.astype(float) - b).mean() for a, b in zip(ours, theirs, strict=True)]))


@pytest.mark.filterwarnings("ignore")
def test_the_microscopy_suite_agrees_with_medmnistc(medmnistc, monkeypatch):
    monkeypatch.setattr(np.random, "uniform", Fixed.uniform)  # the angle of motion
    names = ("pixelate", "jpeg_compression", "defocus_blur", "motion_blur", "brightness_up", "brightness_down")
    names += ("contrast_up", "contrast_down", "saturate", "stain_deposit", "bubble")
    for name, one in zip(names, microscopy.SUITE.corruptions, strict=True):
        for severity in SEVERITIES:
            theirs = [np.asarray(medmnistc[name].apply(Image.fromarray(image), severity - 1)) for image in CELLS]
            if name in ("stain_deposit", "bubble"):  # where they lie is drawn: only the damage can be compared
                damage = distance(CELLS, corrupted(one, severity, CELLS))
                assert damage == pytest.approx(distance(CELLS, theirs), rel=0.6), (name, severity)
            else:
                ours = [one(image, severity, rng=Fixed) for image in CELLS]
                assert gap(ours, theirs) < (2.5 if name == "pixelate" else 0.6), (name, severity)


@pytest.mark.filterwarnings("ignore")
def test_the_imagenet_c_suite_agrees_with_imagecorruptions_at_224_pixels(monkeypatch):
    stand_in(monkeypatch, "pkg_resources", resource_filename=lambda *_: "")
    stand_in(monkeypatch, "scipy.ndimage.interpolation", map_coordinates=None)
    reference = pytest.importorskip("imagecorruptions.corruptions", exc_type=ImportError)
    # Its disc of radius 8 touches the border of its kernel and sums to 1.01: a picture that we do not brighten.
    names = {"defocus-blur": 3, "zoom-blur": 2, "contrast": 1, "pixelate": 1.2, "jpeg": 0.5}
    large = [cv2.resize(image, (224, 224), interpolation=cv2.INTER_CUBIC) for image in CELLS[:2]]
    for one in imagenet_c.SUITE.corruptions:
        if one.name not in names:
            continue
        function = getattr(reference, {"jpeg": "jpeg_compression"}.get(one.name, one.name.replace("-", "_")))
        for severity in SEVERITIES:
            theirs = [np.asarray(function(Image.fromarray(image), severity)) for image in large]
            assert gap(corrupted(one, severity, large), theirs) < names[one.name], (one.name, severity)
