"""Modules of this project that run as processes of their own: `python -m build.MODULE`, whatever the working directory.

subprocess.run([sys.executable, "-m", "build.MODULE"], env=environment(), ...)
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """This process's variables, with which Python finds the project first."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def last_line(errors: str) -> str:
    """What a process that failed said last."""
    return (errors.strip().splitlines() or ["no message"])[-1]
