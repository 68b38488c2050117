"""An exception of the submission, as far as it is known outside of the process that raised it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.score.environment import ServerEnvironment

MOST_TEXT = 2 * 2**20
"""Characters of a source file that are looked at."""
QUOTED = re.compile(r"""['"]([^'"]+)['"]|(?:filepath=|filename:? ?=? ?'?)([^\s'",;)]+)""")


@dataclass(frozen=True)
class Seen:
    """What is known of an exception of the submission."""

    stage: str
    error: str
    message: str
    file: str
    line: str
    submission: Path
    environment: ServerEnvironment | None

    @classmethod
    def of(cls, record: Mapping, submission: Path, environment: ServerEnvironment | None) -> "Seen":
        """From the record that our programs make of an exception (programs/podium_loading.py)."""
        told = (str(record[key]) for key in ("stage", "error", "message", "file", "line"))
        return cls(*told, submission, environment)

    @property
    def place(self) -> str:
        """ "model.py, line 3" as far as it is known."""
        if not self.file:
            return "The submission"
        return f"{self.file}, line {self.line}," if self.line not in ("", "0") else self.file

    @property
    def source(self) -> str:
        """The line of the zip that raised it; empty where that is not known.

        The submission can write the record: it may name a device, or a file without end.
        """
        path = self.submission / self.file
        try:
            if not path.is_file():
                return ""
            with path.open(encoding="utf-8", errors="replace") as file:
                return file.read(MOST_TEXT).splitlines()[int(self.line) - 1]
        except (OSError, ValueError, IndexError):
            return ""

    def holds(self, name: str) -> bool:
        """Whether the zip has a file or folder of that name, which the submission made up: it may be longer than a file's can be."""
        try:
            return (self.submission / name).exists()
        except OSError:
            return False

    def names(self) -> list[str]:
        """Of all files of the zip."""
        files = (path for path in self.submission.rglob("*") if path.is_file())
        return [path.relative_to(self.submission).as_posix() for path in files]


def named(message: str) -> str:
    """The file that a message names last; h5py quotes the system's words behind it, and Keras ends a sentence with it."""
    found = QUOTED.findall(re.sub(r"error message = '[^']*'", "", message))
    return (found[-1][0] or found[-1][1].rstrip(".")) if found else ""
