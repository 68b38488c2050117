"""Reading npz files: the same cells whatever the layout, and one sentence for every kind of bad file."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from cell_files import K, npz, sentence, some_images, some_labels

from build.data.read import read
from build.errors import UserError
from submission import contract


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
    "one-hot float labels": ({"labels": np.eye(K)[some_labels(16)]}, "shape (N,) or (N, 1)"),
    "a column of float labels": ({"labels": some_labels(16)[:, None] * 1.0}, "are floats, dtype float64"),
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
    "a bracket of the header that never closes": lambda data: data.replace(b"(16, 96, 96, 3),", b"(16, 96, 96, 3 ,"),
    "a flipped magic number": lambda data: flip_byte(data, data.index(b"NUMPY")),
}


@pytest.mark.parametrize(
    ("damage", "save"),
    [*((damage, np.savez) for damage in DAMAGE)]
    # A compressed array's header has no bytes of its own to flip.
    + [(damage, np.savez_compressed) for damage in ("empty", "text", "cut off", "a flipped pixel")],
)
def test_a_damaged_npz_is_refused_with_one_sentence(tmp_path, damage, save):
    path = npz(tmp_path, save=save)
    data = path.read_bytes()
    path.write_bytes(DAMAGE[damage](data))
    with pytest.raises(UserError) as caught:
        read(path, seed=0, cache=tmp_path / "cache")
    assert str(path) in sentence(caught)


@pytest.mark.parametrize(
    ("name", "value"),
    [("IMAGE_SHAPE", (96, 96, 1)), ("IMAGE_SHAPE", (96, 96)), ("CLASSES", ("a", "b", "a")), ("CLASSES", ())],
)
def test_a_contract_that_the_kit_cannot_keep_is_refused_before_the_data_is_read(tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(contract, name, value)
    with pytest.raises(UserError) as caught:
        read(npz(tmp_path), seed=0, cache=tmp_path / "cache")
    assert f"{name} in submission/contract.py must be" in sentence(caught)
    assert not (tmp_path / "cache").exists()


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


def test_a_zip_of_folders_or_around_an_npz_is_to_be_unpacked(tmp_path):
    for name, said in (("Basophil/1.jpg", "give the folder"), ("training_set.npz", "give the training_set.npz in it")):
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            archive.writestr(name, "x")
        with pytest.raises(UserError) as caught:
            read(tmp_path / "set.zip", seed=0, cache=tmp_path / "cache")
        assert "unpack it and " + said in sentence(caught)


def test_a_missing_source_is_refused_naming_the_formats(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path / "nowhere.npz", seed=0, cache=tmp_path / "cache")
    assert "does not exist" in sentence(caught)


def test_reading_holds_no_second_copy_of_the_images_in_memory(tmp_path):
    images = np.full((1500, *contract.IMAGE_SHAPE), 200, np.uint8)
    path = npz(tmp_path, images=images, labels=some_labels(1500), save=np.savez_compressed)
    size = images.nbytes
    del images
    tracemalloc.start()
    cells = read(path, seed=0, cache=tmp_path / "cache")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(cells) == 1500
    assert peak < size / 2, f"{peak / 2**20:.0f} MiB for {size / 2**20:.0f} MiB of images"


def test_an_npz_that_may_not_be_opened_is_refused_as_such(tmp_path, monkeypatch):
    path = npz(tmp_path)

    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(UserError) as caught:
        read(path, seed=0, cache=tmp_path / "cache")
    assert "cannot be read (Permission denied)" in sentence(caught)


def test_an_npz_in_a_folder_that_may_not_be_read_is_refused_as_such(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.is_dir", refuse)
    with pytest.raises(UserError) as caught:
        read(tmp_path / "set.npz", seed=0, cache=tmp_path / "cache")
    assert "set.npz cannot be read (Permission denied)" in sentence(caught)


@pytest.mark.parametrize("source", ["~nosuchuser/set.npz", "x" * 300 + ".npz", "{set}/below.npz"])
def test_a_path_that_cannot_be_is_refused(tmp_path, source):
    source = source.format(set=npz(tmp_path))
    with pytest.raises(UserError) as caught:
        read(source, seed=0, cache=tmp_path / "cache")
    assert source in sentence(caught)


def test_no_flipped_byte_of_the_archives_directory_ends_in_a_traceback_or_in_other_pixels(tmp_path):
    path = npz(tmp_path, labels=np.arange(16, dtype=np.uint8) % K)
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    for at in range(start, len(whole)):
        path.write_bytes(flip_byte(whole, at))
        try:
            cells = read(path, seed=0, cache=tmp_path / "cache")
        except UserError:
            continue
        assert cells.images[15, 95, 95, 2] == some_images(16)[15, 95, 95, 2]
        assert cells.labels.tolist() == some_labels(16).tolist()


@pytest.mark.parametrize("top", [0, 1])
def test_images_that_are_black_are_refused(tmp_path, top):
    """Pixels of 0..1 that became uint8 before they were multiplied."""
    path = npz(tmp_path, images=np.minimum(some_images(16), top))
    with pytest.raises(UserError) as caught:
        read(path, seed=0, cache=tmp_path / "cache")
    assert f"no pixel is above {top}, so they are black" in sentence(caught)
    assert not list((tmp_path / "cache").glob("cells-*"))


@pytest.mark.parametrize("source", ["", "  "])
def test_an_empty_source_is_not_the_working_directory(tmp_path, source):
    with pytest.raises(UserError, match="Expected a data source, got an empty one"):
        read(source, seed=0, cache=tmp_path / "cache")
