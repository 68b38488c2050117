"""A suite in a Python file of the user's own (corruptions/definition.py shows one): whatever it does wrong becomes one sentence."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from build.errors import UserError
from build.score.corruptions.definition import Corruption, Suite
from build.score.outcome import one_line


def read(path: Path) -> Suite:
    """The SUITE that the Python file at `path` defines; UserError where it fails or defines none."""
    spec = importlib.util.spec_from_file_location(f"user_suite_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up there what their annotations name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may fail in any way
        raise UserError(f"The suite file {path} fails on import: {type(error).__name__}: {error}.") from error
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        raise UserError(f"The suite file {path} defines no SUITE of type build.score.corruptions.definition.Suite.")
    for one in suite.corruptions:
        if isinstance(one.operations, str):  # a forgotten comma
            raise UserError(
                f'The corruption {one.name!r} of {path} has operations {one.operations!r}; write ("{one.operations}",), with a comma.'
            )
    return Suite(suite.name, suite.corruptions, suite.about, path)


def guarded(path: Path, corruption: Corruption) -> Callable[..., np.ndarray]:
    """The corruption of the file at `path`, called alike: (image (H, W, 3) uint8, severity, *, rng) -> a new image of that form.

    UserError where it fails or does not keep to its form.
    """

    def call(image: np.ndarray, severity: int, *, rng: np.random.Generator) -> np.ndarray:
        # A function that writes to its input would change the test images for all that follow.
        image = image.view()
        image.flags.writeable = False
        try:
            return corruption(image, severity, rng=rng)
        except (Exception, SystemExit) as error:
            raise UserError(
                f"The corruption {corruption.name!r} of {path} fails at severity {severity} "
                f"({type(error).__name__}: {one_line(str(error))}); it gets an image (H, W, 3) uint8 that it must not "
                "write to, and returns a new one of the same shape and dtype."
            ) from error

    return call
