"""What a bundle shows to people: its logo, its overview and its terms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from build.score.drawing import png
from submission.contract import CLASSES


def logo() -> bytes:
    """A PNG of a cell: a pale disc with a dark nucleus."""
    side = 64
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    pixels = np.full((side, side, 3), 255, np.uint8)
    pixels[np.hypot(x, y) < 0.45 * side] = (236, 208, 226)
    pixels[np.hypot(x + 0.05 * side, y) < 0.25 * side] = (110, 62, 140)
    return png(pixels)


OVERVIEW = """# {title}

Predict the class of each image. Upload a zip with `model.py` at its root (not in a folder) and the weights beside it:

    class Model:
        def __init__(self): ...          # no arguments; open weights by Path(__file__).parent
        def predict(self, X): ...        # X: (n, {height}, {width}, {channels}) numbers 0..255; returns (n,) integers 0..{last}

Classes: {classes}.

No file is kept between two runs; do not rely on a network. A file called `metadata` (it may be empty) at the root of
the zip keeps the weights from being copied into the prediction output.
"""
TERMS = "# Terms\n\nOne account a team. The test images and labels are not to be looked for.\n"


def pages(folder: Path, title: str, shape: Sequence[int]) -> dict:
    """Write logo and pages; returns the part of competition.yaml that names them."""
    (folder / "logo.png").write_bytes(logo())
    names = ", ".join(f"{number} {name}" for number, name in enumerate(CLASSES))
    height, width, channels = shape
    text = OVERVIEW.format(
        title=title, height=height, width=width, channels=channels, last=len(CLASSES) - 1, classes=names
    )
    (folder / "overview.md").write_text(text)
    (folder / "terms.md").write_text(TERMS)
    return {
        "title": title,
        "image": "logo.png",
        "terms": "terms.md",
        "pages": [{"title": "Overview", "file": "overview.md"}],
    }
