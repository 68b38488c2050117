"""One file that holds a network's arrays and what is needed to rebuild it, with a checksum of its content.

The file is an npz (a zip of .npy members) that is read without pickle. Kernels are stored as float32, float16, int8
with one scale for each output channel, or, where they take few values, as a palette: a codebook of at most 256 values
and a compressed stream of indices. Vectors (biases, norms) stay float32 unless asked otherwise, since they are a
hundredth of the bytes and would lose most. Other members are not deflated: the submission's zip does that once. The
same arrays and meta give the same bytes.

    save(path, {"logits/kernel": kernel, ...}, {"spec": spec}, storage="float16")
    arrays, meta = load(path)
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

FORMAT = 1
KERNELS = ("/kernel", "_kernel")
DEPTHWISE_KERNELS = ("depthwise/kernel", "dwconv/kernel", "/depthwise_kernel")
"""How names of kernels end; those of Keras' separable layers are depthwise_kernel and pointwise_kernel."""
STORAGES = ("float32", "float16", "int8")
VECTORS = ("float32", "float16")
HEADER = "header"
SCALE = "@scale"
CODEBOOK = "@codebook"
LARGEST_CODEBOOK = 256
# LZMA as an adaptive arithmetic coder: neighbouring weights say nothing about each other, so its literals get no context
# (lc, lp, pb). It comes within 2-8 % of the indices' entropy, deflate within 15-20 %, bz2 within 5-12 %.
STREAM = ({"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 0, "pb": 0, "dict_size": 1 << 20},)
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold, on every member, so that the bytes do not depend on the clock."""
INT8_STEPS = 127
FLOAT16_MAX = float(np.finfo(np.float16).max)


class WeightsError(ValueError):
    """A weights file that cannot be used; the message is one sentence for the person who uploads it."""


class Palette(NamedTuple):
    """A kernel that takes few values, stored without loss: codebook[indices], times scale where there is one."""

    indices: np.ndarray
    """uint8 of the kernel's shape, each below len(codebook)."""
    codebook: np.ndarray
    """(n,) float32, 1 <= n <= 256; (0,) for a kernel without weights."""
    scale: np.ndarray | None = None
    """float32, of the kernel's rank, broadcast against it: usually a factor for each output channel."""

    def array(self) -> np.ndarray:
        """The kernel, float32."""
        values = self.codebook.astype(np.float32, copy=False)[self.indices]
        return values if self.scale is None else values * self.scale


def save(
    path: str | Path,
    arrays: dict[str, np.ndarray | Palette],
    meta: dict,
    *,
    storage: str,
    vectors: str = "float32",
) -> None:
    """Write `arrays` (any float dtype, bfloat16 too, or integers) and the JSON-able `meta` to `path`, whole or not.

    Args:
        path: where to write.
        arrays: name -> array or palette; floats and palettes come back as float32, integers and booleans as they are.
        meta: comes back from `load` as it is.
        storage: of float arrays of rank 2 and more: "float32", "float16" or "int8" (symmetric, a scale a channel).
        vectors: of float arrays of lower rank: "float32", or "float16" where each number keeps three digits in it.

    Raises ValueError if the storage is unknown, an array holds NaN or infinity or no numbers, a palette's parts do not
    fit together, or meta is not JSON-able.

    """
    if storage not in STORAGES:
        raise ValueError(f"Expected a storage among {', '.join(STORAGES)}, got {storage!r}.")
    if vectors not in VECTORS:
        raise ValueError(f"Expected vectors as one of {', '.join(VECTORS)}, got {vectors!r}.")
    members: dict[str, np.ndarray] = {}
    header = {"format": FORMAT, "storage": storage, "meta": meta}
    for name in sorted(arrays):
        if name == HEADER or name.endswith((SCALE, CODEBOOK)):
            raise ValueError(f"The array name {name!r} is reserved; choose another.")
        array = arrays[name]
        if isinstance(array, Palette):
            members |= _encode_palette(name, array)
            header.setdefault("palettes", {})[name] = list(array.indices.shape)
        else:
            members |= _encode(name, np.asarray(array), storage, vectors)
    _write(path, header, members)


def combine(sources: Mapping[str, str | Path], target: str | Path, describe: Callable[[list[dict]], dict]) -> None:
    """Write the arrays of stored files into the one file `target`; they stay byte for byte as they are stored.

    sources: what to put before the names of a file's arrays ("" for nothing) -> the file. describe: the new file's meta, from
    those of the sources. Raises WeightsError as `load` does.
    """
    joined, arrays, palettes, metas = {}, {}, {}, []
    for prefix, source in sources.items():
        header, members = _read(Path(source))
        joined = joined or header
        metas.append(header["meta"])
        arrays |= {prefix + name: array for name, array in members.items()}
        palettes |= {prefix + name: shape for name, shape in header.get("palettes", {}).items()}
    joined |= {"meta": describe(metas)} | ({"palettes": palettes} if palettes else {})
    _write(target, joined, arrays)


def _write(path: str | Path, header: dict, members: dict[str, np.ndarray]) -> None:
    """The header with its checksum, and the members, atomically."""
    text = json.dumps(header | {"sha256": _digest(header, members)}, sort_keys=True, allow_nan=False)
    path = Path(path)
    # Beside the target, so that the last step is a rename; the process id keeps two writers apart.
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as whole:
            with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
                for name, array in ({HEADER: np.frombuffer(text.encode(), np.uint8)} | members).items():
                    part = zipfile.ZipInfo(f"{name}.npy", EPOCH)
                    with archive.open(part, "w", force_zip64=array.nbytes > 1 << 31) as file:
                        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
            whole.flush()
            os.fsync(whole.fileno())  # or a power cut leaves the name without the contents
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `save` wrote: (name -> array, floats as float32; meta).

    Raises WeightsError with one sentence if the file is missing, damaged, of another kind, or its content was changed.
    """
    header, members = _read(Path(path))
    shapes = header.get("palettes", {})
    parts = {name: members.pop(name) for name in list(members) if name.endswith((SCALE, CODEBOOK))}
    arrays = {}
    for name in list(members):
        # Popped one by one, so that a network of a gigabyte is not held twice.
        stored, scale = members.pop(name), parts.get(name + SCALE)
        if name in shapes:
            try:
                arrays[name] = _decode_palette(stored, shapes[name], parts[name + CODEBOOK], scale)
            except (lzma.LZMAError, KeyError, IndexError, TypeError, ValueError) as error:
                raise WeightsError(
                    f"The weights file {path} holds a palette {name} that cannot be unpacked "
                    f"({error or type(error).__name__}); make the submission again."
                ) from error
        else:
            arrays[name] = _decode(stored, scale)
    return arrays, header["meta"]


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The header without its checksum, and the members as they are stored; WeightsError as `load` says."""
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; put {path.name} beside model.py and zip them together.")
    try:
        with zipfile.ZipFile(path) as archive:
            # zipfile compares each member with its CRC as it reads.
            members = {
                name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
            }
        header = json.loads(members.pop(HEADER).tobytes())
        expected, _, storage = header.pop("sha256"), header["meta"], header["storage"]
    # A damaged file can break any of the readers above, each with its own exceptions; all of them mean the same.
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        MemoryError,
        ArithmeticError,
        tokenize.TokenError,  # numpy, of a member's header
        zlib.error,
        lzma.LZMAError,
        struct.error,
    ) as error:
        raise WeightsError(
            f"The weights file {path} ({path.stat().st_size:,} bytes) is damaged or not one of ours "
            f"({error or type(error).__name__}); make the submission again and compare the sizes."
        ) from error
    if header.get("format") != FORMAT:
        raise WeightsError(
            f"The weights file {path} has format {header.get('format')}, this code reads {FORMAT}; "
            "make the submission again."
        )
    found = _digest(header, members)
    if found != expected:
        raise WeightsError(
            f"The content of the weights file {path} does not match its checksum (SHA-256 {found[:12]}... instead of "
            f"{str(expected)[:12]}...); make the submission again."
        )
    assert storage in STORAGES
    return header, members


def channel_axis(shape: tuple[int, ...]) -> int:
    """The axis of a kernel's output channels: the last longer than one (a depthwise kernel ends in (channels, 1))."""
    return next((axis for axis in reversed(range(len(shape))) if shape[axis] > 1), len(shape) - 1)


def _encode_palette(name: str, palette: Palette) -> dict[str, np.ndarray]:
    """The members that hold one palette."""
    indices, codebook, scale = palette
    if indices.dtype != np.uint8 or codebook.ndim != 1 or len(codebook) > LARGEST_CODEBOOK:
        raise ValueError(
            f"The palette {name} needs uint8 indices and at most {LARGEST_CODEBOOK} values, "
            f"got {indices.dtype} and shape {codebook.shape}."
        )
    if indices.size and indices.max() >= len(codebook):
        raise ValueError(f"The palette {name} has index {indices.max()} but only {len(codebook)} values.")
    factors = {} if scale is None else {SCALE: scale}
    if scale is not None and np.broadcast_shapes(scale.shape, indices.shape) != indices.shape:
        raise ValueError(f"The palette {name} has a scale {scale.shape}, which does not fit {indices.shape}.")
    if not all(np.isfinite(part).all() for part in (codebook, *factors.values())):
        raise ValueError(f"The palette {name} holds NaN or infinity; compress a network that has not diverged.")
    stream = lzma.compress(np.ascontiguousarray(indices).tobytes(), lzma.FORMAT_RAW, filters=STREAM)
    return {name: np.frombuffer(stream, np.uint8)} | {
        name + part: np.ascontiguousarray(values, np.float32)
        for part, values in ({CODEBOOK: codebook} | factors).items()
    }


def _decode_palette(stream: np.ndarray, shape: list[int], codebook: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """The kernel; whatever the stream holds, no more than the kernel's bytes are unpacked."""
    size = prod(shape)
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=STREAM)
    indices = unpacker.decompress(stream.tobytes(), max_length=size + 1)
    if len(indices) != size:
        raise ValueError(f"it holds {len(indices)} indices or more instead of {size}")
    kernel = Palette(np.frombuffer(indices, np.uint8).reshape(shape), codebook, scale).array()
    if kernel.shape != tuple(shape):
        raise ValueError(f"its scale makes {kernel.shape} of {tuple(shape)}, which does not fit")
    return kernel


def _encode(name: str, array: np.ndarray, storage: str, vectors: str) -> dict[str, np.ndarray]:
    """The members that hold one array."""
    if array.dtype.kind in "iub":
        return {name: np.ascontiguousarray(array)}
    # bfloat16 is no dtype of numpy's own; it is known by its name.
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise ValueError(f"The array {name} has dtype {array.dtype}; only numbers can be stored.")
    # order="C" also where nothing is cast: a Fortran-ordered member would give other bytes for the same values.
    array = array.astype(np.float32, order="C", copy=False)
    if not np.isfinite(array).all():
        raise ValueError(
            f"The array {name} holds NaN or infinity: the network has diverged; train with a lower learning rate."
        )
    if array.ndim < 2 and vectors == "float16":
        half = array.clip(-FLOAT16_MAX, FLOAT16_MAX).astype(np.float16)
        return {name: half if np.allclose(half, array, rtol=1e-3, atol=0) else array}
    if array.ndim < 2 or storage == "float32" or array.size == 0:
        return {name: array}
    if storage == "float16":
        return {name: array.astype(np.float16) if np.abs(array).max() <= FLOAT16_MAX else array}
    axis = channel_axis(array.shape)
    others = tuple(a for a in range(array.ndim) if a != axis)
    largest = np.abs(array).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(INT8_STEPS), np.float32(1)).astype(np.float32)
    # A channel of denormal numbers has a scale of zero; it is stored as zeros.
    scale[scale == 0] = 1
    return {name: np.rint(array / scale).astype(np.int8), name + SCALE: scale}


def _decode(stored: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    if scale is not None:
        return stored.astype(np.float32) * scale
    return stored.astype(np.float32, copy=False) if stored.dtype.kind == "f" else stored


def _digest(header: dict, members: dict[str, np.ndarray]) -> str:
    """SHA-256 over the header and, in order of their names, every member's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    for name in sorted(members):
        array = members[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()
