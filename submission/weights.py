"""One file that holds a network's arrays and what is needed to rebuild it, with a checksum of its content.

The file is an npz (a zip of .npy members) that is read without pickle. Kernels are stored as float32, float16 or int8
with one scale for each output channel; vectors (biases, norms) stay float32, since they are a hundredth of the bytes
and would lose most. Members are not deflated: the submission's zip does that once. The same arrays and meta give the
same bytes.

    save(path, {"logits/kernel": kernel, ...}, {"spec": spec}, storage="float16")
    arrays, meta = load(path)
"""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

FORMAT = 1
STORAGES = ("float32", "float16", "int8")
HEADER = "header"
SCALE = "@scale"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold, on every member, so that the bytes do not depend on the clock."""
INT8_STEPS = 127
FLOAT16_MAX = float(np.finfo(np.float16).max)


class WeightsError(ValueError):
    """A weights file that cannot be used; the message is one sentence for the person who uploads it."""


def save(path: str | Path, arrays: dict[str, np.ndarray], meta: dict, *, storage: str) -> None:
    """Write `arrays` (any float dtype, bfloat16 too, or integers) and the JSON-able `meta` to `path`, whole or not.

    Args:
        path: where to write.
        arrays: name -> array; floats come back as float32, integers and booleans as they are.
        meta: comes back from `load` as it is.
        storage: of float arrays of rank 2 and more: "float32", "float16" or "int8" (symmetric, a scale a channel).

    Raises ValueError if the storage is unknown, an array holds NaN or infinity or no numbers, or meta is not JSON-able.

    """
    if storage not in STORAGES:
        raise ValueError(f"Expected a storage among {', '.join(STORAGES)}, got {storage!r}.")
    members: dict[str, np.ndarray] = {}
    for name in sorted(arrays):
        if name == HEADER or name.endswith(SCALE):
            raise ValueError(f"The array name {name!r} is reserved; choose another.")
        members |= _encode(name, np.asarray(arrays[name]), storage)
    header = {"format": FORMAT, "storage": storage, "meta": meta}
    header["sha256"] = _digest(header, members)
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    path = Path(path)
    # Beside the target, so that the last step is a rename; the process id keeps two writers apart.
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
            for name, array in ({HEADER: np.frombuffer(text.encode(), np.uint8)} | members).items():
                with archive.open(
                    zipfile.ZipInfo(f"{name}.npy", EPOCH), "w", force_zip64=array.nbytes > 1 << 31
                ) as file:
                    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `save` wrote: (name -> array, floats as float32; meta).

    Raises WeightsError with one sentence if the file is missing, damaged, of another kind, or its content was changed.
    """
    path = Path(path)
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
        expected, meta, storage = header.pop("sha256"), header["meta"], header["storage"]
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
    scales = {name: members.pop(name) for name in list(members) if name.endswith(SCALE)}
    arrays = {}
    for name in list(members):
        # Popped one by one, so that a network of a gigabyte is not held twice.
        arrays[name] = _decode(members.pop(name), scales.get(name + SCALE))
    return arrays, meta


def channel_axis(shape: tuple[int, ...]) -> int:
    """The axis of a kernel's output channels: the last longer than one (a depthwise kernel ends in (channels, 1))."""
    return next((axis for axis in reversed(range(len(shape))) if shape[axis] > 1), len(shape) - 1)


def _encode(name: str, array: np.ndarray, storage: str) -> dict[str, np.ndarray]:
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
