"""Writers of submission zips, good and broken, and of the files in them.

A writer takes the path of the zip to be made. All models are numpy only, so that a rehearsal costs a fraction of a second.
"""

import dataclasses
import io
import json
import stat
import struct
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from build.score.bundle import scoring_bundle
from submission.contract import IMAGE_SHAPE

COUNT = 12
GOOD = """
import numpy as np

class Model:
    def __init__(self):
        self.classes = 8

    def predict(self, X):
        return np.asarray(X).astype(np.int64).sum(axis=(1, 2, 3)) % self.classes
"""
LABELS = "np.asarray(X).astype(np.int64).sum(axis=(1, 2, 3)) % 8"


@dataclasses.dataclass(frozen=True)
class Cells:
    """One set of test images, as the bundle wants it."""

    key: str
    suite: str
    images_path: Path
    labels: np.ndarray


def cells(folder: Path) -> Cells:
    """12 random images of the contract's shape, seven of which GOOD predicts right."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (COUNT, *IMAGE_SHAPE), np.uint8)
    labels = images.reshape(COUNT, -1).astype(np.int64).sum(axis=1) % 8
    labels[:5] = (labels[:5] + 1) % 8
    np.save(folder / "images.npy", images)
    return Cells("clean", "clean", folder / "images.npy", labels)


def small_bundle(folder: Path) -> Path:
    """A bundle of these images."""
    return scoring_bundle([cells(folder)], folder / "bundle")


def pack(path: Path, members: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of these members, in their order."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, contents in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 11, 8, 0, 0, 0)), contents, compression)
    return path


def good(path: Path) -> Path:
    """A submission that scores, without a finding."""
    return pack(path, {"model.py": GOOD})


def model(predict: str = f"return {LABELS}", init: str = "pass", top: str = "", signature: str = "self, X") -> str:
    """Source of a model.py; line 1 is `top`, or the import of numpy."""
    lines = [*([top] if top else []), "import numpy as np, os, sys, time", "class Model:", "    def __init__(self):"]
    body = textwrap.indent(init, " " * 8), f"    def predict({signature}):", textwrap.indent(predict, " " * 8)
    return "\n".join([*lines, *body, ""])


def source(text: str) -> Callable[[Path], Path]:
    """Writer of a zip that holds nothing but this model.py."""
    return lambda path: pack(path, {"model.py": text})


def also(members: dict[str, str | bytes], text: str = GOOD) -> Callable[[Path], Path]:
    """Writer of a zip with this model.py and more members."""
    return lambda path: pack(path, {"model.py": text} | members)


def only(members: dict[str, str | bytes]) -> Callable[[Path], Path]:
    """Writer of a zip with these members."""
    return lambda path: pack(path, members)


def raw(contents: bytes) -> Callable[[Path], Path]:
    """Writer of a file with these bytes."""

    def writer(path: Path) -> Path:
        path.write_bytes(contents)
        return path

    return writer


def header_field(offset: int, value: int) -> Callable[[Path], Path]:
    """Writer of a good zip in whose headers the 16-bit field at `offset` (of the local one) has another value."""

    def writer(path: Path) -> Path:
        contents = bytearray(good(path).read_bytes())
        central = contents.index(b"PK\x01\x02")
        struct.pack_into("<H", contents, offset, value)
        struct.pack_into("<H", contents, central + offset + 2, value)
        path.write_bytes(contents)
        return path

    return writer


def flipped(path: Path) -> Path:
    """A stored good zip with one changed byte within model.py."""
    contents = bytearray(pack(path, {"model.py": GOOD}, zipfile.ZIP_STORED).read_bytes())
    contents[contents.index(b"self.classes")] ^= 1
    path.write_bytes(contents)
    return path


def truncated(path: Path) -> Path:
    """The first half of a good zip."""
    contents = good(path).read_bytes()
    path.write_bytes(contents[: len(contents) // 2])
    return path


def bomb(path: Path) -> Path:
    """128 MiB of zeros in about 130 kB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("model.py", GOOD)
        with archive.open("weights.bin", "w") as file:
            for _ in range(128):
                file.write(bytes(2**20))
    return path


def linked(path: Path) -> Path:
    """A good model whose weights are a symbolic link, as `zip -y` stores it."""
    text = model(init="from pathlib import Path\nself.w = np.load(Path(__file__).parent / 'weights.npy')")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.py", text)
        member = zipfile.ZipInfo("weights.npy")
        member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "../../home/weights.npy")
    return path


def twice(path: Path) -> Path:
    """Two members called model.py; the last one counts."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.py", "raise SystemError")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of the second name
            archive.writestr("model.py", GOOD)
    return path


def array(values: object) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(values))
    return file.getvalue()


def hdf5(**attributes: str) -> bytes:
    """An HDF5 file that holds nothing but attributes."""
    file = io.BytesIO()
    with h5py.File(file, "w") as held:
        held.attrs.update(attributes)
    return file.getvalue()


def keras_file(version: str, config: object = None) -> bytes:
    """What matters of a .keras file to whoever asks which Keras wrote it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config or {"module": "keras"}))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    return file.getvalue()


def tree(folder: Path) -> dict[str, bytes | None]:
    """Path -> contents of everything below `folder`; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


def extracted(path: Path, folder: Path) -> dict[str, bytes | None]:
    """What the worker's own call makes of the zip."""
    folder.mkdir()
    with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.extractall(folder)
    return tree(folder)
