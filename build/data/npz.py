"""The competition's training_set.npz, and MedMNIST's files, streamed out of the archive in pieces.

np.load would hold a whole array in memory and stops with a traceback on what users really have: a pickled array, a file
cut off by a full disk, an HTML page under the name of a download. Here the array's header is read first and judged,
then its rows.
"""

import contextlib
import errno
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from build import files
from build.data import cache as store
from build.data.cells import Cells
from build.data.resize import resize
from build.errors import UserError
from submission import contract

COMPETITION = (("images", "labels"),)
MEDMNIST = tuple((f"{part}_images", f"{part}_labels") for part in ("train", "val", "test"))
"""Names inside the archive. MedMNIST's three parts are joined: the split is made here, after curation."""

READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Header:
    """What an array of the archive says of itself."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


def read(
    path: Path,
    *,
    cache: Path,
    source: str | None = None,
    mapping: Sequence[int] | None = None,
    notes: Sequence[str] = (),
) -> Cells:
    """Read an npz with `images` (N, *IMAGE_SHAPE) uint8 and `labels` (N,) or (N, 1) integers.

    Or one with MedMNIST's six names. MedMNIST's images may have any size and are resized. `mapping[label]` is the
    contract's class of a label of the file; without it labels are taken as they are. Raises UserError with one sentence
    for each kind of bad file.
    """
    source = source or str(path)
    files.check_readable(path)
    with _sentences(path):
        pairs, any_size = _pairs(path)
        headers = [(_header(path, images), _labels(path, labels, mapping)) for images, labels in pairs]
        for header, labels in headers:
            _check_images(path, header, len(labels), any_size=any_size)
        sides = sorted({header.shape[1:3] for header, _ in headers} - {contract.IMAGE_SHAPE[:2]})
        said = [*notes, *(f"images of {h}x{w} pixels were resized" for h, w in sides)]
        name = store.key("npz", files.sha256(path), repr(mapping))
        if (found := store.find(cache, name, source)) is not None:
            return found
        count = sum(len(labels) for _, labels in headers)
        return store.write(cache, name, source, count, _pieces(path, headers), said)


def _pairs(path: Path) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Which arrays to read, and whether their images may have another size than the contract's."""
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"{path} is no npz file (or is damaged): expected a zip archive of NumPy arrays; fetch or save it again."
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    names = {name.removesuffix(".npy") for name in members if name.endswith(".npy")}
    for pairs, any_size in ((COMPETITION, False), (MEDMNIST, True)):
        if all(name in names for pair in pairs for name in pair):
            return pairs, any_size
    if not names:
        files = [name for name in members if name.endswith(".npz")]
        inside = f"{files[0]} in it" if files else "folder, or save the arrays with np.savez"
        raise UserError(f"{path} is a zip archive without NumPy arrays; unpack it and give the {inside}.")
    held = ", ".join(sorted(names))
    raise UserError(
        f"{path} must hold the arrays 'images' and 'labels', but holds {held}; save it with these two names."
    )


@contextlib.contextmanager
def _array(path: Path, name: str) -> Iterator[tuple[Header, IO[bytes]]]:
    """Open one array of the archive at its first byte of data."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(f"{name}.npy").flag_bits & 1:
            raise UserError(f"{path} is encrypted; save it without a password.")
        with archive.open(f"{name}.npy") as handle:
            version = np.lib.format.read_magic(handle)
            if version not in READERS:
                raise UserError(
                    f"'{name}' in {path} is stored in NumPy format {version}, expected 1.0 or 2.0; save it again."
                )
            shape, fortran, dtype = READERS[version](handle)
            if dtype.hasobject:
                raise UserError(
                    f"'{name}' in {path} is a pickled object array, which is not opened because it can run code; "
                    "save it again as one plain array of numbers."
                )
            if fortran and len(shape) > 1:
                raise UserError(
                    f"'{name}' in {path} is stored column by column (Fortran order); "
                    "save it again through np.ascontiguousarray."
                )
            yield Header(name, shape, dtype), handle


def _header(path: Path, name: str) -> Header:
    with _array(path, name) as (header, _):
        return header


def _labels(path: Path, name: str, mapping: Sequence[int] | None) -> np.ndarray:
    """All labels, checked and mapped, (N,) int64."""
    with _array(path, name) as (header, handle):
        if len(header.shape) not in (1, 2) or header.shape[1:] not in ((), (1,)):
            raise UserError(
                f"Labels in {path} must have shape (N,) or (N, 1), but have {header.shape}; save one index an image."
            )
        if header.dtype.kind == "f":
            values = _exactly(path, header, handle, header.shape[0])
            holes = int(np.isnan(values).sum())
            what = f"{holes} of them not a number (NaN)" if holes else f"dtype {header.dtype}"
            raise UserError(
                f"Labels in {path} must be integers, but are floats, {what}; correct them and save integers."
            )
        if header.dtype.kind not in "ui":
            raise UserError(f"Labels in {path} must be integers, but have dtype {header.dtype}; save class indices.")
        labels = _exactly(path, header, handle, header.shape[0]).reshape(-1)
    classes = len(contract.CLASSES) if mapping is None else len(mapping)
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise UserError(
            f"Labels in {path} must lie in 0..{classes - 1}, but run from {labels.min()} to {labels.max()}; "
            "correct them or change submission/contract.py."
        )
    labels = labels.astype(np.int64)
    return labels if mapping is None else np.asarray(mapping, np.int64)[labels]


def _check_images(path: Path, header: Header, labels: int, *, any_size: bool) -> None:
    """Raise UserError unless the images are (labels, *IMAGE_SHAPE) uint8 (any height and width where `any_size`)."""
    expected = f"(N, {', '.join(map(str, contract.IMAGE_SHAPE))})"
    shape = header.shape
    fits = len(shape) == 4 and (
        shape[3] == 3 and min(shape[1:3]) > 0 if any_size else shape[1:] == contract.IMAGE_SHAPE
    )
    if not fits:
        raise UserError(
            f"Images in {path} must have shape {expected}, but '{header.name}' has {shape}; "
            "convert them or give a folder of image files, which are resized."
        )
    if header.dtype.kind == "f" and (holes := _count_nan(path, header)):
        raise UserError(
            f"Images in {path} must be uint8 in 0..255, but are {header.dtype} with {holes} values not a number (NaN)."
        )
    if header.dtype != np.uint8:
        raise UserError(
            f"Images in {path} must be uint8 in 0..255, but are {header.dtype}; convert them (0..1 times 255, 16 bits divided by 257, "
            "then rounded) and save again."
        )
    if shape[0] != labels:
        raise UserError(f"{path} holds {shape[0]} images but {labels} labels; expected one label an image.")
    if shape[0] == 0 and not any_size:
        raise UserError(f"{path} holds no images; expected shape {expected} with N > 0.")


def _count_nan(path: Path, header: Header) -> int:
    with _array(path, header.name) as (_, handle):
        return sum(int(np.isnan(rows).sum()) for rows in _rows(path, header, handle))


def _exactly(path: Path, header: Header, handle: IO[bytes], rows: int) -> np.ndarray:
    """The next `rows` rows of an array; UserError where the data ends before."""
    shape = (rows, *header.shape[1:]) if header.shape else (rows,)
    size = int(np.prod(shape)) * header.dtype.itemsize
    data = handle.read(size)
    if len(data) != size:
        raise UserError(
            f"'{header.name}' in {path} ends before its last row: the file is cut off; fetch or save it again."
        )
    return np.frombuffer(data, header.dtype).reshape(shape)


def _rows(path: Path, header: Header, handle: IO[bytes]) -> Iterator[np.ndarray]:
    """The array in pieces of whole rows, then one more read: the archive's checksum is compared when its data ends."""
    count = header.shape[0]
    step = store.piece_rows(int(np.prod(header.shape[1:])) * header.dtype.itemsize)
    for start in range(0, count, step):
        yield _exactly(path, header, handle, min(step, count - start))
    handle.read(1)


def _pieces(path: Path, headers: Sequence[tuple[Header, np.ndarray]]) -> Iterator[store.Piece]:
    brightest = 0
    for header, labels in headers:
        done = 0
        with _array(path, header.name) as (_, handle):
            for images in _rows(path, header, handle):
                brightest = max(brightest, int(images.max(initial=0)))
                fitted = (
                    images
                    if images.shape[1:] == contract.IMAGE_SHAPE
                    else np.stack([resize(image) for image in images])
                )
                yield fitted, labels[done : done + len(images)]
                done += len(images)
    if brightest <= 1:
        raise UserError(
            f"Images in {path} are uint8, but no pixel is above {brightest}, so they are black; expected 0..{contract.PIXEL_MAX}: multiply "
            f"pixels of 0..1 by {contract.PIXEL_MAX} before they become uint8, and save again."
        )


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn what zipfile, its codecs and NumPy's header parser raise on damaged files into one sentence."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        ValueError,
        SyntaxError,
        tokenize.TokenError,  # NumPy tokenizes a header that it cannot parse
    ) as error:
        raise UserError(f"{path} is damaged ({error}); fetch or save it again.") from error
    except OSError as error:
        # A damaged directory of the archive sends zipfile to a place before the file's start.
        if error.errno != errno.EINVAL:
            raise
        raise UserError(f"{path} is damaged (its directory points nowhere); fetch or save it again.") from error
