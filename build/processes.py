"""Modules of this project that run as processes of their own: `python -m build.MODULE`, whatever the working directory.

subprocess.run([sys.executable, "-m", "build.MODULE"], env=environment(), ...)
"""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHATTER = re.compile(r"[IWE]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] |WARNING: All log")
LONGEST_LINE = 300
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
"""Variables that hide a GPU. JAX goes by the driver's files: it would start CUDA all the same, and fail as that sees no card."""


def environment() -> dict[str, str]:
    """This process's variables, with which Python finds the project first."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def last_line(log: str) -> str:
    """The last line of a process' log that says something, without a framework's own chatter, 300 characters at most; or ""."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    lines = [line for line in lines if not CHATTER.match(line)]
    return lines[-1][:LONGEST_LINE] if lines else ""
