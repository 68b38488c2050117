"""Files that are whole or absent: atomic writes, checksums, deterministic zips, locks, and arrays read whole or refused."""

import errno
import fcntl
import hashlib
import os
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import numpy as np

from build.errors import UserError
from build.scratch import scratch_file

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a full disk and of a used-up quota."""
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
"""Of permissions that are missing, and of names that no file can have."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""Of file systems without locks: Lustre as many clusters mount it, some network drives."""


def refused(error: OSError) -> str:
    """One sentence where the system keeps the program from a file, a folder or all temporary ones; "" where the fault may be ours."""
    # A folder's copy that failed has no number, and the errors of all its files as texts.
    texts = str(error) if isinstance(error, shutil.Error) else ""
    if full := next(
        (os.strerror(number) for number in FULL if number == error.errno or os.strerror(number) in texts), ""
    ):
        return f"A disk is full ({full}); make room on it and repeat the command."
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # tempfile's own
        return (
            "No temporary file can be written (the disk is full, or the folders are read-only); make room, or name a "
            "folder in TMPDIR."
        )
    if error.filename and error.errno in NOT_OURS:
        return f"{error.filename} cannot be used ({error.strerror}); check its name and permissions."
    return ""


@contextmanager
def explained(path: Path | str, done: str, remedy: str = "check its name and permissions") -> Iterator[None]:
    """Turn an OSError of the block into one sentence: a UserError that `path` cannot be `done` ("read", "written")."""
    try:
        yield
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is where a folder should be" if in_the_way else error.strerror or error
        raise UserError(f"{path} cannot be {done} ({reason}); {remedy}.") from error


def make_folder(path: Path, remedy: str = "check its name and permissions") -> None:
    """Make a folder, and those above it, where there is none; UserError where it cannot be made or nothing can be put into it."""
    with explained(path, "written", remedy):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_readable(path: Path) -> None:
    """UserError unless the file `path` can be read: asked where its owner's permissions must not count as its fault."""
    with explained(path, "read"):
        path.open("rb").close()


def check_writable(path: Path) -> None:
    """UserError unless `path` can be written: asked before long work, not after it. Makes its folder."""
    if Path(path).is_dir():
        raise UserError(f"{path} cannot be written (it is a folder); give the name of a file.")
    handle, beside = _beside(Path(path))
    beside.unlink()
    os.close(handle)


def _beside(path: Path) -> tuple[int, Path]:
    """An open scratch file beside `path`, whose folder is made, and its name."""
    with explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        return scratch_file(path.parent, f".{path.name}.")


@contextmanager
def atomic(path: Path, mode: str = "wb") -> Iterator[IO]:
    """Open a scratch file beside `path` that takes its name only when the block ends without an error.

    UserError where `path` cannot be written, or the disk is full.
    """
    path = Path(path)
    # The bytes of a file's name that are no UTF-8 come as lone surrogates, which UTF-8 cannot write: they are spelled out.
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
    handle, beside = _beside(path)
    try:
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            # While it is open, and so held.
            with explained(path, "written"):
                beside.chmod(0o644)
                beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        # Another OSError of the block may be about any other file; a full disk is about this one.
        if isinstance(error, OSError) and error.errno in FULL:
            raise UserError(f"{path} cannot be written ({error.strerror}); make room on its disk.") from error
        raise


def save_array(path: Path, array: np.ndarray) -> None:
    """Write one .npy without pickles into a folder that is scratch as a whole, so not atomically; an OSError says what failed."""
    with Path(path).open("wb") as file:
        write_array(file, array)


def write_array(file: IO, array: np.ndarray) -> None:
    """As np.save does, but through the file's own `write`: what NumPy writes past it hides that the disk is full."""
    np.lib.format.write_array(SimpleNamespace(write=file.write), np.asanyarray(array), allow_pickle=False)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path, "w") as file:
        file.write(text)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


DAMAGED = (
    OSError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,  # a member that its directory has and the archive has not
    RuntimeError,  # a header that claims encryption or an unknown method
    SyntaxError,
    tokenize.TokenError,  # NumPy tokenizes a header that it cannot parse
    TypeError,
    AttributeError,  # this and the last: an npy file under the name of an npz, which has no arrays
)
"""What NumPy and zipfile raise where an npy or npz file is not whole."""


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz without pickles. OSError where it cannot be read, ValueError where it is not whole."""
    try:
        # np.load would leave a file open that it opened itself and found to be damaged.
        with Path(path).open("rb") as file, np.load(file) as held:
            return dict(held)
    except OSError:
        raise
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged ({error})") from error


ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The zip format's earliest time stamp, of every member: the same files give the same bytes."""


def write_zip(folder: Path, target: Path) -> None:
    """Zip the files below `folder` (not the folder itself), atomically: sorted names, one time stamp, plain permissions."""
    with atomic(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_TIME)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o100644 << 16
                large = path.stat().st_size >= 2**31
                with path.open("rb") as source, archive.open(member, "w", force_zip64=large) as place:
                    shutil.copyfileobj(source, place, 1 << 20)


@contextmanager
def locked(path: Path, told: str | None = None) -> Iterator[None]:
    """Hold the lock file `path` for this process; where another holds it, UserError with the sentence `told`, or wait if there is none.

    On a file system without locks nothing is held.
    """
    with explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if told else 0))
        except BlockingIOError as error:
            raise UserError(told) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield  # closing the file releases the lock, also when this process dies
