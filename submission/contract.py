"""What the competition asks of a submission: classes, image shape, pixel range.

For another competition of the same kind this is the file to change first. It imports numpy only, so that a recipe,
a scorecard or a checker can read it without waiting for a framework.
"""

from __future__ import annotations

import numpy as np

COMPETITION = "blood-cells"
CLASSES = (
    "Basophil",
    "Eosinophil",
    "Erythroblast",
    "Immature granulocytes",
    "Lymphocyte",
    "Monocyte",
    "Neutrophil",
    "Platelet",
)
IMAGE_SHAPE = (96, 96, 3)
"""Height, width, channels (RGB) in pixels."""
PIXEL_MAX = 255
"""Pixels run from 0 to this, as uint8 or as float."""


def check_images(images: np.ndarray) -> np.ndarray:
    """Return `images` as an array if it is (n, *IMAGE_SHAPE) of numbers with n >= 0; raise ValueError otherwise.

    Values are not touched (no copy): the predictor converts batch by batch.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != IMAGE_SHAPE:
        raise ValueError(
            f"Model.predict expects images of shape (n, {', '.join(map(str, IMAGE_SHAPE))}), got {images.shape}; "
            "pass one array with the images along its first axis."
        )
    if images.dtype.kind not in "uif":
        raise ValueError(
            f"Model.predict expects uint8 or float pixels in 0..{PIXEL_MAX}, got {images.dtype}; convert them first."
        )
    return images
