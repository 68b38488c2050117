"""One folder per source under the cache: images.npy (memory-mapped), labels.npy, about.json. Whole or absent.

Images are streamed through in pieces of a few megabytes, so that reading a source costs no more memory than one piece,
and are written with plain sequential writes: the pages of a written memory map would count as this process' memory
until the kernel takes them back.
"""

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from build.console import bar
from build.data.cells import Cells, class_counts
from build.errors import UserError
from build.files import DAMAGED, FULL, explained, make_folder, save_array
from build.scratch import scratch_folder
from submission import contract

LAYOUT = 4
"""Raise when readers or the layout of the cache change, so that older entries are not taken for current ones."""
PIECE_BYTES = 4 << 20
PASSING = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO)
"""Errors that say nothing about the entry: the cells may be nowhere else any more."""

Piece = tuple[np.ndarray, np.ndarray]
"""Images (n, *IMAGE_SHAPE) uint8 and labels (n,) int64, n >= 0."""


def key(*parts: str) -> str:
    """Name of a cache entry: hash of what identifies the source's content, of the contract and of the layout."""
    facts = [LAYOUT, contract.IMAGE_SHAPE, contract.CLASSES, parts]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


def piece_rows(row_bytes: int) -> int:
    """How many rows of `row_bytes` make one piece."""
    return max(1, PIECE_BYTES // max(1, row_bytes))


def find(cache: Path, name: str, source: str) -> Cells | None:
    """The finished entry `name`, or None. A damaged entry counts as absent and is removed.

    Pixels and labels are compared with the entry's hash: about 0.2 s for 14,000 images of 96 pixels.
    """
    folder = cache / f"cells-{name}"
    if not folder.is_dir():
        return None
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        notes = tuple(about["notes"])
        if _hash(folder / "images.npy", images, labels) != about["sha256"]:
            raise ValueError("pixels or labels are not those that were written")
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno in PASSING:
            raise UserError(f"{folder} cannot be read ({error.strerror}); it is kept, try again.") from error
        # A full disk, a killed copy, an edited file: reading the source again is always right and loses nothing.
        _remove(folder)
        return None
    if images.shape[1:] != contract.IMAGE_SHAPE or labels.max(initial=0) >= len(contract.CLASSES):
        return None  # whole, but of another contract's images or classes
    return Cells(images, labels, source, about["sha256"], notes)


def _remove(folder: Path) -> None:
    """Remove a damaged entry, or leave that to the process that is at it: who has taken it out of its place removes it."""
    remedy = "remove it by hand"
    with explained(f"{folder} is damaged and", "removed", remedy), scratch_folder(folder.parent, ".removing-") as aside:
        gone = aside / folder.name
        with contextlib.suppress(FileNotFoundError):
            folder.rename(gone)
            shutil.rmtree(gone)


def of_hash(cache: Path, sha256: str, source: str) -> Cells | None:
    """The finished entry of these pixels and labels, whatever it was read from, or None."""
    for about in sorted(cache.glob("cells-*/about.json")):
        with contextlib.suppress(*DAMAGED):
            if json.loads(about.read_text(encoding="utf-8"))["sha256"] != sha256:
                continue
            if (found := find(cache, about.parent.name.removeprefix("cells-"), source)) is not None:
                return found
    return None


def _hash(path: Path, images: np.ndarray, labels: np.ndarray) -> str:
    """Hash of an entry as `write` makes it. The file is read, not the map: its pages would count as our memory."""
    digest = hashlib.sha256(repr(images.shape).encode())
    with path.open("rb") as file:
        file.seek(images.offset)
        while block := file.read(PIECE_BYTES):
            digest.update(block)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def write(
    cache: Path,
    name: str,
    source: str,
    count: int,
    pieces: Iterator[Piece],
    notes: Sequence[str],
    *,
    verb: str = "Reading",
) -> Cells:
    """Stream `count` rows into the entry `name` and open it; `notes` may be a list that `pieces` still adds to.

    Raises UserError where a class of the contract has no image, and where the cache cannot be written or its disk is
    full. An error or an interrupt in `pieces` leaves nothing behind.
    """
    make_folder(cache, "work in a folder that can")
    try:
        with scratch_folder(cache, ".reading-") as scratch:
            labels, digest = _write_rows(scratch / "images.npy", count, pieces, f"{verb} {source}")
            _check_classes(labels, source)
            save_array(scratch / "labels.npy", labels)
            digest.update(labels.astype("<i8").tobytes())
            about = {"source": source, "rows": count, "sha256": digest.hexdigest(), "notes": list(notes)}
            (scratch / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            scratch.chmod(0o755)
            final = cache / f"cells-{name}"
            try:
                scratch.replace(final)
            except OSError:
                if not final.is_dir():  # another process was faster with the same rows
                    raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        need = count * int(np.prod(contract.IMAGE_SHAPE)) >> 20
        raise UserError(f"The disk of {cache} is full; reading {source} needs {need + 1} MiB there.") from error
    cells = find(cache, name, source)
    if cells is None:
        raise UserError(f"What was read of {source} is not in {cache} any more, another process removed it; try again.")
    assert len(cells) == count
    return cells


def _write_rows(
    path: Path, count: int, pieces: Iterator[Piece], description: str
) -> tuple[np.ndarray, "hashlib._Hash"]:
    """Write the image file; return labels (count,) int64 and the running hash over shape and pixels."""
    shape = (count, *contract.IMAGE_SHAPE)
    labels = np.empty(count, np.int64)
    digest = hashlib.sha256(repr(shape).encode())
    done = 0
    with path.open("wb") as file, bar(description, count) as advance:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for images, piece_labels in pieces:
            assert images.dtype == np.uint8
            assert images.shape[1:] == shape[1:]
            block = np.ascontiguousarray(images).data
            file.write(block)
            digest.update(block)
            labels[done : done + len(images)] = piece_labels
            done += len(images)
            advance(len(images))
    assert done == count, (done, count)
    return labels, digest


def _check_classes(labels: np.ndarray, source: str) -> None:
    empty = [name for name, n in zip(contract.CLASSES, class_counts(labels), strict=True) if n == 0]
    if empty:
        raise UserError(
            f"Expected images of every class, but {source} has none of {', '.join(empty)}; add some "
            "or change submission/contract.py."
        )
