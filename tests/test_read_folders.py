"""Reading folders of pictures: names decide the class, any size and mode is decoded, damaged files are refused by name."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from cell_files import ABBREVIATED, K, folder_of, sentence, smooth
from PIL import Image, ImageOps, TiffImagePlugin

from build.data import pictures
from build.data.read import read
from build.data.resize import resize
from build.errors import UserError
from submission import contract


def test_folders_are_matched_to_classes_by_name_whatever_their_order_and_spelling(tmp_path):
    cells = read(folder_of(tmp_path / "set", ABBREVIATED), seed=0, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cells.labels, np.repeat(np.arange(K), 2))
    np.testing.assert_array_equal(cells.images[6], np.asarray(smooth((96, 96), 300)))
    assert cells.notes == ()


def test_folders_named_by_numbers_are_taken_in_their_order_and_that_is_said(tmp_path, capsys):
    cells = read(folder_of(tmp_path / "set", tuple("76543210")), seed=0, cache=tmp_path / "cache")
    assert cells.labels.tolist() == np.repeat(np.arange(K), 2).tolist()
    np.testing.assert_array_equal(cells.images[0], np.asarray(smooth((96, 96), 700)))
    assert "0 = Basophil" in cells.notes[0]
    assert "0 = Basophil" in capsys.readouterr().err
    again = read(tmp_path / "set", seed=0, cache=tmp_path / "cache")
    assert again.notes == cells.notes


def test_the_same_pictures_under_other_names_have_the_notes_of_those_names(tmp_path):
    named = folder_of(tmp_path / "named", ABBREVIATED)
    numbered = folder_of(tmp_path / "numbered", tuple("01234567"))
    for _ in range(2):
        assert read(named, seed=0, cache=tmp_path / "cache").notes == ()
        (note,) = read(numbered, seed=0, cache=tmp_path / "cache").notes
        assert "0 = Basophil" in note


def test_pictures_of_pixels_0_to_1_are_told(tmp_path):
    root = folder_of(tmp_path / "set", ABBREVIATED)
    for path in root.rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 200).save(path)
    with pytest.raises(UserError, match="No pixel of the 16 images is above 1, so they are black; multiply") as caught:
        read(root, seed=0, cache=tmp_path / "cache")
    sentence(caught)
    assert not list((tmp_path / "cache").glob("cells-*"))


GERMAN = (
    "Basophile",
    "Eosinophile",
    "Erythroblasten",
    "Unreife Granulozyten",
    "Lymphozyten",
    "Monozyten",
    "Neutrophile",
    "Thrombozyten",
)


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
        (GERMAN, "No class is named like Basophile, Eosinophile"),
        ([f"{number}_{name}" for number, name in enumerate(GERMAN)], "No class is named like 0_Basophile"),
        (("cat", "dog"), "No class is named like cat, dog"),
        ((*ABBREVIATED[:7], "unknown"), "No class is named like unknown"),
        ((*ABBREVIATED, "platelet"), "both name the class Platelet"),
        (ABBREVIATED[:7], "none of Platelet"),
    ],
)
def test_folders_that_cannot_be_matched_are_refused(tmp_path, given, phrase):
    with pytest.raises(UserError) as caught:
        read(folder_of(tmp_path / "set", given), seed=0, cache=tmp_path / "cache")
    assert phrase in sentence(caught)


def test_images_of_other_sizes_are_cut_to_shape_and_resized_and_counted(tmp_path):
    root = folder_of(tmp_path / "set", ABBREVIATED, side=(363, 360))
    smooth((96, 96), 999).save(root / "plate" / "right.png")
    cells = read(root, seed=0, cache=tmp_path / "cache")
    assert cells.images.shape == (17, *contract.IMAGE_SHAPE)
    assert cells.notes == ("16 of 17 images were resized: they have 363x360 pixels",)
    # A smooth picture keeps its colours: the mean of the largest square is the mean of the result.
    square = np.asarray(smooth((363, 360), 0))[1:361].astype(float)
    np.testing.assert_allclose(cells.images[0].mean((0, 1)), square.mean((0, 1)), atol=1.5)


def test_fit_keeps_proportions_and_averages_where_it_shrinks():
    stripes = np.zeros((192, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(resize(stripes).astype(int) - 100).max() <= 1
    disc = np.zeros((200, 100, 3), np.uint8)
    disc[75:125, 25:75] = 255
    middle = resize(disc)[..., 0] > 127
    assert abs(int(middle.any(0).sum()) - int(middle.any(1).sum())) <= 1


def test_rows_follow_class_and_number_and_other_files_are_left_out(tmp_path):
    root = folder_of(tmp_path / "set", ABBREVIATED, per_class=11)
    (root / "ig" / "Thumbs.db").write_bytes(b"x")
    (root / "ig" / ".hidden.png").write_bytes(b"x")
    (root / "notes.txt").write_text("x")
    cells = read(root, seed=0, cache=tmp_path / "cache")
    assert len(cells) == 88
    np.testing.assert_array_equal(cells.images[33 + 10], np.asarray(smooth((96, 96), 310)))


def test_what_is_left_out_of_the_class_folders_is_counted(tmp_path):
    root = folder_of(tmp_path / "set", ABBREVIATED)
    assert read(root, seed=0, cache=tmp_path / "cache").notes == ()
    for number in range(3):
        smooth((96, 96), number).save(root / "plate" / f"more_{number}.GIF")
    (root / "ig" / "old").mkdir()
    (root / "ig" / ".hidden").touch()
    cells = read(root, seed=0, cache=tmp_path / "cache")
    (note,) = cells.notes
    assert len(cells) == 2 * K
    assert note.startswith("4 entries of the class folders were left out")
    assert note.endswith(": .gif (3), old/ (1)")


def test_the_folder_of_the_cache_is_no_source(tmp_path):
    root = folder_of(tmp_path / "data", ABBREVIATED)
    before = sorted(root.iterdir())
    with pytest.raises(UserError) as caught:
        read(root, seed=0, cache=tmp_path / "data")
    assert "is where the kit keeps what it prepares; move the folders of images to another one" in sentence(caught)
    assert sorted(root.iterdir()) == before


def test_what_lies_under_transparent_pixels_is_not_seen(tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 20, 4), np.uint8)
    pixels[:10, :, 3], pixels[10:, :, 3] = 0, 255
    for suffix, options in ((".png", {}), (".webp", {"lossless": True, "exact": True})):
        Image.fromarray(pixels).save(tmp_path / f"x{suffix}", **options)
        shown = pictures.decode(tmp_path / f"x{suffix}")
        assert (shown[:10] == 255).all()
        np.testing.assert_array_equal(shown[10:], pixels[10:, :, :3])


def test_a_palette_a_grey_and_a_turned_picture_are_decoded_as_they_look(tmp_path):
    picture = smooth((40, 20), 1)
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "p.png", transparency=b"\x00\x80")
    picture.convert("L").save(tmp_path / "l.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter to look at it
    picture.save(tmp_path / "t.jpg", exif=exif, quality=95)
    shown, index = pictures.decode(tmp_path / "p.png").astype(int), np.asarray(palette)
    assert np.abs(shown - np.asarray(picture))[index > 1].mean() < 12
    assert (shown[index == 0] == 255).all()
    grey = pictures.decode(tmp_path / "l.png")
    assert (grey[..., 0] == grey[..., 2]).all()
    turned = pictures.decode(tmp_path / "t.jpg")
    assert turned.shape == (20, 40, 3)
    assert np.abs(turned.astype(int) - np.rot90(np.asarray(picture), -1)).mean() < 12


def truncated_jpeg(path: Path) -> None:
    smooth((96, 96), 5).save(path, quality=95)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def truncated_tiff(path: Path) -> None:
    pages = [smooth((96, 96), seed) for seed in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


TWELVE_BITS = np.full((96, 96, 3), 3000, np.uint16)

BAD_FILES = {
    "a truncated JPEG": ("bad.jpg", truncated_jpeg, "no whole image"),
    "a truncated PNG": ("bad.png", lambda p: p.write_bytes(png()[:-40]), "no whole image"),
    "text": ("bad.jpeg", lambda p: p.write_text("<html>"), "no whole image"),
    "an empty file": ("bad.bmp", lambda p: p.write_bytes(b""), "no whole image"),
    "a TIFF cut off before its second page": ("bad.tif", truncated_tiff, "no whole image"),
    "12 bits a channel in a PNG": ("bad.png", lambda p: cv2.imwrite(str(p), TWELVE_BITS), "16-bit RGB pixels"),
    "12 bits a channel in a TIFF": ("bad.tif", lambda p: cv2.imwrite(str(p), TWELVE_BITS), "16-bit RGB pixels"),
    "12 bits and transparency": (
        "bad.png",
        lambda p: cv2.imwrite(str(p), np.dstack([TWELVE_BITS] * 2)[..., :4]),
        "16-bit RGBA pixels",
    ),
    "16 bits a channel": ("bad.tif", lambda p: Image.fromarray(np.zeros((96, 96), np.uint16)).save(p), "8 bits"),
}


def png() -> bytes:
    buffer = io.BytesIO()
    smooth((96, 96), 5).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("case", BAD_FILES)
def test_one_bad_image_file_is_refused_by_name(tmp_path, case):
    name, make, phrase = BAD_FILES[case]
    root = folder_of(tmp_path / "set", ABBREVIATED)
    make(root / "erythro" / name)
    with pytest.raises(UserError) as caught:
        read(root, seed=0, cache=tmp_path / "cache")
    assert phrase in sentence(caught)
    assert name in str(caught.value)


def test_a_picture_with_an_odd_exif_tag_is_turned_all_the_same(tmp_path):
    def entry(tag, kind, count, value):
        return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")

    # Orientation 6, and a resolution written as text, which Pillow cannot write again.
    tags = entry(0x112, 3, 1, b"\6\0") + entry(0x11A, 2, 3, b"72\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4)
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert pictures.decode(tmp_path / "a.jpg").shape == (12, 8, 3)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_upright_as_pillow_turns_it(tmp_path, turn):
    image = smooth((12, 8), 3)
    tags = image.getexif()
    tags[0x112] = turn
    image.save(tmp_path / "a.png", exif=tags)
    with Image.open(tmp_path / "a.png") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(pictures.decode(tmp_path / "a.png"), upright)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*", b"Exif\0\0II+\0\x08\0\0\0", b"Exif\0\0" + bytes(20)])
def test_a_picture_with_a_damaged_exif_block_is_whole(exif, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(path, exif=exif, dpi=(72, 72))
    assert pictures.decode(path).shape == (8, 12, 3)


def tiff_of(*pages: tuple[Image.Image, dict]) -> bytes:
    """A TIFF of these pages, each with the facts that Pillow writes for it.

    In memory, and gone with this function: Pillow's writer finishes the file once more when it is
    freed, and Python 3.13 tells where that comes after the file was closed.
    """
    whole = io.BytesIO()
    writer = TiffImagePlugin.AppendingTiffWriter(whole)
    for page, facts in pages:
        page.save(writer, format="TIFF", **facts)
        writer.newFrame()
    return whole.getvalue()


def test_a_file_of_several_pictures_is_refused_but_not_for_its_thumbnail(tmp_path):
    pages = [Image.fromarray(np.full((8, 8), 60 * number, np.uint8)) for number in range(3)]
    for name in ("a.tif", "a.webp", "a.png"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(UserError) as caught:
            pictures.decode(tmp_path / name)
        assert f"{name} holds 3 pictures; expected one a file" in sentence(caught)
    small = TiffImagePlugin.ImageFileDirectory_v2()
    small[pictures.SUBFILE_TYPE] = 1
    (tmp_path / "c.tif").write_bytes(tiff_of((pages[1], {}), (pages[2], {"tiffinfo": small})))
    np.testing.assert_array_equal(pictures.decode(tmp_path / "c.tif"), np.full((8, 8, 3), 60))


def test_rows_know_their_files_also_where_the_pixels_come_from_the_cache(tmp_path):
    folder_of(tmp_path / "set", ABBREVIATED)
    wanted = tuple(f"{name}/cell_{number}.png" for name in ABBREVIATED for number in range(2))
    first, again = (read(tmp_path / "set", seed=0, cache=tmp_path / "cache") for _ in range(2))
    assert set(first.files) == set(wanted)
    assert first.files == again.files
    for row, name in enumerate(first.files):
        np.testing.assert_array_equal(first.images[row], pictures.decode(tmp_path / "set" / name))


def test_empty_folders_are_refused(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError) as caught:
        read(tmp_path / "set", seed=0, cache=tmp_path / "cache")
    assert "holds no folders" in sentence(caught)
    folder_of(tmp_path / "set", ABBREVIATED, per_class=0)
    with pytest.raises(UserError) as caught:
        read(tmp_path / "set", seed=0, cache=tmp_path / "cache")
    assert "hold no images" in sentence(caught)


@pytest.mark.parametrize("unreadable", ["set", "mono"])
def test_folders_that_may_not_be_read_are_refused_by_name(tmp_path, monkeypatch, unreadable):
    root = folder_of(tmp_path / "set", ABBREVIATED)
    listed = Path.iterdir

    def refuse(folder):
        if folder.name == unreadable:
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError) as caught:
        read(root, seed=0, cache=tmp_path / "cache")
    assert f"{unreadable} cannot be read (Permission denied)" in sentence(caught)


def test_real_cells_are_read_by_their_folders_names(real_cells_folder, tmp_path):
    for folder in sorted(real_cells_folder.iterdir()):
        (tmp_path / "few" / folder.name).mkdir(parents=True)
        for path in sorted(folder.glob("*.jpg"))[:3]:
            (tmp_path / "few" / folder.name / path.name).symlink_to(path)
    cells = read(tmp_path / "few", seed=0, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cells.labels, np.repeat(np.arange(K), 3))
    assert cells.notes == ()


def test_a_folder_with_the_file_in_it_names_the_file_and_what_macos_adds_is_no_class(tmp_path):
    (tmp_path / "training_set.npz").touch()
    with pytest.raises(UserError, match=r"is a folder; give the file in it: .*training_set\.npz"):
        read(tmp_path, seed=0, cache=tmp_path / "cache")
    folder = folder_of(tmp_path / "cells", contract.CLASSES)
    (folder / "__MACOSX").mkdir()
    assert len(read(folder, seed=0, cache=tmp_path / "cache").labels) == 2 * len(contract.CLASSES)
