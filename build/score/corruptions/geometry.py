"""The suite `geometry`: five movements, each with four ways to fill the border that they uncover."""

from build.score.corruptions import geometric
from build.score.corruptions.definition import Corruption, Suite

MOVEMENTS = (
    (geometric.rotation, (9, 18, 27, 36, 45)),
    (geometric.translation, (0.08, 0.16, 0.24, 0.32, 0.4)),
    (geometric.scale, (1.15, 1.3, 1.5, 1.75, 2.1)),
    (geometric.shear, (8, 16, 24, 32, 40)),
    (geometric.perspective, (0.04, 0.08, 0.12, 0.17, 0.22)),
)
"""(movement, levels): degrees, shares of the side, a factor, degrees, shares of the sides."""

SUITE = Suite(
    "geometry",
    tuple(
        Corruption(f"{kind.__name__}-{border}", geometric.Movement(kind, border), levels, (kind.__name__,))
        for kind, levels in MOVEMENTS
        for border in geometric.BORDERS
    ),
    "Rotation, translation, scale, shear and perspective with black, repeated, mirrored and wrapped borders.",
)
