"""Chores of the kit, one session each: `nox -s train package` is the main job, `nox -s tests` the tests.

All sessions share one environment, .nox/podium (a second TensorFlow would cost 2 GB and a minute); it is made on first
use from the dependency groups of pyproject.toml and brought up to date when they change. Arguments after `--` go to the
session:
`nox -s train package -- --data training_set.npz` gives --data to the training and nothing to the packaging.
"""

import hashlib
import platform
import re
import shutil
import sys
from pathlib import Path

import nox

try:
    import fcntl
except ModuleNotFoundError:
    raise SystemExit("Podium runs on Linux and macOS; on Windows, in WSL2 (README, Start).") from None
from packaging.specifiers import SpecifierSet

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]
nox.options.stop_on_first_error = True  # `nox -s train package` packages nothing older after a failed training

ROOT = Path(__file__).parent
ENVIRONMENT = ROOT / ".nox" / "podium"
PYTHON = ENVIRONMENT / "bin" / "python"
ACTIVATE = ENVIRONMENT / "bin" / "activate"
"""What virtualenv writes last: an environment without it was stopped midway and has no pip."""
WSL_TOOL = Path("/usr/lib/wsl/lib/nvidia-smi")  # not on the path of services there
CUDA = (shutil.which("nvidia-smi") is not None or WSL_TOOL.is_file()) and platform.machine() == "x86_64"
"""Whether NVIDIA's driver is here, and its libraries for TensorFlow exist for this machine."""
TRAINED: list[str] = []
"""Training sessions of this call of nox."""


def prepare(session: nox.Session, *groups: str) -> None:
    """Make the shared environment, install the dependency groups that changed since last time; one call of nox at a time."""
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with ENVIRONMENT.with_name("podium.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            session.log(f"Another call of nox is preparing {ENVIRONMENT}; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        _prepare(session, *groups)


def _prepare(session: nox.Session, *groups: str) -> None:
    pyproject = nox.project.load_toml(ROOT / "pyproject.toml")
    pythons = SpecifierSet(pyproject["project"]["requires-python"])
    if platform.python_version() not in pythons:
        session.error(
            f"The packages exist for Python {pythons}, and nox runs under {platform.python_version()}: install nox for such a "
            "Python, in an environment of its own for one (python3.13 -m venv .venv && . .venv/bin/activate && pip install nox)."
        )
    if not _is_whole(pythons):
        # virtualenv comes with nox, so this works on a Python without venv or pip (Debian's).
        session.run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(ENVIRONMENT), external=True)
    for group in groups:
        requirements = nox.project.dependency_groups(pyproject, group)
        stamp = ENVIRONMENT / f"{group}.sha256"
        digest = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            continue
        uv = shutil.which("uv")
        installer = (uv, "pip", "install", "--python", str(PYTHON)) if uv else (str(PYTHON), "-m", "pip", "install")
        session.run(*installer, "--quiet", *requirements, external=True)
        stamp.write_text(digest)


def _is_whole(pythons: SpecifierSet) -> bool:
    """Whether the environment was made to its end, and of a Python that the packages exist for."""
    told = ENVIRONMENT / "pyvenv.cfg"
    if not all(path.exists() for path in (PYTHON, ACTIVATE, told)):
        return False
    found = re.search(r"^version(?:_info)? *= *(\d+\.\d+)", told.read_text(), re.MULTILINE)
    return found is not None and found[1] in pythons


def podium(session: nox.Session, command: str, *arguments: str) -> None:
    """Run `python -m build COMMAND` in the shared environment."""
    prepare(session, "run", *(["gpu"] if CUDA else []))
    # After Ctrl-C a command stops by itself and leaves what can be gone on with; nox would kill it half a second later.
    patient = {"interrupt_timeout": None, "terminate_timeout": None}
    session.run(str(PYTHON), "-m", "build", command, *arguments, external=True, **patient)


@nox.session(venv_backend="none")
def install(session: nox.Session) -> None:
    """Add dependency groups of pyproject.toml to the shared environment (-- sweep search: for a cluster; -- jax: for several hosts)."""
    known = nox.project.load_toml(ROOT / "pyproject.toml")["dependency-groups"]
    if unknown := set(session.posargs) - known.keys():
        session.error(f"There is no dependency group {', '.join(unknown)}; choose among {', '.join(known)}.")
    prepare(session, "run", *session.posargs)


@nox.session(venv_backend="none")
def train(session: nox.Session) -> None:
    """Train a recipe into runs/ID/ (-- --data training_set.npz --recipe podium --resume latest ...)."""
    podium(session, "train", *session.posargs)
    if not {"-h", "--help"} & set(session.posargs):
        TRAINED.append(session.name)


@nox.session(venv_backend="none")
def pretrain(session: nox.Session) -> None:
    """Make weights for a small ConvNeXt from drawn images, as the first of the kit's own were made (-- --size nano --images 400000)."""
    podium(session, "pretrain", *session.posargs)


@nox.session(venv_backend="none")
def package(session: nox.Session) -> None:
    """Compress, zip and judge the last run; a zip that passes its gates becomes dist/submission.zip."""
    # In `nox -s train package -- --data D` the arguments are the training's; the run remembers its data.
    podium(session, "package", *(() if TRAINED else session.posargs))


@nox.session(venv_backend="none")
def soup(session: nox.Session) -> None:
    """Average the weights of runs of one network into a run of its own (-- RUN RUN --greedy)."""
    podium(session, "soup", *session.posargs)


@nox.session(venv_backend="none")
def compress(session: nox.Session) -> None:
    """Store the last run in several ways, tfmot's too, judge each and choose (-- RUN --size-limit 2 --budget 0.5)."""
    prepare(session, "run", "compress")
    methods = ("--methods", "float16,int8,grid-0.5,tuned-grid-0.5,tuned-grid-1,tfmot")
    podium(session, "compress", *methods, *session.posargs)  # methods named by the user come last and count


@nox.session(venv_backend="none")
def score(session: nox.Session) -> None:
    """Judge a zip as the Codabench worker would (-- dist/submission.zip)."""
    podium(session, "score", *session.posargs)


@nox.session(venv_backend="none")
def compat(session: nox.Session) -> None:
    """Ask a zip the same under TensorFlow 2.16 to the newest, the server's 2.17 among them (-- dist/submission.zip --only 2.17)."""
    podium(session, "compat", *session.posargs)


@nox.session(venv_backend="none")
def leaderboard(session: nox.Session) -> None:
    """Rank the judged zips, forecast their hidden scores, write the page (-- --record ENTRY 0.87)."""
    podium(session, "leaderboard", *session.posargs)


@nox.session(venv_backend="none")
def inspect(session: nox.Session) -> None:
    """Show what a data source holds: duplicates, outliers, near-duplicates, backgrounds, doubtful labels (-- --data training_set.npz)."""
    podium(session, "inspect", *session.posargs)


@nox.session(venv_backend="none")
def cam(session: nox.Session) -> None:
    """Draw where a run's network looks and measure how much of it is at the edges (-- RUN --out dist/cam.png)."""
    podium(session, "cam", *session.posargs)


def _extras(session: nox.Session) -> list[str]:
    """Groups of packages that the given options need besides."""
    given = {argument.partition("=")[0] for argument in session.posargs}
    return [group for group, option in (("search", "--search"), ("sweep", "--ray")) if option in given]


@nox.session(venv_backend="none")
def reproduce(session: nox.Session) -> None:
    """Train and judge what the report tried, beside its figures (-- --study models --data training_set.npz)."""
    prepare(session, "run", *_extras(session))
    podium(session, "reproduce", *session.posargs)


@nox.session(venv_backend="none")
def sweep(session: nox.Session) -> None:
    """Train recipes with several seeds, folds or settings and compare them (-- --recipes podium,smoke --seeds 3 --folds 5)."""
    prepare(session, "run", *_extras(session))
    podium(session, "sweep", *session.posargs)


@nox.session(venv_backend="none")
def bundle(session: nox.Session) -> None:
    """Write a competition bundle that Codabench accepts, from held-out cells (-- --data training_set.npz)."""
    podium(session, "bundle", *session.posargs)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Measure speed side by side with the best peers (-- augment predict judge corruptions)."""
    # PyTorch's CUDA 13 would lie where TensorFlow's cuDNN and NCCL do (nvidia/cudnn, nvidia/nccl), in their place.
    if CUDA:
        session.env["UV_TORCH_BACKEND"] = "cpu"
        session.env["PIP_EXTRA_INDEX_URL"] = "https://download.pytorch.org/whl/cpu"
    prepare(session, "run", "bench")
    session.run(str(PYTHON), "-m", "build.bench", *session.posargs, external=True)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Check format and lint, then run the tests (-- -m "not slow" leaves the slow ones out, -m exhaustive runs further cases)."""
    prepare(session, "run", "tests", "search", "sweep", "compress")
    for check in (("check", "--quiet"), ("format", "--check", "--quiet")):
        session.run(str(PYTHON), "-m", "ruff", *check, ".", external=True)
    # Whole files go to a process, so a file's fixtures are made once; more than four processes would want more memory than laptops have.
    spread = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")
    session.run(str(PYTHON), "-m", "pytest", *spread, *session.posargs, external=True)
