"""The versions that a zip is tried with, and one environment for each: made once, found again by its requirements.

    for versions in version_sets():
        environment = provide(versions, Path(".nox"))   # .nox/compat-2.17/
        environment.python, environment.problem

Every set runs on the server's Python, the newest one that all of them share with it, so that nothing but the framework and
what it pins (numpy!) differs between rows. `NEWEST` is the environment that this process runs in.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from build.errors import UserError
from build.files import locked, make_folder
from build.processes import last_line
from build.score.environment import ServerEnvironment, version

NEWEST = "newest"
OTHERS = (
    # TensorFlow's newest patch and the Keras of its day; each then pins the numpy that it can work with.
    ("tensorflow~=2.16.0", "keras==3.3.3"),
    ("tensorflow~=2.18.0", "keras==3.6.0"),
    ("tensorflow~=2.19.0", "keras==3.9.2"),
    ("tensorflow~=2.20.0", "keras==3.11.3"),
)
USUAL = ("matplotlib", "pandas", "pillow", "scikit-learn", "tqdm")
"""What the server is thought to have beside the framework; scipy and others come with these."""
NEEDED_BYTES = 2.8e9
"""Free disk below which no environment is made: one takes up to 2.5 GB, less where the installer can use hard links."""
STAMP = "compat.sha256"


@dataclass(frozen=True)
class VersionSet:
    """One row of the comparison."""

    name: str
    """TensorFlow's major and minor version, or NEWEST."""
    requirements: tuple[str, ...]
    python: tuple[int, int]
    server: bool = False


@dataclass(frozen=True)
class Environment:
    """Where a set can be run, or the sentence that says why it cannot."""

    python: Path | None
    problem: str = ""


def version_sets(server: ServerEnvironment | None = None) -> list[VersionSet]:
    """All sets, oldest TensorFlow first, NEWEST last; the server's is read from its description."""
    server = server or ServerEnvironment.read()
    pins = {name: server.certain.get(name, "") for name in ("tensorflow", "keras")}
    if not all(pins.values()):
        raise UserError(
            f"The description of the server ({server.name}) gives no version of tensorflow and keras; add both."
        )
    wanted = [(tuple(f"{name}=={pin}" for name, pin in pins.items()), True)]
    wanted += [(requirements, False) for requirements in OTHERS]
    sets = {}
    for requirements, is_server in wanted:
        numbers = version(requirements[0])
        # The server's comes first and keeps its name, whichever of the others it replaces.
        sets.setdefault(numbers[:2], VersionSet("{}.{}".format(*numbers), requirements, server.python, is_server))
    ordered = [sets[numbers] for numbers in sorted(sets)]
    return [*ordered, VersionSet(NEWEST, (), sys.version_info[:2])]


def choose(sets: list[VersionSet], only: tuple[str, ...], *, quick: bool) -> list[VersionSet]:
    """The sets named by `only`, by default all, or the server's where it is `quick`; NEWEST is always among them.

    It costs no installation, and gives every other set something to be compared with. UserError for an unknown name.
    """
    known = {one.name: one for one in sets}
    if unknown := [name for name in only if name not in known]:
        raise UserError(f"There is no version set {unknown[0]}; choose among {', '.join(known)}.")
    if only and quick:
        raise UserError("--quick asks the server's set alone; give one of --quick and --only.")
    names = set(only) or {one.name for one in sets if one.server or not quick}
    return [one for one in sets if one.name in names | {NEWEST}]


def folder_of(versions: VersionSet, root: Path) -> Path:
    """Where the environment of a set is kept."""
    return root / f"compat-{versions.name}"


def provide(versions: VersionSet, root: Path) -> Environment:
    """The environment of a set below `root`, made anew where its requirements or its Python have changed."""
    if versions.name == NEWEST:
        return Environment(Path(sys.executable))
    make_folder(root)
    with locked(root / f".compat-{versions.name}.lock"):  # another process may be making it
        return _provide(versions, root)


def _provide(versions: VersionSet, root: Path) -> Environment:
    folder = folder_of(versions, root)
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(repr((versions.requirements, USUAL, versions.python)).encode()).hexdigest()
    stamp = folder / STAMP
    if python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return Environment(python)
    if (free := shutil.disk_usage(root).free) < NEEDED_BYTES:
        return Environment(None, f"{free / 1e9:.1f} GB of disk are free, it needs {NEEDED_BYTES / 1e9:.1f}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for command in _commands(versions, folder, python):
            if problem := _problem(command):
                shutil.rmtree(folder, ignore_errors=True)
                return Environment(None, problem)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    stamp.write_text(wanted, encoding="utf-8")
    return Environment(python)


def _commands(versions: VersionSet, folder: Path, python: Path) -> list[list[str]]:
    """What makes the environment: with uv where it is found, else with the Python of that version and its pip."""
    wanted = "{}.{}".format(*versions.python)
    if uv := shutil.which("uv"):
        return [
            [uv, "venv", "--quiet", "--python", wanted, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(python), *versions.requirements, *USUAL],
        ]
    base = sys.executable if sys.version_info[:2] == versions.python else f"python{wanted}"
    return [
        [base, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *versions.requirements, *USUAL],
    ]


def _problem(command: list[str]) -> str:
    """Run it; "" or the last thing that it said where it failed."""
    quiet = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    try:
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{Path(command[0]).name} cannot be run ({error.strerror}); install uv or that Python"
    if not done.returncode:
        return ""
    said = last_line(done.stderr or done.stdout) or "it said nothing"
    return f"{Path(command[0]).name} {command[1]} failed: {said}"
