"""Fixtures shared by all tests: the real cells where they are at hand, and one generator a test."""

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def real_cells_folder() -> Path:
    """The folder of real blood cells beside the checkout; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data" / "blood_cells_96"
    if not folder.is_dir():
        pytest.skip("the real cells are not beside this checkout")
    return folder
