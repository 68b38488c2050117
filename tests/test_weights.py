"""The weights file: what comes back, the same bytes twice, and every damage told in one sentence."""

import contextlib
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from submission.weights import FLOAT16_MAX, STORAGES, WeightsError, channel_axis, load, save

META = {"spec": {"network": "custom-cnn", "image_shape": [32, None, 3]}, "views": 4}


@pytest.fixture
def arrays(rng) -> dict[str, np.ndarray]:
    return {
        "conv/kernel": rng.normal(size=(3, 3, 4, 8)).astype(np.float32),
        "conv_depthwise/kernel": (rng.normal(size=(7, 7, 8, 1)) * np.logspace(-6, 3, 8)[:, None]).astype(np.float32),
        "conv/bias": rng.normal(size=8).astype(np.float32),
        "seed/state": np.array([1, 2**31], np.uint32),
        "empty/kernel": np.zeros((0, 3), np.float32),
        "one/scalar": np.float32(0.1).reshape(()),
    }


@pytest.mark.parametrize("storage", STORAGES)
def test_everything_comes_back_as_precisely_as_the_storage_says(arrays, storage, tmp_path):
    save(tmp_path / "w.npz", arrays, META, storage=storage)
    found, meta = load(tmp_path / "w.npz")
    assert meta == META
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        if array.ndim < 2 or storage == "float32" or array.size == 0:
            np.testing.assert_array_equal(found[name], array)
        elif storage == "float16":
            np.testing.assert_array_equal(found[name], array.astype(np.float16).astype(np.float32))
        else:
            others = tuple(a for a in range(array.ndim) if a != channel_axis(array.shape))
            step = np.abs(array).max(axis=others, keepdims=True) / 127
            assert (np.abs(found[name] - array) <= step * 0.5001).all()


@pytest.mark.parametrize(("storage", "share"), [("float16", 0.5), ("int8", 0.25)])
def test_smaller_storages_are_smaller_by_as_much_as_they_should(rng, storage, share, tmp_path):
    arrays = {"dense/kernel": rng.normal(size=(500, 400)).astype(np.float32)}
    for name in ("float32", storage):
        save(tmp_path / name, arrays, META, storage=name)
    assert (tmp_path / storage).stat().st_size < (share + 0.01) * (tmp_path / "float32").stat().st_size


def test_numbers_beyond_float16_stay_float32(tmp_path):
    large = {"a/kernel": np.array([[2 * FLOAT16_MAX, 1.0]], np.float32)}
    save(tmp_path / "w.npz", large, {}, storage="float16")
    np.testing.assert_array_equal(load(tmp_path / "w.npz")[0]["a/kernel"], large["a/kernel"])


def test_channels_of_zeros_and_of_denormal_numbers_survive_int8(tmp_path):
    kernel = np.ones((4, 3), np.float32)
    kernel[:, 0], kernel[:, 1] = 0, 1e-45
    save(tmp_path / "w.npz", {"a/kernel": kernel}, {}, storage="int8")
    np.testing.assert_allclose(load(tmp_path / "w.npz")[0]["a/kernel"], [[0, 0, 1]] * 4, atol=1e-40)


def test_float64_bfloat16_and_fortran_order_are_stored_as_float32(rng, tmp_path):
    import ml_dtypes

    values = rng.normal(size=(5, 6))
    kinds = {
        "double": values,
        "brain": values.astype(ml_dtypes.bfloat16),
        "fortran": np.asfortranarray(values.astype(np.float32)),
    }
    save(tmp_path / "w.npz", kinds, {}, storage="float32")
    for name, array in load(tmp_path / "w.npz")[0].items():
        np.testing.assert_array_equal(array, kinds[name].astype(np.float32))
    save(tmp_path / "c.npz", kinds | {"fortran": np.ascontiguousarray(kinds["fortran"])}, {}, storage="float32")
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "w.npz").read_bytes()


@pytest.mark.parametrize("storage", STORAGES)
def test_the_same_arrays_give_the_same_bytes_in_any_order(arrays, storage, tmp_path):
    save(tmp_path / "a.npz", arrays, META, storage=storage)
    save(tmp_path / "b.npz", dict(reversed(arrays.items())), dict(reversed(META.items())), storage=storage)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    arrays["conv/bias"][3] += 0.5
    save(tmp_path / "c.npz", arrays, META, storage=storage)
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "c.npz").read_bytes()


def test_no_byte_can_be_flipped_so_that_other_content_comes_back(rng, tmp_path):
    arrays = {"a/kernel": rng.normal(size=(4, 6)), "a/bias": rng.normal(size=6), "n": np.arange(3)}
    path = tmp_path / "w.npz"
    save(path, arrays, META, storage="int8")
    content, (expected, _) = path.read_bytes(), load(path)
    refused, harmless = 0, 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        try:
            found, meta = load(path)
        except WeightsError:
            refused += 1
            continue
        # Some bytes of a zip mean nothing (its members' dates, say): then everything must be as it was.
        harmless += 1
        assert meta == META
        assert found.keys() == expected.keys()
        assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())
        assert all(found[name].shape == array.shape for name, array in expected.items())
    assert refused > 4 * harmless


def test_a_file_cut_anywhere_is_refused(arrays, tmp_path):
    save(tmp_path / "w.npz", arrays, META, storage="float16")
    content = (tmp_path / "w.npz").read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        (tmp_path / "w.npz").write_bytes(content[:length])
        with pytest.raises(WeightsError, match="damaged or not one of ours"):
            load(tmp_path / "w.npz")


def rewritten(path, change) -> None:
    """The same npz with its arrays changed and a sound zip around them."""
    with np.load(path) as file:
        members = {name: file[name] for name in file.files}
    change(members)
    np.savez(path, **members)


def test_content_changed_in_a_sound_zip_is_found_by_the_checksum(arrays, tmp_path):
    path = tmp_path / "w.npz"

    def change_number(members):
        members["conv/kernel"].flat[5] += 0.25

    def change_name(members):
        members["conv2/kernel"] = members.pop("conv/kernel")

    def change_shape(members):
        members["conv/kernel"] = members["conv/kernel"].reshape(3, 3, 8, 4)

    def change_meta(members):
        header = json.loads(members["header"].tobytes())
        header["meta"]["views"] = 8
        members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    for change in (change_number, change_name, change_shape, change_meta):
        save(path, arrays, META, storage="float32")
        rewritten(path, change)
        with pytest.raises(WeightsError, match="does not match its checksum"):
            load(path)


def test_files_of_another_kind_are_refused_and_no_pickle_is_run(arrays, tmp_path):
    path = tmp_path / "w.npz"
    with pytest.raises(WeightsError, match="There is no weights file"):
        load(path)
    np.savez(path, **arrays)
    with pytest.raises(WeightsError, match="not one of ours"):
        load(path)

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    np.savez(path, header=np.array([Trap()], object))
    with pytest.raises(WeightsError, match="not one of ours"):
        load(path)
    assert not (tmp_path / "sprung").exists()
    save(path, arrays, META, storage="float32")

    def newer(members):
        header = json.loads(members["header"].tobytes()) | {"format": 2}
        members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    rewritten(path, newer)
    with pytest.raises(WeightsError, match="has format 2, this code reads 1"):
        load(path)


@pytest.mark.parametrize(
    ("arrays", "meta", "storage", "sentence"),
    [
        ({"a": np.array([1, np.nan], np.float32)}, {}, "float32", "holds NaN or infinity"),
        ({"a": np.full((2, 2), np.inf)}, {}, "int8", "holds NaN or infinity"),
        ({"a": np.array(["x"])}, {}, "float32", "only numbers can be stored"),
        ({"header": np.zeros(2)}, {}, "float32", "reserved"),
        ({"a@scale": np.zeros(2)}, {}, "int8", "reserved"),
        ({"a": np.zeros(2)}, {"x": float("nan")}, "float32", "JSON"),
        ({"a": np.zeros(2)}, {}, "float8", "Expected a storage among"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_the_old_file_stays(arrays, meta, storage, sentence, tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=sentence):
        save(path, arrays, meta, storage=storage)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["w.npz"]


def test_members_are_stored_plain_and_bear_no_clock(arrays, tmp_path):
    save(tmp_path / "w.npz", arrays, META, storage="int8")
    with zipfile.ZipFile(tmp_path / "w.npz") as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_the_output_channels_of_every_kind_of_kernel_are_found():
    assert channel_axis((3, 3, 16, 32)) == 3
    assert channel_axis((7, 7, 32, 1)) == 2
    assert channel_axis((128, 8)) == 1
    assert channel_axis((1, 1)) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_members_damaged_before_a_sound_zip_was_made_or_packed_otherwise_are_refused(arrays, method, rng, tmp_path):
    path = tmp_path / "w.npz"
    save(path, arrays, META, storage="int8")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(60):
        # The header of an .npy is Python source to numpy: it can be wrong in more ways than a number.
        name = str(rng.choice(sorted(members)))
        damaged = bytearray(members[name])
        for place in rng.integers(0, min(len(damaged), 118), 3):
            damaged[place] ^= 1 << rng.integers(8)
        with zipfile.ZipFile(path, "w", method) as archive:
            for member, content in members.items():
                archive.writestr(member, bytes(damaged) if member == name else content)
        if damaged != members[name]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # numpy's, of strange headers
                    found, _ = load(path)
            except WeightsError:
                continue
            # What it means may be unharmed: a blank for another in the padding.
            assert all(np.array_equal(found[key], value) for key, value in _sound(members, path).items())
    packed = path.read_bytes()
    for place in rng.integers(0, len(packed), 60):
        path.write_bytes(packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :])
        with contextlib.suppress(WeightsError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(path)


def _sound(members: dict[str, bytes], path: Path) -> dict[str, np.ndarray]:
    """The arrays of undamaged members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return load(path)[0]
