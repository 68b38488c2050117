"""Reading a CSV of files and classes: names with and without suffix or header, files beside it or in a folder, one sentence otherwise."""

import shutil

import numpy as np
import pytest
from cell_files import ABBREVIATED, K, sentence, smooth

from build.data.read import read
from build.errors import UserError

NAMES = [f"{index:03d}.png" for index in range(2 * K)]
LABELS = [ABBREVIATED[index % K] for index in range(2 * K)]
LINES = [f"{name},{label}" for name, label in zip(NAMES, LABELS, strict=True)]


@pytest.fixture
def where(tmp_path):
    """A folder with two images of each class, named by numbers."""
    (tmp_path / "images").mkdir()
    for index, name in enumerate(NAMES):
        smooth((96, 96), index).save(tmp_path / "images" / name)
    return tmp_path


def cells_of(where, lines, name="labels.csv"):
    path = where / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return read(path, seed=0, cache=where / "cache")


@pytest.mark.parametrize(
    "lines",
    [
        ["file,label", *LINES],
        LINES,
        ["\ufeffid;class", *(line.replace(".png,", ";") for line in LINES), ""],
        ["image\ttarget", *(f"images/{line.replace(',', chr(9))}" for line in LINES)],
    ],
    ids=["a header", "none", "Excel's, identifiers", "tabs, with the folder"],
)
def test_each_line_is_an_image_in_the_file_s_order(where, lines):
    cells = cells_of(where, lines)
    np.testing.assert_array_equal(cells.labels, np.arange(2 * K) % K)
    for index, image in enumerate(cells.images):
        np.testing.assert_array_equal(image, np.asarray(smooth((96, 96), index)))
    assert cells.files == tuple(f"images/{name}" for name in NAMES)


def test_files_lie_beside_the_csv_too_and_a_changed_label_is_another_set(where):
    first = cells_of(where, ["file,label", *LINES], "images/labels.csv")
    assert first.files == tuple(NAMES)
    changed = [LINES[0].replace(LABELS[0], LABELS[1]), *LINES[1:]]
    second = cells_of(where, changed, "images/labels.csv")
    assert second.labels[0] == 1
    assert second.sha256 != first.sha256


def test_numbers_are_taken_in_their_order_and_that_is_said(where):
    cells = cells_of(where, [f"{name},{index % K}" for index, name in enumerate(NAMES)])
    np.testing.assert_array_equal(cells.labels, np.arange(2 * K) % K)
    assert "taken in the order of their numbers: 0 = Basophil" in cells.notes[0]


@pytest.mark.parametrize(
    ("lines", "phrase"),
    [
        (
            ["file,label,split", "000.png,ig,train"],
            "Line 1 of .*labels.csv is 'file,label,split'; expected two columns",
        ),
        ([*LINES, "lost.png,ig"], "names lost.png, and .*images holds no image of that name"),
        ([*LINES, "000.png,"], "Line 17 of .*expected two columns"),
        ([f"{NAMES[0]},cat", *LINES], "No class is named like cat"),
        (["lost.png,ig", *LINES], "names lost.png"),
        ([f"/abs/{line}" for line in LINES], "names /abs/000.png, .* expected names relative to it"),
        (["file,label"], "names no images"),
        ([], "names no images"),
        (['"000.png,ig'], "is no CSV in UTF-8"),
    ],
)
def test_what_is_no_such_table_is_one_sentence(where, lines, phrase):
    with pytest.raises(UserError, match=phrase) as caught:
        cells_of(where, lines)
    sentence(caught)


def test_a_folder_of_images_with_a_csv_says_which_file_to_give(where):
    (where / "images" / "labels.csv").write_text("\n".join(LINES))
    (where / "labels.csv").write_text("\n".join(LINES))
    for folder, said in ((where / "images", "holds no folders of classes"), (where, "No class is named like images")):
        with pytest.raises(UserError, match=rf"{said}.*; if .*labels\.csv has the labels") as caught:
            read(folder, seed=0, cache=where / "cache")
        sentence(caught)


def test_of_two_folders_with_the_same_names_the_lines_must_say_which(where):
    shutil.copytree(where / "images", where / "test")
    with pytest.raises(
        UserError, match=r"are in .*images and in .*test; write the folder before each name, like test/000"
    ) as caught:
        cells_of(where, LINES)
    sentence(caught)
    (where / "test" / NAMES[5]).unlink()
    assert cells_of(where, LINES).files[5] == f"images/{NAMES[5]}"
    (where / "images" / "001.jpg").write_bytes(b"a thumbnail")
    with pytest.raises(UserError, match=r"001 may be .*001\.jpg or .*001\.png; write the suffix behind each name"):
        cells_of(where, [line.replace(".png,", ",") for line in LINES])
    (where / "images" / "001.jpg").unlink()
    (where / "images" / NAMES[0]).rename(where / "images" / "000.PNG")
    assert cells_of(where, [line.replace(".png,", ",") for line in LINES]).files[0] == "images/000.PNG"
