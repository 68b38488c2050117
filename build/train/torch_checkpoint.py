"""Reads PyTorch checkpoints in the legacy format (before PyTorch 1.6), without PyTorch and running nothing in them.

    from build.train.torch_checkpoint import load
    arrays = load(Path("efficientnet-lite2.pth"))      # {"_conv_stem.weight": float32 array (32, 3, 3, 3), ...}

Such a file is a series of pickles (magic number, version, byte order, the state dict, storage keys) followed by the raw
storages. A pickle may name any function of any module and have it called, so only ordered dictionaries, tensors and the
storage types are admitted here, each replaced by an inert stand-in; any other name is refused. Not covered: the zip
format of later versions, checkpoints that hold more than one flat state dict, sparse and quantised tensors.
"""

import io
import math
import pickle
import struct
from pathlib import Path

import numpy as np

from build.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}
# What Python's unpickler raises on damaged bytes, besides its own error: it trusts every operand.
MALFORMED = (
    struct.error,
    pickle.UnpicklingError,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


def load(path: Path) -> dict[str, np.ndarray]:
    """Return the state dict in `path`: name -> read-only array of the stored dtype, in the file's order.

    The arrays are views of the file's bytes with the strides of the tensors; copy what is kept.

    Raises UserError if the file cannot be read, is not such a checkpoint, is damaged, or asks for anything but tensors.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"Expected a PyTorch checkpoint at {path}, which cannot be read ({error.strerror}).") from error
    if content.startswith(b"PK"):
        raise UserError(
            f"Expected a PyTorch checkpoint in the legacy format, {path} is in the zip format; save it again with "
            "torch.save(state, path, _use_new_zipfile_serialization=False)."
        )
    try:
        return _read(content)
    except MALFORMED as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f"Expected an intact PyTorch checkpoint in the legacy format that holds one flat state dict, could not "
            f"read {path} ({reason}); download or install the file again."
        ) from error


class _Inert:
    """Stands in for a class that a checkpoint names."""

    def __setstate__(self, state):
        """Ignore attributes that a pickle would set (PyTorch adds _metadata to the state dict).

        Defined on every admitted class, so that a pickle cannot set attributes of the class itself either: that calls
        this without an instance, a TypeError.
        """


class _OrderedDict(_Inert, dict):
    pass


class _Tensor(_Inert):
    def __init__(self, storage, offset, size, stride, *_gradient_and_hooks):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


_ADMITTED = {("collections", "OrderedDict"): _OrderedDict, ("torch._utils", "_rebuild_tensor_v2"): _Tensor}
_ADMITTED |= {("torch", name): dtype for name, dtype in STORAGES.items()}


# The unpickler written in Python: the one in C reserves memory for whatever index a damaged file names, up to 64 GB.
class _Restricted(pickle._Unpickler):
    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self.storages: dict[str, tuple[str, int]] = {}

    def find_class(self, module, name):
        """Admit what a state dict is made of; refuse every other name before anything is imported."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only plain tensors are admitted")
        return _ADMITTED[module, name]

    def persistent_load(self, reference):
        """Note a storage: ("storage", dtype, key, device, elements, view); its bytes follow after the pickles."""
        kind, dtype, key, _, elements, view = reference
        if kind != "storage" or dtype not in STORAGES.values() or view is not None:
            raise pickle.UnpicklingError("it refers to something other than a plain storage")
        if type(key) is not str or type(elements) is not int or elements < 0:
            raise pickle.UnpicklingError("it refers to an impossible storage")
        if self.storages.setdefault(key, (dtype, elements)) != (dtype, elements):
            raise pickle.UnpicklingError("its storages contradict each other")
        return key


def _read(content: bytes) -> dict[str, np.ndarray]:
    file = io.BytesIO(content)
    header = [_Restricted(file).load() for _ in range(3)]
    if header[0] != MAGIC or header[1] != VERSION or header[2].get("little_endian") is not True:
        raise ValueError("its first bytes are not those of such a checkpoint")
    unpickler = _Restricted(file)
    state = unpickler.load()
    keys = _Restricted(file).load()
    storages = {}
    for key in keys:
        dtype, elements = unpickler.storages[key]
        (stored,) = np.frombuffer(content, "<i8", count=1, offset=file.tell())
        if stored != elements:
            raise ValueError("a storage has another length than announced")
        start = file.tell() + 8
        storages[key] = np.frombuffer(content, dtype, count=elements, offset=start)
        file.seek(start + storages[key].nbytes)
    if type(state) is not _OrderedDict or not all(
        type(name) is str and type(tensor) is _Tensor for name, tensor in state.items()
    ):
        raise ValueError("it holds something other than named tensors")
    return {name: _view(storages[tensor.storage], tensor) for name, tensor in state.items()}


def _view(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor's elements in its storage, not copied; ValueError if they do not lie inside."""
    offset, size, stride = tensor.offset, tensor.size, tensor.stride
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a tensor has an impossible shape")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    # Strides of 0 would let a few bytes claim any amount of memory once the array is copied.
    if math.prod(size) > storage.size or (math.prod(size) and last >= storage.size):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
