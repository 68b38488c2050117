"""Checkpoints are assembled here opcode by opcode, as PyTorch before 1.6 wrote them: no PyTorch is needed."""

import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from build.errors import UserError
from build.train.torch_checkpoint import MAGIC, VERSION, load

TYPES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def value(plain: object) -> bytes:
    """Opcodes that push a plain value."""
    return pickle.dumps(plain, 2)[2:-1]


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


EMPTY_DICTIONARY = named("collections", "OrderedDict") + b")R"


def storage(key: object, kind: str, elements: object, view: object = None) -> bytes:
    return (
        b"("
        + value("storage")
        + named("torch", kind)
        + value(key)
        + value("cpu")
        + value(elements)
        + value(view)
        + b"tQ"
    )


def tensor(stored: bytes, offset: object, size: object, stride: object) -> bytes:
    arguments = stored + value(offset) + value(size) + value(stride) + b"\x89" + EMPTY_DICTIONARY
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def state(tensors: dict[str, bytes]) -> bytes:
    items = b"".join(value(name) + code for name, code in tensors.items())
    # PyTorch gives the dictionary an attribute: the version of each module.
    return EMPTY_DICTIONARY + b"(" + items + b"u" + value({"_metadata": {"": {"version": 1}}}) + b"b"


def file(code: bytes, storages: dict[str, np.ndarray], *, magic: int = MAGIC) -> bytes:
    header = (magic, VERSION, {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}})
    raw = b"".join(np.int64(array.size).tobytes() + array.tobytes() for array in storages.values())
    return (
        b"".join(pickle.dumps(part, 2) for part in header)
        + b"\x80\x02"
        + code
        + b"."
        + pickle.dumps(list(storages), 2)
        + raw
    )


def plain(array: np.ndarray, key: str = "1") -> bytes:
    """Opcodes of a C-contiguous array that fills its storage."""
    stride = tuple(step // array.itemsize for step in array.strides)
    return tensor(storage(key, TYPES[array.dtype.name], array.size), 0, array.shape, stride)


VECTOR = np.arange(6, dtype=np.float32)
SMALL = file(state({"weight": plain(VECTOR)}), {"1": VECTOR})


def read(tmp_path, content: bytes) -> dict[str, np.ndarray]:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    return load(path)


def test_every_array_comes_back_by_name_in_order_with_its_dtype(tmp_path, rng):
    arrays = {
        "b.weight": rng.normal(size=(4, 3, 2)).astype(np.float32),
        "a.bias": rng.normal(size=5),
        "half": rng.normal(size=(2, 2)).astype(np.float16),
        "batches": np.array(7, np.int64),
    }
    code = state({name: plain(array, key=str(number)) for number, (name, array) in enumerate(arrays.items())})
    loaded = read(tmp_path, file(code, {str(number): array for number, array in enumerate(arrays.values())}))
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_tensors_may_share_a_storage_and_lie_in_it_transposed(tmp_path):
    matrix = np.arange(12, dtype=np.float32)
    stored = storage("1", "FloatStorage", 12)
    code = state({"transposed": tensor(stored, 0, (4, 3), (1, 4)), "tail": tensor(stored, 9, (3,), (1,))})
    loaded = read(tmp_path, file(code, {"1": matrix}))
    np.testing.assert_array_equal(loaded["transposed"], matrix.reshape(3, 4).T)
    np.testing.assert_array_equal(loaded["tail"], [9, 10, 11])


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("collections", "namedtuple"), ("nt", "system")],
)
def test_a_pickle_that_names_anything_but_tensors_is_refused_and_runs_nothing(tmp_path, module, name):
    witness = tmp_path / "witness"
    call = named(module, name) + b"(" + value(f"touch {witness}") + b"tR"
    with pytest.raises(UserError, match=rf"asks for {module}\.{name}, and only plain tensors are admitted"):
        read(tmp_path, file(state({"weight": call}), {"1": VECTOR}))
    with pytest.raises(UserError, match="only plain tensors"):
        read(tmp_path, b"\x80\x02" + call + b".")  # also where the magic number is expected
    assert not witness.exists()


@pytest.mark.parametrize("target", [("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict")])
def test_a_pickle_cannot_alter_the_classes_that_stand_in_for_pytorchs(tmp_path, target):
    altered = named(*target) + value((None, {"__init__": 1})) + b"b" + b"0"
    with pytest.raises(UserError, match="Expected an intact PyTorch checkpoint"):
        read(tmp_path, file(altered + state({"weight": plain(VECTOR)}), {"1": VECTOR}))
    np.testing.assert_array_equal(read(tmp_path, SMALL)["weight"], VECTOR)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (7,), (1,)),
        (6, (1,), (1,)),
        (1, (2, 3), (3, 1)),
        (0, (2,), (6,)),
        (0, (1 << 40,), (0,)),  # a terabyte out of one element
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 3), (1,)),
        (0, ("2",), (1,)),
        (0.0, (2,), (1,)),
        (None, None, None),
    ],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, offset, size, stride):
    code = state({"weight": tensor(storage("1", "FloatStorage", 6), offset, size, stride)})
    with pytest.raises(UserError, match="Expected an intact PyTorch checkpoint"):
        read(tmp_path, file(code, {"1": VECTOR}))


@pytest.mark.parametrize(
    "code",
    [
        plain(VECTOR),  # a bare tensor
        state({"weight": value(1)}),
        EMPTY_DICTIONARY + b"(" + value(1) + plain(VECTOR) + b"u",
        state({"weight": tensor(storage("1", "FloatStorage", 5), 0, (5,), (1,))}),  # another length than stored
        state({"weight": tensor(storage("1", "FloatStorage", -1), 0, (5,), (1,))}),
        state({"weight": tensor(storage("1", "FloatStorage", 6, ("1", 0, 3)), 0, (3,), (1,))}),  # a view of a storage
        state({"weight": tensor(storage("2", "FloatStorage", 6), 0, (6,), (1,))}),  # a storage that is not there
        state({"a": plain(VECTOR), "b": tensor(storage("1", "LongStorage", 6), 0, (6,), (1,))}),
    ],
)
def test_a_checkpoint_that_is_no_flat_state_dict_or_contradicts_itself_is_refused(tmp_path, code):
    with pytest.raises(UserError, match="Expected an intact PyTorch checkpoint"):
        read(tmp_path, file(code, {"1": VECTOR}))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    for length in range(len(SMALL)):
        with pytest.raises(UserError):
            read(tmp_path, SMALL[:length])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    damage=st.lists(
        st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255), st.integers(0, 3)), min_size=1, max_size=4
    )
)
def test_a_damaged_file_loads_or_is_refused_in_one_sentence(tmp_path, damage):
    content = bytearray(SMALL)
    for position, byte, cut in damage:
        content[position : position + cut] = bytes([byte])
    try:
        loaded = read(tmp_path, bytes(content))
    except UserError as error:
        assert str(error).startswith("Expected")  # noqa: PT017 - it may also load
    else:
        assert all(isinstance(array, np.ndarray) for array in loaded.values())


def test_an_index_of_billions_takes_no_memory(tmp_path):
    far = b"r\xff\xff\xff\xff"  # LONG_BINPUT: the unpickler in C would make room for 2 ** 33 objects
    loaded = read(tmp_path, file(state({"weight": plain(VECTOR) + far}), {"1": VECTOR}))
    np.testing.assert_array_equal(loaded["weight"], VECTOR)


def test_a_file_of_another_kind_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match="which cannot be read"):
        load(tmp_path / "absent.pth")
    with pytest.raises(UserError, match="could not read"):
        read(tmp_path, b"")
    with pytest.raises(UserError, match="first bytes"):
        read(tmp_path, file(state({}), {}, magic=1))
    with zipfile.ZipFile(tmp_path / "new.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(UserError, match="_use_new_zipfile_serialization=False"):
        load(tmp_path / "new.pth")
