"""The pretrained weights that ship with the kit, so that nobody needs to pretrain: ConvNeXt in float16, from drawn images.

path = find("atto")       # build/pretrain/weights/convnext-atto.npz, or None
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "weights"


def find(size: str) -> Path | None:
    """The weights file of a ConvNeXt size; None where none was made."""
    path = FOLDER / f"convnext-{size}.npz"
    return path if path.is_file() else None


def sizes() -> list[str]:
    """The sizes that have weights."""
    return sorted(path.stem.removeprefix("convnext-") for path in FOLDER.glob("convnext-*.npz"))
