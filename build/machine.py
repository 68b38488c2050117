"""The machine that this runs on: its processor and cores, keras' backend, NVIDIA's driver and libraries, the `pip` of this Python."""

import contextlib
import ctypes
import os
import platform
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from build.errors import UserError

BACKENDS = ("tensorflow", "jax")
"""Of keras, that the kit trains on."""
WSL_TOOL = Path("/usr/lib/wsl/lib/nvidia-smi")
CUDA_LIBRARIES = (
    "nvjitlink/lib/libnvJitLink",
    "cublas/lib/libcublasLt",
    "cublas/lib/libcublas",
    "cusparse/lib/libcusparse",
    "cusolver/lib/libcusolver",
)
"""cuSOLVER below pip's folder `nvidia`, after what it needs."""


def check_backend(name: str | None = None) -> None:
    """UserError where keras would run on a backend that the kit does not train on, or that is not installed; before it is imported.

    name: what keras says; None: what the variable KERAS_BACKEND says.
    """
    name = name or os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if name not in BACKENDS:
        raise UserError(
            f"Training runs on the TensorFlow and the JAX backend of keras, not on {name!r}; correct or unset KERAS_BACKEND."
        )
    if find_spec(name) is None:
        group = "" if name == BACKENDS[0] else f" -- {name}"
        raise UserError(
            f"Keras is to run on {name}, which is not installed here: nox -s install{group}; or set KERAS_BACKEND anew."
        )
    if name == BACKENDS[0]:
        load_cuda()


def nvidia_smi() -> str | None:
    """The path of NVIDIA's tool, which comes with the driver; None where there is none. WSL2 keeps it off the path of services."""
    return shutil.which("nvidia-smi") or (str(WSL_TOOL) if WSL_TOOL.is_file() else None)


def load_cuda() -> None:
    """Load cuSOLVER from where pip puts it, before TensorFlow looks for it.

    TensorFlow 2.21 does not look there itself and leaves every GPU unused without it (github.com/tensorflow/tensorflow/pull/112973).
    """
    package = find_spec("nvidia") if nvidia_smi() else None
    for root in package.submodule_search_locations or () if package else ():
        for library in CUDA_LIBRARIES:
            for path in sorted(Path(root).glob(f"{library}.so.*")):
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path))  # one that is loaded is found by its name, wherever it lies


def pip_install(*requirements: str) -> str:
    """The command that installs packages where this process finds them: `pip` alone may be another Python's."""
    return shlex.join((sys.executable, "-m", "pip", "install", *requirements))


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
    return _told("model name") or platform.processor() or platform.machine()


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself: Intel's AMX, or AVX-512's own instruction (AMD from Zen 4 on).

    False where the system does not tell.
    """
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_told("flags").split())


def _told(name: str, information: Path = Path("/proc/cpuinfo")) -> str:
    """What Linux says of the first processor under that name; "" where there is nothing."""
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def machine() -> str:
    """One line: cores and processor."""
    return f"{cores()} cores, {processor()}"
