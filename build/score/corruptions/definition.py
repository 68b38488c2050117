"""What a corruption and a suite are: a name, a function, five levels, and where they come from.

A user adds a suite with one small Python file that defines `SUITE`, and names the file where a suite's name is expected
(`python -m build score dist/submission.zip --suites basic,my_suite.py`):

    from build.score.corruptions.definition import Corruption, Suite

    def tint(image, strength, *, rng):
        channel = rng.integers(3)
        tinted = image.astype("float32")
        tinted[..., channel] += 255 * strength
        return tinted.clip(0, 255).astype("uint8")

    SUITE = Suite("tints", (Corruption("tint", tint, (0.05, 0.1, 0.2, 0.3, 0.4), operations=("channel shift",)),))
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEVERITIES = (1, 2, 3, 4, 5)
PLAIN = re.compile(r"[A-Za-z0-9_-]+")
Apply = Callable[..., np.ndarray]
"""apply(image, level, *, rng) -> image, both uint8 (H, W, 3) RGB; the input is never written to."""


@dataclass(frozen=True)
class Corruption:
    """One kind of damage at five levels. Calling it applies one severity to one image."""

    name: str
    apply: Apply | None
    """None: the corruption runs in a process of its own (`process`)."""
    levels: tuple
    """The parameter of `apply` at severity 1..5, damage growing."""
    operations: tuple[str, ...] = ()
    """What it does in plain words ("blur", "rotation"), compared with what a recipe trained with."""
    source: str = ""
    """Paper or package, with its section or table."""
    process: str = ""
    """Module that is run as `python -m MODULE JOBS`, because its imports are slow or heavy; JOBS is JSON:
    [[IMAGES.npy, OUT.npy, level, seed], ...]."""
    needs: str = ""
    """Package without which the process cannot run; the corruption is left out, and said to be, where it is absent."""

    def __post_init__(self):
        assert len(self.levels) == len(SEVERITIES), (
            f"{self.name} needs {len(SEVERITIES)} levels, has {len(self.levels)}"
        )
        assert PLAIN.fullmatch(self.name), f"{self.name!r} becomes part of file names: letters, digits, - and _ only"
        assert (self.apply is None) == bool(self.process)

    def __call__(self, image: np.ndarray, severity: int, *, rng: np.random.Generator) -> np.ndarray:
        """Corrupt one uint8 (H, W, 3) image; the result has the same shape and dtype."""
        corrupted = self.apply(image, self.levels[severity - 1], rng=rng)
        assert isinstance(corrupted, np.ndarray), f"{self.name}: the result is a {type(corrupted).__name__}, no array"
        assert corrupted.shape == image.shape, f"{self.name}: {image.shape} became {corrupted.shape}"
        assert corrupted.dtype == np.uint8, f"{self.name}: pixels became {corrupted.dtype}"
        return corrupted


@dataclass(frozen=True)
class Suite:
    """A table of corruptions, each judged at severities 1..5; an empty table means the images as they are."""

    name: str
    corruptions: tuple[Corruption, ...]
    about: str = ""
    """One sentence for the scorecard."""
    file: Path | None = None
    """The file that defines it, where that is not one of this package."""

    def __post_init__(self):
        names = [corruption.name for corruption in self.corruptions]
        assert len(set(names)) == len(names), f"suite {self.name}: two corruptions bear one name"
        assert PLAIN.fullmatch(self.name), f"{self.name!r} becomes part of file names: letters, digits, - and _ only"

    @property
    def conditions(self) -> tuple[tuple[str, int], ...]:
        """Every (corruption's name, severity) in a fixed order; without corruptions ("none", 0), the images as they are."""
        pairs = tuple((corruption.name, severity) for corruption in self.corruptions for severity in SEVERITIES)
        return pairs or (("none", 0),)
