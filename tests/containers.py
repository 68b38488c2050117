"""Runs small programs in the sandbox, for its tests, and looks for what they leave running on this machine."""

import functools
import json
import time
from pathlib import Path

import bundles
import pytest

from build.score.sandbox import Command, Engine, Execution, Limits, Mount, engine, run_together

LONG = Limits(seconds=60)
works = Path("/proc").exists() and engine("auto").name == "bwrap"  # a container may have it and not allow it
needs_bwrap = pytest.mark.skipif(not works, reason="bubblewrap does not work here")
on_each_engine = pytest.mark.parametrize("name", [pytest.param("bwrap", marks=needs_bwrap), "plain"])

made = functools.cache(engine)
"""The engine of a name; whether it works here is asked once."""

FAMILY = """
import subprocess, sys, time
sleeper = [sys.executable, "-c", "import time; time.sleep(60)", sys.argv[1]]
subprocess.Popen(sleeper)
subprocess.Popen(sleeper, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print("started", flush=True)
"""
"""Leaves a child and a daemon, both with the token in their command line."""


def run(
    using: str | Engine, folder: Path, source: str, *arguments: str, limits: Limits = LONG, env: dict | None = None
) -> Execution:
    """Run `source` as /app/program/main.py, with a writable /app/output and a read-only /app/ingested_program."""
    using = made(using) if isinstance(using, str) else using
    program = bundles.write(folder / "program", {"main.py": source})
    submission = bundles.write(folder / "submission", {"model.py": "secret = 1\n"})
    (folder / "output").mkdir(exist_ok=True)
    mounts = (
        Mount(program, "/app/program"),
        Mount(submission, "/app/ingested_program"),
        Mount(folder / "output", "/app/output", writable=True),
    )
    argv = ("python3", "main.py", *arguments)
    command = Command("ingestion", argv, mounts, folder / "containers", env=env or {})
    return run_together(using, [command], limits)[0]


def said(execution: Execution):
    """What the program printed as JSON."""
    text = execution.stdout.read_text()
    assert execution.exit_code == 0, execution.stderr.read_text()
    return json.loads(text)


def processes(token: str) -> list[int]:
    """Processes of this machine that have `token` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def nothing_is_left(token: str) -> bool:
    deadline = time.monotonic() + 60
    while processes(token) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not processes(token)
