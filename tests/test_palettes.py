"""Palettes in the weights file: lossless, small, and refused in one sentence where they are damaged."""

import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submission.weights import STREAM, Palette, WeightsError, _read, _write, combine, load, save

META = {"spec": {"network": "custom-cnn"}, "views": 2}


@st.composite
def palettes(draw) -> Palette:
    """Of any rank up to 4, empty ones and ones of a single value among them, with and without a scale."""
    shape = tuple(draw(st.lists(st.integers(0, 5), min_size=0, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = draw(st.integers(1, 256))
    indices = rng.integers(0, values, shape, dtype=np.uint8, endpoint=False) if values < 256 else None
    if indices is None:
        indices = rng.integers(0, 256, shape).astype(np.uint8)
    codebook = rng.normal(size=values).astype(np.float32)
    scale = None
    if shape and draw(st.booleans()):
        scale = rng.lognormal(size=[side if draw(st.booleans()) else 1 for side in shape]).astype(np.float32)
    return Palette(np.asarray(indices, np.uint8).reshape(shape), codebook, scale)


@settings(max_examples=60, deadline=None)
@given(palettes())
def test_every_palette_comes_back_without_loss(tmp_path_factory, palette):
    path = tmp_path_factory.getbasetemp() / "palette.npz"
    dense = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    save(path, {"a/kernel": palette, "b/kernel": dense}, META, storage="float32")
    arrays, meta = load(path)
    expected = palette.codebook[palette.indices] * (1 if palette.scale is None else palette.scale)
    assert meta == META
    assert arrays["a/kernel"].dtype == np.float32
    assert arrays["a/kernel"].shape == palette.indices.shape
    np.testing.assert_array_equal(arrays["a/kernel"], expected)
    np.testing.assert_array_equal(arrays["b/kernel"], dense)


def test_a_kernel_without_weights_needs_no_codebook(tmp_path):
    empty = Palette(np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))
    save(tmp_path / "w.npz", {"a/kernel": empty}, META, storage="float32")
    assert load(tmp_path / "w.npz")[0]["a/kernel"].shape == (0, 3)


def test_a_stream_is_as_short_as_the_entropy_of_its_indices_allows(rng, tmp_path):
    indices = np.clip(np.rint(rng.normal(size=(400, 1000)) * 4 + 32), 0, 63).astype(np.uint8)
    share = np.bincount(indices.ravel()) / indices.size
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum() * indices.size / 8
    save(tmp_path / "w.npz", {"a/kernel": Palette(indices, np.arange(64, dtype=np.float32))}, {}, storage="float32")
    assert entropy <= (tmp_path / "w.npz").stat().st_size < 1.06 * entropy


def test_no_byte_can_be_flipped_so_that_other_content_comes_back(rng, tmp_path):
    path = tmp_path / "w.npz"
    palette = Palette(rng.integers(0, 9, (6, 8)).astype(np.uint8), rng.normal(size=9).astype(np.float32))
    save(path, {"a/kernel": palette}, META, storage="float32")
    content, expected = path.read_bytes(), load(path)[0]["a/kernel"]
    refused = 0
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        try:
            found, meta = load(path)
        except WeightsError:
            refused += 1
            continue
        assert meta == META
        np.testing.assert_array_equal(found["a/kernel"], expected)
    assert refused > len(content) / 6


def with_member(path, name: str, member: np.ndarray | None, **header) -> None:
    """The same file with one member replaced or left out, and a right checksum around it."""
    old, members = _read(path)
    if member is None:
        members.pop(name)
    else:
        members[name] = member
    _write(path, old | header, members)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("a/kernel", lambda stream: stream[:-9], "indices or more instead of 48"),
        ("a/kernel", lambda stream: np.zeros_like(stream), "instead of 48"),
        ("a/kernel", lambda stream: np.full_like(stream, 255), "Corrupt"),
        ("a/kernel", lambda stream: packed(np.zeros(10**6, np.uint8)), "49 indices or more instead of 48"),
        ("a/kernel@codebook", lambda values: values[:2], "out of bounds"),
        ("a/kernel@codebook", lambda values: None, "a/kernel@codebook"),
        ("a/kernel@scale", lambda values: np.ones((3, 1), np.float32), "broadcast"),
        ("a/kernel@scale", lambda values: np.ones((2, 6, 8), np.float32), "does not fit"),
    ],
)
def test_a_palette_whose_parts_do_not_fit_is_told_in_one_sentence(rng, name, change, reason, tmp_path):
    path = tmp_path / "w.npz"
    palette = Palette(
        rng.integers(0, 9, (6, 8)).astype(np.uint8), rng.normal(size=9).astype(np.float32), np.ones((1, 8), np.float32)
    )
    save(path, {"a/kernel": palette}, META, storage="float32")
    with_member(path, name, change(_read(path)[1][name]))
    with pytest.raises(WeightsError, match=f"palette a/kernel that cannot be unpacked .*{reason}"):
        load(path)


def packed(indices: np.ndarray) -> np.ndarray:
    return np.frombuffer(lzma.compress(indices.tobytes(), lzma.FORMAT_RAW, filters=STREAM), np.uint8)


@pytest.mark.parametrize(
    ("palette", "sentence"),
    [
        (Palette(np.zeros((2, 2), np.int64), np.zeros(2, np.float32)), "needs uint8 indices"),
        (Palette(np.zeros((2, 2), np.uint8), np.zeros(257, np.float32)), "at most 256 values"),
        (Palette(np.full((2, 2), 3, np.uint8), np.zeros(3, np.float32)), "has index 3 but only 3 values"),
        (Palette(np.zeros((2, 2), np.uint8), np.full(3, np.nan, np.float32)), "NaN or infinity"),
        (Palette(np.zeros((2, 2), np.uint8), np.zeros(3, np.float32), np.ones((2, 1, 1), np.float32)), "does not fit"),
    ],
)
def test_a_palette_that_cannot_be_stored_is_refused(palette, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        save(tmp_path / "w.npz", {"a/kernel": palette}, {}, storage="float32")
    assert not list(tmp_path.iterdir())


def test_a_name_of_a_palettes_part_is_reserved(tmp_path):
    with pytest.raises(ValueError, match="reserved"):
        save(tmp_path / "w.npz", {"a@codebook": np.zeros(2)}, {}, storage="float32")


def test_vectors_become_float16_only_where_they_keep_three_digits(rng, tmp_path):
    vectors = {
        "plain/bias": rng.normal(size=50).astype(np.float32),
        "tiny/moving_variance": np.array([1e-7, 1.0], np.float32),
        "huge/moving_variance": np.array([1e6, 1.0], np.float32),
        "exact/beta": np.array([0, 0.5, -2], np.float32),
    }
    save(tmp_path / "w.npz", vectors, {}, storage="float32", vectors="float16")
    arrays, _ = load(tmp_path / "w.npz")
    for name in ("tiny/moving_variance", "huge/moving_variance", "exact/beta"):
        np.testing.assert_array_equal(arrays[name], vectors[name])
    assert (arrays["plain/bias"] != vectors["plain/bias"]).any()
    np.testing.assert_allclose(arrays["plain/bias"], vectors["plain/bias"], rtol=1e-3)
    save(tmp_path / "full.npz", vectors, {}, storage="float32")
    np.testing.assert_array_equal(load(tmp_path / "full.npz")[0]["plain/bias"], vectors["plain/bias"])
    with pytest.raises(ValueError, match="Expected vectors as one of"):
        save(tmp_path / "w.npz", vectors, {}, storage="float32", vectors="int8")


def test_files_are_combined_as_they_are_stored(rng, tmp_path):
    arrays = {"a/kernel": Palette(np.eye(4, dtype=np.uint8), np.array([0.1, 2], np.float32)), "a/bias": np.ones(4)}
    save(tmp_path / "a.npz", arrays, META, storage="int8")
    combine({"": tmp_path / "a.npz"}, tmp_path / "b.npz", lambda metas: metas[0] | {"views": 8})
    save(tmp_path / "c.npz", arrays, META | {"views": 8}, storage="int8")
    assert (tmp_path / "b.npz").read_bytes() == (tmp_path / "c.npz").read_bytes()
    assert load(tmp_path / "b.npz")[1]["views"] == 8

    plain = {"a/kernel": rng.normal(size=(3, 4)).astype(np.float32)}
    save(tmp_path / "plain.npz", plain, {"other": 1}, storage="float16")
    sources = {"x/": tmp_path / "a.npz", "y/": tmp_path / "plain.npz"}
    combine(sources, tmp_path / "both.npz", lambda metas: {"metas": metas})
    both, meta = load(tmp_path / "both.npz")
    assert meta == {"metas": [META, {"other": 1}]}
    for prefix, source in sources.items():
        for name, array in load(source)[0].items():
            np.testing.assert_array_equal(both.pop(prefix + name), array)
    assert not both
