"""Fixtures shared by all tests: the real cells where they are at hand, and one generator a test."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from build.processes import NO_GPU

ROOT = Path(__file__).resolve().parent.parent
# What a CI may set changes what is printed (rich, click), how many threads compute and what a training believes to be
# part of; keras' own variables (KERAS_BACKEND, KERAS_DISTRIBUTION_...) are set by the tests that want another backend.
FOREIGN = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES", "PODIUM_CORES", "TF_CONFIG")
for variable in (*FOREIGN, *(name for name in os.environ if name.startswith("KERAS_"))):
    os.environ.pop(variable, None)
# Tests are of a CPU: several processes would each take all of a GPU's memory, and decide otherwise. Those that they start inherit it.
os.environ |= NO_GPU
# The user's keras.json may name another backend, or other types; keras reads it as it is imported.
os.environ["KERAS_HOME"] = KERAS_HOME = tempfile.mkdtemp(prefix="podium-keras-")
# The same examples every time: a failure is of a change.
slow = [HealthCheck.too_slow]  # a busy machine says nothing of a strategy
settings.register_profile("podium", derandomize=True, database=None, deadline=None, suppress_health_check=slow)
settings.load_profile("podium")


def pytest_unconfigure() -> None:
    shutil.rmtree(KERAS_HOME, ignore_errors=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """Drawing curves takes half a second a training; runs that a module's tests share are trained before this and have theirs."""
    if record := sys.modules.get("build.train.record"):
        monkeypatch.setattr(record, "curves", SimpleNamespace(draw=lambda *_, **__: None))


@pytest.fixture(scope="session")
def real_cells_folder() -> Path:
    """The folder of real blood cells beside the checkout; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data" / "blood_cells_96"
    if not folder.is_dir():
        pytest.skip("the real cells are not beside this checkout")
    return folder
