"""What is known of the server's Python: a checked-in description, changeable by naming another file of the same form."""

import dataclasses
import functools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from build.errors import UserError

DEFAULT = Path(__file__).with_name("server_environment.json")

REMOVED = dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), (3, 12)) | dict.fromkeys((
    "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap", "nis", "nntplib", "ossaudiodev", "pipes",
    "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
), (3, 13))  # fmt: skip
"""Modules of Python's library -> the version that has them no longer (docs.python.org, "What's New", 3.12 and 3.13: Removed)."""
SYSTEM_FOLDERS = ("/proc/", "/dev/", "/etc/", "/sys/")
"""Folders of every Linux machine, though not with the same files."""
WORKING_DIRECTORIES = ("program", "submission")


def _one_of(known: tuple[str, ...], value: object) -> str:
    if value not in known:
        raise ValueError(f"expected one of {', '.join(known)}, got {value!r}")
    return value


@dataclass(frozen=True)
class ServerEnvironment:
    """Python and packages, by import name; versions may be empty where they do not matter."""

    name: str
    image: str
    python: tuple[int, int]
    certain: dict[str, str]
    assumed: dict[str, str]
    """Packages that such servers usually have, but nobody promised."""
    absent: dict[str, str]
    """Packages known or believed to be missing -> what to do instead."""
    keras_files_fail_from: str = ""
    """First Keras whose .keras files this server's Keras cannot load; empty where it is not known.

    For Keras 3.4.1, tried with a small convolutional network: files of 3.5 to 3.12 load, files of 3.13, 3.14 and 3.15 do not.
    """

    working_directory: str = "program"
    """Where its ingestion program runs the submission: "program" (the worker's own choice, /app/program) or "submission" (it changes
    into the submission's folder first, so that files opened by a relative path are found)."""

    keras_layers_lack: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Layer -> arguments that newer versions save with it and the server's Keras refuses.

    For Keras 3.4.1, tried with every layer of 3.5, 3.6, 3.7 and 3.12: all others load as long as 3.4.1 has their class.
    """

    later: frozenset[str] = frozenset()
    """Dotted names, such as keras.layers.RandAugment, that newer versions of its packages have and its own have not."""

    @classmethod
    def read(cls, path: Path | None = None) -> "ServerEnvironment":
        """The description at `path`, by default the competition's. UserError where it is not one."""
        path = Path(path or DEFAULT)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            major, minor = map(int, values["python"].split(".")[:2])
            tables = {
                name: {str(key): str(value) for key, value in values[name].items()}
                for name in ("certain", "assumed", "absent")
            }
            later = {f"{module}.{name}" for module, names in values.get("later", {}).items() for name in names}
            return cls(
                str(values["name"]),
                str(values.get("image", "")),
                (major, minor),
                **tables,
                keras_files_fail_from=str(values.get("keras_files_fail_from", "")),
                working_directory=_one_of(WORKING_DIRECTORIES, values.get("working_directory", "program")),
                keras_layers_lack={
                    str(layer): tuple(map(str, names)) for layer, names in values.get("keras_layers_lack", {}).items()
                },
                later=frozenset(later),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is no description of a server environment ({str(error)[:200]}); take {DEFAULT.name} as a pattern."
            ) from error

    @functools.cached_property
    def present(self) -> frozenset[str]:
        """Import names of the packages that are there or assumed to be, without the standard library."""
        return frozenset(self.certain) | frozenset(self.assumed)

    def lacking(self, name: str) -> str:
        """What of the dotted import name `name` is known to be absent: a package, or a module of one that is there; else ""."""
        return next((one for one in self.absent if f"{name}.".startswith(f"{one}.")), "")

    def has(self, name: str) -> str:
        """ "yes", "assumed", "no" (known to be absent) or "unknown" for the top-level import name `name`."""
        if name in self.certain or name in sys.stdlib_module_names or self.python < REMOVED.get(name, (0, 0)):
            return "yes"
        if name in self.assumed:
            return "assumed"
        return "no" if name in self.absent else "unknown"


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version for comparison: "3.15.1" -> (3, 15, 1)."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
