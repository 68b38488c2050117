"""One pass over the pictures: copies, hashes and backgrounds, measured once and read from the cache after that."""

import cv2
import numpy as np
import pytest

from build.data import synthetic
from build.data.cells import Cells
from build.inspection import measure as module
from build.inspection.measure import background, measure, perceptual_hash


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return synthetic.cells(range(40), seed=4)[0]


def cells_of(images: np.ndarray) -> Cells:
    return Cells(np.ascontiguousarray(images), np.zeros(len(images), np.int64), "test", "hash")


def bits(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.bitwise_count(perceptual_hash(first) ^ perceptual_hash(second)))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def test_a_picture_saved_again_or_brighter_keeps_its_hash_and_another_does_not(drawn):
    for image in drawn[:10]:
        assert bits(image, jpeg(image, 40)) <= 2
        assert bits(image, np.clip(image * 0.8, 0, 255).astype(np.uint8)) <= 2
    far = [bits(drawn[i], drawn[j]) for i in range(10) for j in range(i)]
    assert min(far) > 6
    assert bits(drawn[0], drawn[0][:, ::-1]) > 6  # a mirror is not found by hashes


def test_half_of_the_bits_of_a_hash_are_set(drawn):
    assert {int(np.bitwise_count(perceptual_hash(image))) for image in drawn} == {32}


def test_the_background_is_the_light_part_of_the_border_whatever_the_cell():
    image = np.full((96, 96, 3), (230, 226, 214), np.uint8)
    cv2.circle(image, (48, 48), 34, (90, 30, 120), -1)
    image[:12] = image[:, :16] = (150, 90, 90)  # red cells cover more than half of the border
    expected = cv2.cvtColor(np.float32([[[230, 226, 214]]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    np.testing.assert_allclose(background(image), expected, atol=0.01)


def test_copies_name_their_first_row_and_every_different_picture_is_measured_once(drawn, tmp_path):
    found = measure(cells_of(drawn[[3, 3, 5, 7, 5, 3]]), cache=tmp_path)
    assert found.first.tolist() == [0, 0, 2, 3, 2, 0]
    assert found.rows.tolist() == [0, 2, 3]
    assert found.hashes.tolist() == [perceptual_hash(drawn[i]) for i in (3, 5, 7)]
    np.testing.assert_array_equal(found.backgrounds[1], background(drawn[5]))


def test_pieces_do_not_change_what_is_measured(drawn, tmp_path, monkeypatch):
    rows = np.r_[np.arange(40), np.arange(40)]
    whole = measure(cells_of(drawn[rows]), cache=tmp_path / "a")
    monkeypatch.setattr(module, "CHUNK", 7)
    pieces = measure(cells_of(drawn[rows]), cache=tmp_path / "b")
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(value, getattr(pieces, name))


def test_a_second_call_reads_what_the_first_one_wrote_and_a_damaged_file_is_made_again(drawn, tmp_path, monkeypatch):
    cells = cells_of(drawn)
    first = measure(cells, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    again = measure(cells, cache=tmp_path)
    monkeypatch.setattr(module, "_measure", lambda *_, **__: pytest.fail("measured again"))
    cached = measure(cells, cache=tmp_path)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
        np.testing.assert_array_equal(value, getattr(cached, name))
