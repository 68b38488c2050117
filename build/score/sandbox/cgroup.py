"""A memory limit that the kernel enforces, where this process may make one: control groups, version 2 or 1.

It backs the supervisor's own look at resident memory (which works everywhere, but looks only 40 times a second). Address-space
limits (RLIMIT_AS, RLIMIT_DATA) are no replacement: a framework reserves gigabytes that it never touches, and the server kills
by memory held, not by memory asked for.
"""

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
OWN_GROUPS = Path("/proc/self/cgroup")


def _mounted(kind: str, option: str = "") -> Path | None:
    """Where a file system of this kind (with this option) is mounted."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, where, found, options, *_ = line.split()
        if found == kind and (not option or option in options.split(",")):
            return Path(where)
    return None


def _own(controller: str) -> str:
    """Path of this process's group below the mount point; "" is version 2's controller name."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return "/"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


@dataclass
class MemoryGroup:
    """A control group of one container. Made by `create`, entered by writing a pid to `entrance()`, gone after `remove()`."""

    folder: Path
    version: int

    @classmethod
    def create(cls, limit_mib: float) -> "MemoryGroup | None":
        """A group with this limit and no swap; None where none can be made (no rights, no controller)."""
        limit = str(int(limit_mib * 2**20))
        if root := _mounted("cgroup2"):
            own = root / _own("").lstrip("/")
            for parent in dict.fromkeys((own, own.parent, root)):
                if group := cls._make(parent, 2, {"memory.max": limit}, {"memory.swap.max": "0"}):
                    return group
        if root := _mounted("cgroup", "memory"):
            own = root / _own("memory").lstrip("/")
            for parent in dict.fromkeys((own, root)):
                settings = {"memory.limit_in_bytes": limit}
                if group := cls._make(parent, 1, settings, {"memory.memsw.limit_in_bytes": limit}):
                    return group
        return None

    @classmethod
    def _make(cls, parent: Path, version: int, needed: dict, wished: dict) -> "MemoryGroup | None":
        folder = None
        try:
            if version == 2 and "memory" not in (parent / "cgroup.subtree_control").read_text().split():
                return None
            folder = Path(tempfile.mkdtemp(prefix="podium-", dir=parent))
            for name, value in needed.items():
                (folder / name).write_text(value)
        except OSError:
            if folder is not None:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            return None
        for name, value in wished.items():
            with contextlib.suppress(OSError):  # kernels without swap accounting lack the file
                (folder / name).write_text(value)
        group = cls(folder, version)
        if not group._accepts_processes():
            group.remove()
            return None
        return group

    def _accepts_processes(self) -> bool:
        """Whether a process of ours may enter: a child that does nothing else tries."""
        # No fork: this process has threads.
        enter = ["sh", "-c", 'echo $$ > "$0"', str(self.entrance())]
        return subprocess.run(enter, capture_output=True).returncode == 0

    def entrance(self) -> Path:
        """File to which a process writes its id to enter."""
        return self.folder / "cgroup.procs"

    def events(self) -> Path:
        """File with a line `oom_kill COUNT`, how many processes the kernel killed for want of memory."""
        return self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")

    def remove(self) -> None:
        """Remove the (empty) group."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()
