"""Starts a supervised process: the one way in which an engine runs anything."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from build.score.sandbox import Command, Execution, Limits
from build.score.sandbox.cgroup import MemoryGroup

SUPERVISOR = Path(__file__).with_name("supervise.py")
SCRATCH_FOLDERS = ("tmp", "home", "shm")
"""Private folders of a container, on disk so that what is written there is counted as output and not as memory."""

TICK = 0.25
"""Seconds between two calls of the caller's tick (a progress bar)."""


def _prepare(command: Command) -> Path:
    """Make the container's folder with its private folders; returns it."""
    for name in SCRATCH_FOLDERS:
        (command.folder / name).mkdir(parents=True, exist_ok=True)
        (command.folder / name).chmod(0o1777 if name != "home" else 0o755)
    return command.folder


def discard(folder: Path) -> None:
    """Remove a folder that a submission could write to: any depth, any permissions, no link followed."""
    # Not shutil.rmtree: before Python 3.13 it calls itself for every level, and a thousand levels end it.
    for call in (["rm", "-rf", "--"], ["chmod", "-R", "u+rwx", "--"], ["rm", "-rf", "--"]):
        if not subprocess.run([*call, str(folder)], capture_output=True).returncode and call[0] == "rm":
            return


@dataclass
class Supervised:
    """A process under the supervisor."""

    process: subprocess.Popen
    command: Command
    group: MemoryGroup | None
    measures_memory: bool

    def wait(self, tick: Callable[[], None] | None = None) -> Execution:
        """Read the supervisor's verdict; it comes at the latest when the time limit is over."""
        while tick is not None:
            try:
                self.process.wait(TICK)
                break
            except subprocess.TimeoutExpired:
                tick()
        line = self.process.stdout.read()
        self.process.wait()
        folder = self.command.folder
        try:
            found = json.loads(line)
        except ValueError:
            found = {
                "exit_code": None,
                "cause": "lost",
                "seconds": 0.0,
                "peak_mib": 0.0,
                "survivors": 0,
                "detail": f"the supervisor ended with {self.process.returncode} and no verdict",
            }
        if self.group is not None:
            self.group.remove()
            self.group = None
        for name in SCRATCH_FOLDERS:
            discard(folder / name)
        if not self.measures_memory:
            found["peak_mib"] = None
        return Execution(stdout=folder / "stdout", stderr=folder / "stderr", **found)

    def stop(self) -> None:
        """Cut the life line: the supervisor kills everything and ends."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        if self.group is not None:
            self.group.remove()
            self.group = None


def launch(
    command: Command,
    limits: Limits,
    argv: Sequence[str],
    *,
    env: dict[str, str],
    cwd: Path,
    on_kill: Sequence[Sequence[str]] = (),
    measures_memory: bool = True,
) -> Supervised:
    """Start `argv` (what the engine made of the command's own argv) under `limits`.

    Counted as output: the command's writable mounts, its private folders and its logs. `measures_memory` is False where the
    memory is another process tree's (a container engine's).
    """
    folder = _prepare(command)
    group = MemoryGroup.create(limits.memory_mib) if limits.memory_mib and measures_memory else None
    specification = {
        "argv": list(argv),
        "env": env,
        "cwd": str(cwd),
        "stdout": str(folder / "stdout"),
        "stderr": str(folder / "stderr"),
        "seconds": limits.seconds,
        "memory_mib": limits.memory_mib if measures_memory else None,
        "output_mib": limits.output_mib,
        "processes": limits.processes,
        "watched": [str(folder), *(str(mount.host) for mount in command.mounts if mount.writable)],
        "cgroup": str(group.entrance()) if group else "",
        "memory_events": str(group.events()) if group else "",
        "on_kill": [list(one) for one in on_kill],
    }
    path = folder / "supervise.json"
    path.write_text(json.dumps(specification))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(SUPERVISOR), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A session of its own: Ctrl-C reaches the judge, and the judge ends the supervisor by its life line.
        start_new_session=True,
    )
    return Supervised(process, command, group, measures_memory)
