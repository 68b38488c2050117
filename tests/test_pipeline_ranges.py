"""That every range of a recipe reaches the images: a range of nothing changes less than a wide one."""

import numpy as np
import pytest
from test_pipeline import CELLS, augmented, only

RANGES = {
    "rotation": ("geometry_probability", 180.0),
    "zoom": ("geometry_probability", 0.5),
    "translation": ("geometry_probability", 0.3),
    "shear": ("geometry_probability", 15.0),
    "stain": ("stain_probability", 0.3),
    "channel_shift": ("channel_shift_probability", 0.2),
    "texture_strength": ("texture_probability", 0.8),
    "veil_opacity": ("veil_probability", 0.8),
    "degrade_strength": ("degrade_probability", 0.8),
    "cutout_size": ("cutout_probability", 0.5),
    "augmix_severity": ("augmix_probability", 9.0),
    "copies_severity": ("balance_share", 9.0),
}
"""Field of the recipe -> the field that turns it on, and a wide range."""


@pytest.mark.parametrize("field", RANGES)
def test_a_range_of_the_recipe_reaches_the_images(field):
    probability, wide = RANGES[field]
    still = dict.fromkeys(("rotation", "zoom", "translation", "shear"), 0.0)
    copy = np.full(64, field.startswith("copies"))
    changed = []
    for value in (0.0, wide):
        x, _ = augmented(only(**still | {probability: 1.0, field: value}), copy=copy)
        changed.append(np.abs(x.astype(int) - CELLS).mean())
    assert changed[0] < 0.5 * changed[1]
