"""Scratch files and folders: removed when their block ends, and where their process was killed by the next one that makes such a one.

    with scratch_folder(Path("dist"), ".packaging-") as folder: ...
    handle, path = scratch_file(Path("dist"), ".cam.png.")      # held until the handle is closed

Who makes one holds a lock on it. The system takes that back from a process that is gone, however it ended, so what nobody holds is
nobody's; no clock is asked, and no process id, which another one may have by now. Locks of some network mounts do not reach other
machines, so each sweeps what itself has made. Where there are no locks at all nothing is swept.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

DRAWN = 8
"""Characters that tempfile ends a name with."""


def scratch_file(parent: Path, prefix: str) -> tuple[int, Path]:
    """A new empty file in `parent`: its open handle, which holds it, and its path. Who has no use for it any more removes it."""
    prefix = _of_this_machine(prefix)
    _sweep(parent, prefix)
    return _held(lambda: tempfile.mkstemp(dir=parent, prefix=prefix))


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent` until the block ends, which may give it another name."""

    def make() -> tuple[int, str]:
        while True:
            path = tempfile.mkdtemp(dir=parent, prefix=prefix)
            with contextlib.suppress(FileNotFoundError):  # another process swept it before it could be held
                return os.open(path, os.O_RDONLY), path

    prefix = _of_this_machine(prefix)
    _sweep(parent, prefix)
    handle, path = _held(make)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _of_this_machine(prefix: str) -> str:
    return f"{prefix}{zlib.crc32(os.uname().nodename.encode()):08x}-"


def _held(make: Callable[[], tuple[int, str]]) -> tuple[int, Path]:
    while True:
        handle, name = make()
        path = Path(name)
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists():
            return handle, path
        os.close(handle)  # another process swept it before it was held


def _sweep(parent: Path, prefix: str) -> None:
    """Remove what nobody holds of the files and folders in `parent` that begin with `prefix`."""
    for path in parent.iterdir():
        if path.name.startswith(prefix) and len(path.name) == len(prefix) + DRAWN:
            # A submission may have made what is in a folder: deeper than Python goes, for one.
            with contextlib.suppress(OSError, RecursionError):
                _remove_unheld(path)


def _remove_unheld(path: Path) -> None:
    is_folder = path.is_dir()
    # NFS locks what is open for writing, and so no folder.
    handle = os.open(path, os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_RDONLY if is_folder else os.O_RDWR))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(handle)
