"""Runs a command as the server's container would, cut off from this machine: bubblewrap, a container engine, or a plain process.

`engine(name)` gives an engine; `run_together(engine, commands, limits)` runs one job's containers side by side. Every engine starts
its process through `supervise.py`, which enforces the limits and leaves no process behind (see launch.py).
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from build.errors import UserError

ENGINES = ("bwrap", "docker", "plain")
PROC = Path("/proc/self/stat")
"""What the supervisor reads of every process."""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine and where the program sees it (an absolute path under /app)."""

    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True)
class Limits:
    """What a container may take before it is killed."""

    seconds: float
    """Wall-clock time, start of the process included."""
    memory_mib: float | None = None
    """Resident memory of all its processes together."""
    output_mib: float = 4096
    """All that it writes: output, logs, /tmp and home together."""
    processes: int = 256


@dataclass(frozen=True)
class Command:
    """One container to run."""

    name: str
    """Names its folder for logs and temporary files in `scratch`; plain letters."""
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]
    scratch: Path
    cwd: str = "/app/program"
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        # The container's start has a working directory of its own, where a relative path is another folder or none.
        for path in (self.scratch, *(mount.host for mount in self.mounts)):
            assert path.is_absolute(), f"{path} of the container {self.name} is relative"

    @property
    def folder(self) -> Path:
        """Where its logs, /tmp, home and shared memory lie on this machine."""
        return self.scratch / self.name


@dataclass(frozen=True)
class Execution:
    """How a container ended."""

    exit_code: int | None
    """As an engine reports it (128 + n after signal n); None where it never started."""
    cause: str
    """"exit", "time", "memory", "output", "processes", "stopped" (the judge was), "start" or "lost" (see `detail`)."""
    seconds: float
    peak_mib: float | None
    """None where the engine cannot measure it."""
    survivors: int
    """Processes that outlived the main one and were killed."""
    stdout: Path
    stderr: Path
    detail: str = ""


class Engine(Protocol):
    """What the worker needs of an engine."""

    name: str
    not_isolated: tuple[str, ...]
    """One sentence for each thing that the engine does not keep from the submission."""

    def unavailable(self) -> str:
        """One sentence why it cannot run here, or an empty string."""
        ...

    def start(self, command: Command, limits: Limits) -> "Running":
        """Start it under the limits."""
        ...


class Running(Protocol):
    """A started container."""

    def wait(self, tick: Callable[[], None] | None = None) -> Execution:
        """How it ended, by itself or at a limit; no process of it is left then. `tick` is called while it waits."""
        ...

    def stop(self) -> None:
        """Kill it and everything that it started."""
        ...


def check_platform() -> None:
    """UserError where no engine can watch over a submission: all need Linux and its /proc."""
    if not PROC.exists():
        raise UserError(
            f"The judge needs Linux with /proc, and this is {sys.platform}; package and judge there, on WSL2, or in a container or VM."
        )


def engine(name: str = "auto", *, image: str = "") -> Engine:
    """The engine called `name`; "auto" takes bwrap where it works and plain otherwise.

    `image` is the container image (docker only); bwrap and plain run the programs by the Python that runs the judge. UserError where
    the engine is unknown or does not work here.
    """
    from build.score.sandbox.bwrap import Bubblewrap
    from build.score.sandbox.docker import Docker
    from build.score.sandbox.interpreter import Interpreter
    from build.score.sandbox.plain import Plain

    check_platform()
    if name not in (*ENGINES, "auto"):
        raise UserError(f"Unknown engine {name!r}; choose one of auto, {', '.join(ENGINES)}.")
    if name == "docker":
        chosen = Docker(image)
    else:
        python = Interpreter.of()
        chosen = Plain(python) if name == "plain" else Bubblewrap(python)
        if name == "auto" and chosen.unavailable():
            chosen = Plain(python, why=chosen.unavailable())
    if reason := chosen.unavailable():
        raise UserError(f"The engine {name} does not work here: {reason}")
    return chosen


def run_together(
    engine: Engine, commands: Sequence[Command], limits: Limits, *, tick: Callable[[], None] | None = None
) -> list[Execution]:
    """Run a job's containers side by side (they may share folders); results in the order of `commands`.

    `tick` is called a few times a second meanwhile. Whatever interrupts the judge (Ctrl-C) ends the containers too.
    """
    running: list[Running] = []
    try:
        for command in commands:
            running.append(engine.start(command, limits))
        return [one.wait(tick) for one in running]
    finally:
        for one in running:
            one.stop()
