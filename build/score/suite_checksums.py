"""What perturbed images depend on, as checksums: scores compare, and files of the cache are used again, where these are equal."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

import cv2
import numpy as np

from build.errors import UserError
from build.score.corruptions.definition import Suite

PRIMITIVES = ("definition", "photometric", "noise", "filters", "geometric", "overlays")
"""Modules of build/score/corruptions/ that the suites are made of."""


def definition(suite: Suite) -> str:
    """Hex checksum of what the suite does: its source, the operations it is made of, the versions of what runs it.

    Two scores of one suite are comparable where this is equal; the cache is keyed by it.
    """
    folder = Path(__file__).parent / "corruptions"
    own = suite.file or folder / f"{suite.name.replace('-', '_')}.py"
    processes = [_source(corruption.process) for corruption in suite.corruptions if corruption.process]
    files = [*(folder / f"{name}.py" for name in PRIMITIVES), *processes, own]
    digest = hashlib.sha256(cv2.__version__.encode())
    for path in files if suite.corruptions else ():
        digest.update(path.read_bytes())
    for needed in sorted({corruption.needs for corruption in suite.corruptions if corruption.needs}):
        if is_installed(needed):
            # It may be imported by another name than it is installed by.
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                digest.update(importlib.metadata.version(needed).encode())
    return digest.hexdigest()


def is_installed(module: str) -> bool:
    """Whether Python finds a module; of a dotted name its package is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _source(module: str) -> Path:
    """The file of a corruption's own process; UserError where Python does not find it."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.origin:
        raise UserError(
            f"A suite names the process {module}, which Python does not find; put its folder on PYTHONPATH."
        )
    return Path(spec.origin)


def content(images: np.ndarray, labels: np.ndarray) -> str:
    """Hex SHA-256 of the images and labels, read block by block."""
    digest = hashlib.sha256(repr((images.shape, "uint8")).encode())
    for start in range(0, len(images), 256):
        digest.update(np.ascontiguousarray(images[start : start + 256]))
    digest.update(np.ascontiguousarray(labels, dtype="<i8"))
    return digest.hexdigest()
