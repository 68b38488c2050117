"""What computer this is, in words, for results that depend on it."""

import os
import platform
from pathlib import Path

from build.errors import UserError


def cores() -> int:
    """Processors that this process may use; the variable PODIUM_CORES can lower it where others work beside it.

    UserError where the variable holds no number; 0 and nothing are no limit.
    """
    given = os.environ.get("PODIUM_CORES") or "0"
    if not given.isdecimal():
        raise UserError(f"Expected a number of cores in the variable PODIUM_CORES, got {given!r}; correct or unset it.")
    limit = int(given)
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(limit, found) if limit else found


def processor() -> str:
    """The processor's model as the system names it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> str:
    """One line: cores and processor."""
    return f"{cores()} cores, {processor()}"
