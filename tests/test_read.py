"""Reading: every format gives the same cells, and every kind of bad input gives one sentence."""

import hashlib
import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from build.data import cache as store
from build.data import folders, names
from build.data.fit import fit
from build.data.read import read
from build.errors import UserError
from submission import contract

K = len(contract.CLASSES)


def some_images(count: int, side: int = 96, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def some_labels(count: int) -> np.ndarray:
    return np.arange(count) % K


def npz(folder: Path, name: str = "set.npz", *, save=np.savez, **arrays) -> Path:
    path = folder / name
    save(path, **({"images": some_images(16), "labels": some_labels(16)} | arrays))
    return path


def sentence(caught: pytest.ExceptionInfo) -> str:
    """The message, after checking that it is one sentence of one line."""
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) > 30
    return text


# --- npz ------------------------------------------------------------------------------------------------------------


def test_the_competition_npz_is_read_unchanged_with_labels_of_either_shape(tmp_path):
    flat = read(npz(tmp_path, "flat.npz"), seed=0, cache=tmp_path / "cache")
    column = read(npz(tmp_path, "column.npz", labels=some_labels(16)[:, None]), seed=0, cache=tmp_path / "cache")
    packed = read(npz(tmp_path, "packed.npz", save=np.savez_compressed), seed=0, cache=tmp_path / "cache")
    for cells in (flat, column, packed):
        np.testing.assert_array_equal(cells.images, some_images(16))
        np.testing.assert_array_equal(cells.labels, some_labels(16))
        assert cells.images.dtype == np.uint8
        assert cells.labels.dtype == np.int64
    assert flat.sha256 == column.sha256 == packed.sha256
    assert isinstance(flat.images, np.memmap)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64, ">i4"])
def test_labels_of_any_integer_type_become_int64(tmp_path, dtype):
    cells = read(npz(tmp_path, labels=some_labels(16).astype(dtype)), seed=0, cache=tmp_path / "cache")
    assert cells.labels.dtype == np.int64
    np.testing.assert_array_equal(cells.labels, some_labels(16))


def nan_images() -> np.ndarray:
    images = some_images(16).astype(np.float32)
    images[3, 2, 1, 0] = np.nan
    return images


BAD_ARRAYS = {
    "images of another shape": ({"images": some_images(16, 64)}, "shape (N, 96, 96, 3)"),
    "images without channels": ({"images": some_images(16)[..., 0]}, "shape (N, 96, 96, 3)"),
    "channels first": ({"images": np.moveaxis(some_images(16), -1, 1).copy()}, "shape (N, 96, 96, 3)"),
    "one image only": ({"images": some_images(1)[0]}, "shape (N, 96, 96, 3)"),
    "float images": ({"images": some_images(16) / np.float32(255)}, "uint8"),
    "images with NaN": ({"images": nan_images()}, "1 values not a number (NaN)"),
    "16-bit images": ({"images": some_images(16).astype(np.uint16)}, "uint8"),
    "boolean images": ({"images": some_images(16) > 99}, "uint8"),
    "float labels": ({"labels": some_labels(16) * 1.0}, "integers"),
    "labels with NaN": ({"labels": np.where(some_labels(16) == 2, np.nan, 1.0)}, "2 of them not a number (NaN)"),
    "text labels": ({"labels": np.array(["Basophil"] * 16)}, "integers"),
    "one-hot labels": ({"labels": np.eye(K, dtype=int)[some_labels(16)]}, "shape (N,) or (N, 1)"),
    "a single label": ({"labels": np.array(3)}, "shape (N,) or (N, 1)"),
    "labels from 1 to 8": ({"labels": some_labels(16) + 1}, "0..7, but run from 1 to 8"),
    "negative labels": ({"labels": some_labels(16) - 1}, "0..7, but run from -1 to 6"),
    "fewer labels than images": ({"labels": some_labels(15)}, "16 images but 15 labels"),
    "no image at all": ({"images": some_images(0), "labels": some_labels(0)}, "no images"),
    "a class without images": ({"labels": some_labels(16) % 7}, "none of Platelet"),
    "a pickled object array": ({"labels": np.array([{}] * 16, dtype=object)}, "pickled"),
    "pickled images": ({"images": np.array([None] * 16, dtype=object)}, "pickled"),
    "images in Fortran order": ({"images": np.asfortranarray(some_images(16))}, "Fortran"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused_with_one_sentence_and_leave_no_cache(tmp_path, case):
    arrays, phrase = BAD_ARRAYS[case]
    with pytest.raises(UserError) as caught:
        read(npz(tmp_path, **arrays), seed=0, cache=tmp_path / "cache")
    assert phrase in sentence(caught)
    assert not [*(tmp_path / "cache").glob("*")]


def test_an_npz_without_the_two_arrays_is_refused_naming_what_it_holds(tmp_path):
    np.savez(tmp_path / "other.npz", x=some_images(1), y=some_labels(1))
    with pytest.raises(UserError) as caught:
        read(tmp_path / "other.npz", seed=0, cache=tmp_path / "cache")
    assert "holds x, y" in sentence(caught)


def flip_byte(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


DAMAGE = {
    "empty": lambda data: b"",
    "text": lambda data: b"<html>404 not found</html>" * 40,
    "cut off": lambda data: data[: len(data) // 2],
    "a flipped pixel": lambda data: flip_byte(data, len(data) // 3),
    "a flipped array header": lambda data: flip_byte(data, data.index(b"NUMPY") + 14),
    "a flipped magic number": lambda data: flip_byte(data, data.index(b"NUMPY")),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_npz_is_refused_with_one_sentence(tmp_path, damage, save):
    path = npz(tmp_path, save=save)
    data = path.read_bytes()
    if b"NUMPY" not in data and "flipped" in damage and "pixel" not in damage:
        pytest.skip("compressed headers have no bytes of their own")
    path.write_bytes(DAMAGE[damage](data))
    with pytest.raises(UserError) as caught:
        read(path, seed=0, cache=tmp_path / "cache")
    assert str(path) in sentence(caught)


def test_an_array_that_promises_more_rows_than_it_has_is_refused(tmp_path):
    whole, head = io.BytesIO(), io.BytesIO()
    np.save(whole, some_images(16))
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (17, *contract.IMAGE_SHAPE)}
    )
    labels = io.BytesIO()
    np.save(labels, some_labels(17))
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("images.npy", head.getvalue() + some_images(16).tobytes())
        archive.writestr("labels.npy", labels.getvalue())
    with pytest.raises(UserError) as caught:
        read(tmp_path / "short.npz", seed=0, cache=tmp_path / "cache")
    assert "cut off" in sentence(caught)


def test_a_missing_source_is_refused_naming_the_formats(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path / "nowhere.npz", seed=0, cache=tmp_path / "cache")
    assert "does not exist" in sentence(caught)


def test_reading_holds_no_second_copy_of_the_images_in_memory(tmp_path):
    images = np.zeros((1500, *contract.IMAGE_SHAPE), np.uint8)
    path = npz(tmp_path, images=images, labels=some_labels(1500), save=np.savez_compressed)
    size = images.nbytes
    del images
    tracemalloc.start()
    cells = read(path, seed=0, cache=tmp_path / "cache")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(cells) == 1500
    assert peak < size / 2, f"{peak / 2**20:.0f} MiB for {size / 2**20:.0f} MiB of images"


# --- cache ----------------------------------------------------------------------------------------------------------


def test_a_second_call_opens_the_cache_and_a_changed_file_is_read_again(tmp_path, monkeypatch):
    path = npz(tmp_path)
    first = read(path, seed=0, cache=tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(store, "write", lambda *a, **k: pytest.fail("read again"))
        again = read(path, seed=0, cache=tmp_path / "cache")
    assert again.sha256 == first.sha256
    npz(tmp_path, images=some_images(16, seed=1))
    changed = read(path, seed=0, cache=tmp_path / "cache")
    assert changed.sha256 != first.sha256
    np.testing.assert_array_equal(changed.images, some_images(16, seed=1))


@pytest.mark.parametrize("victim", ["images.npy", "labels.npy", "about.json"])
def test_a_damaged_cache_entry_is_made_again(tmp_path, victim):
    path = npz(tmp_path)
    read(path, seed=0, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    (entry / victim).write_bytes((entry / victim).read_bytes()[:20])
    cells = read(path, seed=0, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cells.images, some_images(16))


def test_an_interrupted_reading_leaves_nothing_behind(tmp_path):
    def pieces():
        yield some_images(4), some_labels(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(tmp_path, "entry", "source", 16, pieces(), [])
    assert not [*tmp_path.iterdir()]


def test_another_contract_reads_the_same_file_anew(tmp_path, monkeypatch):
    path = npz(tmp_path, images=some_images(16, 32), labels=some_labels(16) % 3)
    with pytest.raises(UserError):
        read(path, seed=0, cache=tmp_path / "cache")
    monkeypatch.setattr(contract, "IMAGE_SHAPE", (32, 32, 3))
    monkeypatch.setattr(contract, "CLASSES", ("circle", "square", "triangle"))
    assert read(path, seed=0, cache=tmp_path / "cache").images.shape == (16, 32, 32, 3)


# --- folders --------------------------------------------------------------------------------------------------------


def smooth(side: tuple[int, int], seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(side[::-1], Image.Resampling.BICUBIC)


def folder_of(root: Path, given: tuple[str, ...], per_class: int = 2, side: tuple[int, int] = (96, 96)) -> Path:
    for index, name in enumerate(given):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            smooth(side, 10 * index + i).save(root / name / f"cell_{i}.png")
    return root


ABBREVIATED = ("BASOPHILS", "eosino", "erb", "ig", "Lymphocytes", "mono", "neutrophil", "plt")


def test_folders_are_matched_to_classes_by_name_whatever_their_order_and_spelling(tmp_path):
    cells = read(folder_of(tmp_path / "set", ABBREVIATED), seed=0, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cells.labels, np.repeat(np.arange(K), 2))
    np.testing.assert_array_equal(cells.images[6], np.asarray(smooth((96, 96), 30)))
    assert cells.notes == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("immature_granulocytes", 3),
        ("Immature granulocyte", 3),
        ("IG", 3),
        ("EOS", 1),
        ("lym", 4),
        ("e", None),
        ("er", 2),
        ("granulocyte", None),
        ("3", None),
        ("", None),
    ],
)
def test_a_name_is_matched_by_the_strictest_rule_that_fits_one_class(given, expected):
    assert names.class_of(given) == expected


def test_folders_with_foreign_names_are_taken_in_sorted_order_and_that_is_said(tmp_path, capsys):
    cells = read(folder_of(tmp_path / "set", tuple("76543210")), seed=0, cache=tmp_path / "cache")
    assert cells.labels.tolist() == np.repeat(np.arange(K), 2).tolist()
    np.testing.assert_array_equal(cells.images[0], np.asarray(smooth((96, 96), 70)))
    assert "0 = Basophil" in cells.notes[0]
    assert "0 = Basophil" in capsys.readouterr().err
    again = read(tmp_path / "set", seed=0, cache=tmp_path / "cache")
    assert again.notes == cells.notes


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
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
    smooth((96, 96), 999).save(root / "plt" / "right.png")
    cells = read(root, seed=0, cache=tmp_path / "cache")
    assert cells.images.shape == (17, *contract.IMAGE_SHAPE)
    assert cells.notes == ("16 of 17 images were resized: they have 363x360 pixels",)
    # A smooth picture keeps its colours: the mean of the largest square is the mean of the result.
    square = np.asarray(smooth((363, 360), 0))[1:361].astype(float)
    np.testing.assert_allclose(cells.images[0].mean((0, 1)), square.mean((0, 1)), atol=1.5)


def test_fit_keeps_proportions_and_averages_where_it_shrinks():
    stripes = np.zeros((192, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(fit(stripes).astype(int) - 100).max() <= 1
    disc = np.zeros((200, 100, 3), np.uint8)
    disc[75:125, 25:75] = 255
    middle = fit(disc)[..., 0] > 127
    assert abs(int(middle.any(0).sum()) - int(middle.any(1).sum())) <= 1


def test_rows_follow_class_and_number_and_other_files_are_left_out(tmp_path):
    root = folder_of(tmp_path / "set", ABBREVIATED, per_class=11)
    (root / "ig" / "Thumbs.db").write_bytes(b"x")
    (root / "ig" / ".hidden.png").write_bytes(b"x")
    (root / "notes.txt").write_text("x")
    cells = read(root, seed=0, cache=tmp_path / "cache")
    assert len(cells) == 88
    np.testing.assert_array_equal(cells.images[33 + 10], np.asarray(smooth((96, 96), 40)))


def test_a_palette_a_grey_and_a_turned_picture_are_decoded_as_they_look(tmp_path):
    picture = smooth((40, 20), 1)
    picture.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png", transparency=b"\x00\x80")
    picture.convert("L").save(tmp_path / "l.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter to look at it
    picture.save(tmp_path / "t.jpg", exif=exif, quality=95)
    assert np.abs(folders.decode(tmp_path / "p.png").astype(int) - np.asarray(picture)).mean() < 12
    grey = folders.decode(tmp_path / "l.png")
    assert (grey[..., 0] == grey[..., 2]).all()
    turned = folders.decode(tmp_path / "t.jpg")
    assert turned.shape == (20, 40, 3)
    assert np.abs(turned.astype(int) - np.rot90(np.asarray(picture), -1)).mean() < 12


def truncated_jpeg(path: Path) -> None:
    smooth((96, 96), 5).save(path, quality=95)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


BAD_FILES = {
    "a truncated JPEG": ("bad.jpg", truncated_jpeg, "no whole image"),
    "a truncated PNG": ("bad.png", lambda p: p.write_bytes(png()[:-40]), "no whole image"),
    "text": ("bad.jpeg", lambda p: p.write_text("<html>"), "no whole image"),
    "an empty file": ("bad.bmp", lambda p: p.write_bytes(b""), "no whole image"),
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
    make(root / "erb" / name)
    with pytest.raises(UserError) as caught:
        read(root, seed=0, cache=tmp_path / "cache")
    assert phrase in sentence(caught)
    assert name in str(caught.value)


def test_empty_folders_are_refused(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError) as caught:
        read(tmp_path / "set", seed=0, cache=tmp_path / "cache")
    assert "holds no folders" in sentence(caught)
    folder_of(tmp_path / "set", ABBREVIATED, per_class=0)
    with pytest.raises(UserError) as caught:
        read(tmp_path / "set", seed=0, cache=tmp_path / "cache")
    assert "hold no images" in sentence(caught)


def test_real_cells_are_read_by_their_folders_names(real_cells_folder, tmp_path):
    for folder in sorted(real_cells_folder.iterdir()):
        (tmp_path / "few" / folder.name).mkdir(parents=True)
        for path in sorted(folder.glob("*.jpg"))[:3]:
            (tmp_path / "few" / folder.name / path.name).symlink_to(path)
    cells = read(tmp_path / "few", seed=0, cache=tmp_path / "cache")
    np.testing.assert_array_equal(cells.labels, np.repeat(np.arange(K), 3))
    assert cells.notes == ()


# --- MedMNIST -------------------------------------------------------------------------------------------------------

THEIRS = {
    "0": "platelet",
    "1": "basophil",
    "2": "eosinophil",
    "3": "erythroblast",
    "4": "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
    "5": "lymphocyte",
    "6": "monocyte",
    "7": "neutrophil",
}
"""Another order than the contract's, to see that names and not numbers decide."""


@pytest.fixture
def medmnist(tmp_path, monkeypatch):
    """A package like medmnist whose file lies on this disk; the package itself must not be imported (it needs PyTorch)."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    package = tmp_path / "site" / "medmnist"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    parts = {}
    for part, count, seed in (("train", 24, 1), ("val", 8, 2), ("test", 16, 3)):
        parts[f"{part}_images"] = some_images(count, 64, seed)
        parts[f"{part}_labels"] = some_labels(count)[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "served.npz", **parts)
    md5 = hashlib.md5((tmp_path / "served.npz").read_bytes()).hexdigest()

    def publish(**changes):
        facts = {
            "n_channels": 3,
            "label": THEIRS,
            "url_64": (tmp_path / "served.npz").as_uri(),
            "MD5_64": md5,
        } | changes
        (package / "info.py").write_text(f"INFO = {{'bloodmnist': {facts!r}}}")

    publish()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return publish


def test_medmnist_is_downloaded_joined_resized_and_mapped_by_name(tmp_path, medmnist):
    cells = read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "cache")
    assert cells.images.shape == (48, *contract.IMAGE_SHAPE)
    assert cells.labels[:8].tolist() == [7, 0, 1, 2, 3, 4, 5, 6]
    assert any("64x64" in note for note in cells.notes)
    np.testing.assert_array_equal(cells.images[32], fit(some_images(16, 64, 3)[0]))
    (tmp_path / "served.npz").unlink()
    assert read("medmnist:bloodmnist@64", seed=0, cache=tmp_path / "cache").sha256 == cells.sha256


def test_a_medmnist_file_can_be_given_by_its_path(tmp_path, medmnist):
    cells = read(tmp_path / "served.npz", seed=0, cache=tmp_path / "cache")
    assert cells.labels[:8].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("source", "changes", "phrase"),
    [
        ("medmnist:bloodmnist@99", {}, "expected one of 64, 128, 224"),
        ("medmnist:pathmnist", {}, "expected medmnist:bloodmnist"),
        ("medmnist:bloodmnist", {}, "expected medmnist:bloodmnist"),
        ("medmnist:bloodmnist@64", {"n_channels": 1}, "RGB"),
        ("medmnist:bloodmnist@64", {"label": {"0": "cat", "1": "dog"}}, "No class is named like cat, dog"),
        ("medmnist:bloodmnist@64", {"url_64": "file:///nowhere.npz"}, "cannot be downloaded"),
        ("medmnist:bloodmnist@64", {"url_64": "http://127.0.0.1:9/x.npz"}, "cannot be downloaded"),
        ("medmnist:bloodmnist@64", {"MD5_64": "0" * 32}, "MD5"),
    ],
)
def test_medmnist_that_cannot_be_had_is_refused_with_what_to_do(tmp_path, medmnist, source, changes, phrase):
    medmnist(**changes)
    with pytest.raises(UserError) as caught:
        read(source, seed=0, cache=tmp_path / "cache")
    assert phrase in sentence(caught)
    assert not [*(tmp_path / "cache").glob("**/*.npz")]


def test_medmnist_without_its_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        read("medmnist:bloodmnist", seed=0, cache=tmp_path / "cache")
    assert "pip install --no-deps medmnist" in sentence(caught)
