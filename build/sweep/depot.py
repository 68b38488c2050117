"""What a sweep's driver and its workers tell each other, and the files that go between machines without a common file system.

    depot = Depot(root, cache)                             beside the driver; on a cluster an actor of its node
    with place(call, depot.facts()) as here:               beside a task; call(name, *arguments) reaches the depot's methods
        cells = here.cells(parcel, source)                 fetched once a node, under a lock, and kept there
        here.fetch_run(task, cells.sha256)                 what an earlier attempt left
        here.push()                                        files that are new or changed, into the driver's runs/

Where the worker sees the driver's folder (one machine, or a shared file system) nothing is copied. Files go in pieces of a few megabytes,
and take their name when they are whole.
"""

import contextlib
import dataclasses
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from build.data import cache as store
from build.data.cells import Cells
from build.data.prepare import curation_path
from build.files import locked
from build.scratch import scratch_file, scratch_folder
from build.study.execute import ENTRIES, Task, find

PIECE = 8 << 20
"""Bytes of a message."""
Call = Callable[..., object]


class Parcel(NamedTuple):
    """A source's cells in the driver's cache, and their curation: names there; `files`: the pictures' (Cells.files)."""

    cells: str
    curation: str
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, cells: Cells, cache: Path) -> "Parcel":
        """Of cells that `build.data.read` opened."""
        return cls(Path(cells.images.filename).parent.name, curation_path(cells, cache).name, cells.files)


class Facts(NamedTuple):
    """What a worker must know to find the driver's folders, or to see that they are not there."""

    root: str
    cache: str
    token: str


class Depot:
    """The driver's end. Its methods may be called by several threads."""

    def __init__(self, root: str, cache: str):
        """Absolute folders of runs and of prepared data."""
        self.bases = {"root": Path(root), "cache": Path(cache)}
        self.bases["root"].mkdir(parents=True, exist_ok=True)
        handle, self._token = scratch_file(self.bases["root"], ".depot-")  # a killed driver's goes with it
        self._held = os.fdopen(handle)
        self._lock = threading.Lock()
        self._events: list[tuple[int, str, list[dict]]] = []
        self._stopped: set[int] = set()

    def facts(self) -> Facts:
        """For workers."""
        return Facts(str(self.bases["root"]), str(self.bases["cache"]), self._token.name)

    def close(self) -> None:
        """Remove the token."""
        self._token.unlink(missing_ok=True)
        self._held.close()

    def report(self, position: int, run: str, history: list[dict]) -> bool:
        """A worker's epoch is over; whether the run is to be given up."""
        with self._lock:
            self._events.append((position, run, history))
            return position in self._stopped

    def drain(self) -> list[tuple[int, str, list[dict]]]:
        """The reports since the last call."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def stop(self, position: int) -> None:
        """Give a run up after its next epoch."""
        with self._lock:
            self._stopped.add(position)

    def find(self, task: Task, sha256: str) -> str:
        """ID of the run that the task goes on with; empty where there is none."""
        run = find(task, sha256, self.bases["root"])
        # Pieces that a worker had `put` before it was lost: nobody sends the rest.
        for torn in run.folder.rglob(".*.runs-*") if run else ():
            torn.unlink(missing_ok=True)
        return run.id if run else ""

    def listing(self, base: str, name: str) -> dict[str, int]:
        """Sizes of the files of a folder below "root" or "cache", or of one file, by their path below that."""
        top = self.bases[base]
        path = top / name
        files = [path] if path.is_file() else _files(path)
        return {file.relative_to(top).as_posix(): file.stat().st_size for file in files}

    def piece(self, base: str, name: str, offset: int) -> bytes:
        """Bytes of a file from `offset` on, PIECE at most."""
        with (self.bases[base] / name).open("rb") as file:
            file.seek(offset)
            return file.read(PIECE)

    def put(self, name: str, offset: int, data: bytes, last: bool, sender: str) -> None:
        """Take in a piece of a file of runs/."""
        target = self.bases["root"] / name
        assert target.resolve().is_relative_to(self.bases["root"].resolve()), name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{sender}")
        with beside.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(data)
        if last:
            beside.replace(target)


def _files(folder: Path) -> list[Path]:
    """Files worth carrying in the order to do so: run.json makes a run of a folder, and the checkpoint says how far the others go."""
    found = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock" and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    ]
    return sorted(found, key=lambda path: ("checkpoint" in path.parts, path.name == "run.json", path))


@dataclass
class Place:
    """Where a task works: the driver's own folders, or some of the node's."""

    root: Path
    cache: Path
    shared: bool
    call: Call
    known: dict[Path, tuple[int, int]]
    """Size and time of the files that the driver has."""

    def cells(self, parcel: Parcel, source: str) -> Cells:
        """The source's cells, fetched unless the node has them. ValueError where they cannot be read."""
        names = parcel.cells, parcel.curation
        # Whatever the node sees of runs/: data/ may well be a link to a disk of each node's own.
        if not all((self.cache / name).exists() for name in names):
            with locked(self.cache / "lock"):  # the other tasks of this node wait for the first one's copy
                for name in names:
                    self._fetch_once(name)
        cells = store.find(self.cache, parcel.cells.removeprefix("cells-"), source)
        if cells is None:
            raise ValueError(f"{self.cache / parcel.cells} is damaged; start the sweep again")
        return dataclasses.replace(cells, files=parcel.files)

    def _fetch_once(self, name: str) -> None:
        if (self.cache / name).exists():
            return
        with scratch_folder(self.cache, ".fetching-") as folder:
            self._fetch("cache", name, folder)
            with contextlib.suppress(FileNotFoundError):  # the driver has lost it, too
                (folder / name).replace(self.cache / name)

    def fetch_run(self, task: Task, sha256: str) -> None:
        """Bring the run that the task goes on with."""
        if not self.shared and (run := self.call("find", task, sha256)):
            self._fetch("root", run, self.root)
            self.known |= {path: _stamp(path) for path in _files(self.root)}

    def _fetch(self, base: str, name: str, into: Path) -> None:
        for path, size in self.call("listing", base, name).items():
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while file.tell() < size and (data := self.call("piece", base, path, file.tell())):
                    file.write(data)

    def push(self) -> None:
        """Send the files of runs/ that are new or changed, but not the studies' leaderboard: the driver has one of its own."""
        for path in [] if self.shared else _files(self.root):
            stamp = _stamp(path)
            name = path.relative_to(self.root)
            if name.is_relative_to(ENTRIES):
                continue
            if path.is_symlink() or self.known.get(path) == stamp or path.parent.is_symlink():
                continue
            offset = 0
            with path.open("rb") as file:
                while True:
                    data = file.read(PIECE)
                    last = offset + len(data) >= stamp[0]
                    self.call("put", name.as_posix(), offset, data, last, self.root.name)
                    offset += len(data)
                    if last:
                        break
            self.known[path] = stamp


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


@contextlib.contextmanager
def place(call: Call, facts: Facts) -> Iterator[Place]:
    """The place of a task on this node; run folders of the node itself are removed at the end, its cells are kept."""
    root, cache = Path(facts.root), Path(facts.cache)
    if (root / facts.token).exists():
        yield Place(root, cache, True, call, {})
        return
    own = Path(tempfile.gettempdir()) / f"podium-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():
        raise PermissionError(f"{own} belongs to somebody else; set TMPDIR to a folder of your own")
    with scratch_folder(own, "runs-") as runs:  # what a killed worker left goes with it; it had sent all to the driver
        yield Place(runs, own / "data", False, call, {})
