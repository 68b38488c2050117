"""The Python that runs the programs, and the folders it needs: its own prefix, that of its base, nothing of the repository."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from build.errors import UserError
from build.processes import ROOT

_PYTHON = re.compile(r"(?:/usr(?:/local)?/bin/|/opt/[^ ]*/bin/)?python(?:3(?:\.\d+)?)?")
_QUESTION = (
    "import json, site, sys, sysconfig; print(json.dumps({'executable': sys.executable, "
    "'folders': [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sysconfig.get_paths().values()]}))"
)


@dataclass(frozen=True)
class Interpreter:
    """An installed Python."""

    executable: Path
    folders: tuple[Path, ...]
    """Existing folders to show a sandbox, outermost first; none lies within another."""

    @staticmethod
    @cache
    def of(executable: Path | None = None) -> "Interpreter":
        """The interpreter at `executable`, by default the one that runs this code. UserError where it cannot be run."""
        path = Path(executable or sys.executable)
        try:
            done = subprocess.run(
                [str(path), "-I", "-c", _QUESTION], capture_output=True, text=True, timeout=60, check=True, cwd="/"
            )
            found = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise UserError(
                f"The Python at {path} cannot be run ({error}); give the path of a working interpreter."
            ) from error
        wanted = {Path(name) for name in found["folders"]}
        if ROOT in wanted:  # an environment made right in the repository's root
            wanted = wanted - {ROOT} | {ROOT / name for name in ("bin", "lib", "lib64", "pyvenv.cfg")}
        folders: list[Path] = []
        for folder in sorted(wanted, key=lambda path: (len(path.parts), path)):
            if folder.exists() and not any(folder.is_relative_to(outer) for outer in folders):
                folders.append(folder)
        return Interpreter(Path(found["executable"]), tuple(folders))

    def run_by(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """`argv` with this interpreter in the place of the image's `python`, however it is spelt."""
        return (str(self.executable), *argv[1:]) if argv and _PYTHON.fullmatch(argv[0]) else argv
