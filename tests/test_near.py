"""Near-duplicates: the same cell saved, lit, turned or shifted otherwise is found; another cell of its kind is not."""

import cv2
import numpy as np
import pytest

from build.data import features, near, synthetic
from build.data.near import Near, texture, turned
from submission import contract


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """120 different synthetic cells."""
    return synthetic.cells(range(120), seed=11)[0]


def found(images: np.ndarray) -> list[Near]:
    measured = features.empty(len(images))
    features.fill(measured, 0, list(images))
    return near.find(measured, lambda position: images[position], lambda count: None)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def noisy(image: np.ndarray) -> np.ndarray:
    return np.clip(image + np.random.default_rng(0).normal(0, 10, image.shape), 0, 255).astype(np.uint8)


def shifted(image: np.ndarray, pixels: int) -> np.ndarray:
    matrix = np.float32([[1, 0, pixels], [0, 1, -pixels]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def half_resolution(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


COPIES = {
    "saved as JPEG": lambda image: jpeg(image, 40),
    "noisy": noisy,
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1.0),
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "half the resolution": half_resolution,
    "shifted by 4 pixels": lambda image: shifted(image, 4),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_changed_copy_is_found_and_nothing_else(drawn, how):
    originals = [3, 40, 77]
    images = np.concatenate([drawn, [COPIES[how](drawn[i]) for i in originals]])
    pairs = [(pair.row, pair.twin) for pair in found(images)]
    assert pairs == [(original, 120 + number) for number, original in enumerate(originals)]


@pytest.mark.parametrize("turn", range(8))
def test_a_copy_that_is_turned_and_moved_is_found(drawn, turn):
    copies = [shifted(np.ascontiguousarray(turned(drawn[i], turn)), 5) for i in (7, 50, 90)]
    pairs = [(pair.row, pair.twin) for pair in found(np.concatenate([drawn, copies]))]
    assert pairs == [(7, 120), (50, 121), (90, 122)]


@pytest.mark.parametrize("turn", range(1, 8))
def test_a_turned_or_mirrored_copy_is_found_and_named_so(drawn, turn):
    (pair,) = found(np.concatenate([drawn, [turned(drawn[50], turn)]]))
    assert (pair.row, pair.twin, pair.how) == (50, 120, "same frame, turned or mirrored")
    assert pair.score > 0.99


def test_the_eight_turns_are_all_that_a_square_has(rng):
    image = rng.integers(0, 256, (5, 5, 3))
    every = [turned(image, turn) for turn in range(8)]
    assert len({picture.tobytes() for picture in every}) == 8
    transposed = image.transpose(1, 0, 2)
    assert {picture.tobytes() for picture in every} == {
        picture[::a, ::b].tobytes() for picture in (image, transposed) for a in (1, -1) for b in (1, -1)
    }


def test_a_search_in_small_blocks_finds_the_same_pairs(drawn, monkeypatch):
    images = np.concatenate([drawn, drawn[:20, ::-1], [shifted(image, 3) for image in drawn[20:40]]])
    whole = found(images)
    monkeypatch.setattr(near, "BLOCK_ELEMENTS", 7 * len(images))
    assert [(p.row, p.twin) for p in found(images)] == [(p.row, p.twin) for p in whole]
    assert {(i, 120 + i) for i in range(40)} <= {(p.row, p.twin) for p in whole}


def fixed_camera(scene: np.ndarray, count: int) -> np.ndarray:
    """The same scene, in other light, with other noise."""
    return np.stack([noisy((scene * light).astype(np.uint8)) for light in np.linspace(0.9, 1.0, count)])


def test_a_large_group_hangs_together_by_few_pairs_and_a_small_one_has_all_of_them(drawn):
    pairs = found(np.concatenate([fixed_camera(drawn[0], 100), drawn[1:]]))
    assert len(pairs) <= near.MOST_FRAMES**2 / 2 + 100
    assert len(set(near.groups(219, pairs).tolist())) == 120
    assert len(found(np.concatenate([fixed_camera(drawn[0], 15), drawn[1:]]))) == 15 * 14 / 2


def test_frames_of_round_objects_are_as_many_pairs_as_those_of_others(rng):
    """All eight turns of a round object's picture are alike."""
    distance = np.hypot(*np.mgrid[-1:1:96j, -1:1:96j])[..., None]
    rings = [127 + 90 * np.sin(distance * rng.uniform(15, 60, 3) + rng.uniform(0, 6, 3)) for _ in range(12)]
    frames = [np.clip(ring + rng.normal(0, 4, ring.shape), 0, 255) for ring in rings for _ in range(7)]
    pairs = found(np.stack(frames).astype(np.uint8))
    assert near.groups(len(frames), pairs).tolist() == np.repeat(range(12), 7).tolist()


def test_thumbnails_that_are_all_alike_while_textures_differ_say_nothing(rng, monkeypatch):
    monkeypatch.setattr(near, "MOST_CHECKS", 2)
    ramp = np.linspace(0, 200, 96)[:, None, None]
    flat = np.stack([np.clip(ramp + rng.normal(0, 12, (96, 96, 3)), 0, 255).astype(np.uint8) for _ in range(20)])
    assert found(flat[:3]) == []
    with pytest.raises(near.AlikeByNature):
        found(flat)


def test_what_is_dissolved_is_numbered_by_first_position():
    group, alike = near.dissolved(np.array([0, 1, 1, 2, 1, 2, 3]), 2)
    assert group.tolist() == [0, 1, 2, 3, 4, 3, 5]
    assert alike.tolist() == [False, True, True, False, True, False, False]
    assert near.dissolved(np.zeros(0, np.int64), 2)[0].tolist() == []


def test_pairs_that_hang_together_form_one_group_numbered_by_first_position():
    pairs = [Near(4, 5, 1.0, ""), Near(1, 4, 1.0, ""), Near(0, 3, 1.0, "")]
    assert near.groups(7, pairs).tolist() == [0, 1, 2, 0, 1, 1, 3]
    assert near.groups(3, []).tolist() == [0, 1, 2]
    assert near.groups(0, []).tolist() == []


def test_texture_is_the_same_at_another_place_and_under_another_light_and_absent_where_flat(drawn, rng):
    image = drawn[0]
    assert texture(image, image) > 0.999
    assert texture(image, (image * 0.5).astype(np.uint8)) > 0.95
    assert texture(image, shifted(image, 9)) > 0.95
    assert texture(image, drawn[8]) < 0.5
    assert texture(image, np.full(contract.IMAGE_SHAPE, 120, np.uint8)) == 0.0
    assert texture(np.full(contract.IMAGE_SHAPE, 120, np.uint8), image) == 0.0


def test_features_ignore_what_their_docstring_says(drawn):
    measured = features.empty(4)
    image = drawn[2]
    features.fill(measured, 0, [image, (image // 2 + 40).astype(np.uint8), np.roll(image, 12, 1), np.zeros_like(image)])
    thumbnails, colours = measured.thumbnails, measured.colours
    assert thumbnails[0] @ thumbnails[1] > 0.998
    np.testing.assert_allclose(colours[0], colours[2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(colours, axis=1), 1, atol=1e-5)
    assert not thumbnails[3].any()
    assert not measured.spectra[3].any()
