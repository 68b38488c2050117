"""The suite `surroundings`: the same cell among other red cells than its own, in a wider frame, and on one grey.

Where another laboratory's cells lie close together, or its pictures show more of the smear, all but the middle of a picture is
other than at home; some data sets hold cells that were cut out. Here the cell is cut out with what lies near its dark parts, and laid on
a painted field of red cells in its own picture's light, or on a grey. Cells and outlines are formulas: no picture from elsewhere and no
training image takes part.
"""

import cv2
import numpy as np

from build.score.corruptions.definition import Corruption, Suite

CORE, MIDDLE = 0.18, 0.38
"""Radii, in smaller sides: a dark part that reaches into the core is the cell's, as far as it lies within the middle."""
RIM = 0.08
"""How far the cell reaches beyond its dark parts, in smaller sides."""
RED_CELL = 0.16
"""Radius of a red cell at the picture's own scale, in smaller sides."""
RED, GREEN, BLUE = (0.08, 0.35), (0.4, 0.8), (0.8, 1.15)
"""Optical density of red cells, least and most, in red and green light, and in blue as a share of that in green: rose to brick."""


def cut_out(image: np.ndarray) -> np.ndarray:
    """Soft mask (H, W) float32 in 0..1 of the cell in the middle of an (H, W, 3) uint8 image.

    Its dark parts by Otsu's threshold (1979) of the green light, where nuclei are darkest, without those that only lie beside it, such
    as red cells; their convex hull and a rim. Where the core is light, all within the middle.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    core, near = (distance < max(radius * side, 0.75) for radius in (CORE, MIDDLE))
    _, dark = cv2.threshold(image[..., 1].copy(), 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    _, parts = cv2.connectedComponents(dark * near.astype(np.uint8))
    own = np.setdiff1d(parts[core], 0)
    points = cv2.findNonZero(np.isin(parts, own).astype(np.uint8))
    mask = np.zeros((height, width), np.float32)
    if points is None:
        mask[near] = 1
    else:
        cv2.fillConvexPoly(mask, cv2.convexHull(points), 1.0)
        reach = max(1, round(RIM * side))
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return cv2.GaussianBlur(mask, (0, 0), 0.015 * side)


def paint_red_cells(
    shape: tuple[int, int], light: np.ndarray, *, radius: float, coverage: float, depth: float, rng: np.random.Generator
) -> np.ndarray:
    """A field (H, W, 3) float32 of red cells, flat discs with a pale middle that overlap, on `light` (3,) 0..255.

    radius: mean, in pixels; coverage: expected sum of their areas as a share of the picture's, so that 1 - exp(-coverage) of it is
    covered; depth: 1 is as dark as red cells are painted.
    """
    height, width = shape
    density = np.zeros(shape, np.float32)
    red, green, blue = (rng.uniform(*range_) for range_ in (RED, GREEN, BLUE))
    absorbed = np.array((red, green, green * blue))
    # Centres lie up to a radius outside.
    count = round(coverage * (height + 2 * radius) * (width + 2 * radius) / (np.pi * radius**2))
    for _ in range(max(1, count)):
        centre = rng.uniform((-radius, -radius), (width + radius, height + radius))
        axes = radius * rng.uniform(0.85, 1.15, 2)
        angle = rng.uniform(0, 180)
        cell = np.zeros(shape, np.float32)
        pale = np.zeros(shape, np.float32)
        for layer, share in ((cell, 1.0), (pale, rng.uniform(0.3, 0.55))):
            # Sixteenths of a pixel, so that small cells are not all alike.
            place = tuple(np.rint(centre * 16).astype(int).tolist())
            size = tuple(np.rint(axes * share * 16).astype(int).tolist())
            cv2.ellipse(layer, place, size, angle, 0, 360, 1.0, -1, cv2.LINE_8, 4)
        pale = cv2.GaussianBlur(pale, (0, 0), max(0.4, 0.18 * radius))
        density += cell * (1 - rng.uniform(0.3, 0.8) * pale)
    density = cv2.GaussianBlur(density, (0, 0), 0.8)
    return light * np.exp(-depth * density[..., None] * absorbed).astype(np.float32)


def lay_on_grey(image, level, *, rng):
    """The cell, cut out, on one grey; level: its value, give or take 16."""
    grey = np.float32(np.clip(level + rng.uniform(-16, 16), 0, 255))
    return cv2.convertScaleAbs(grey + cut_out(image)[..., None] * (image - grey))


def surround(image, level, *, rng):
    """Lay the cell among red cells: level = (coverage, depth, how many times wider the frame becomes)."""
    coverage, depth, wider = level
    wider **= rng.uniform(0.75, 1)
    height, width = image.shape[:2]
    light = np.percentile(image.reshape(-1, 3), 95, axis=0).astype(np.float32)
    field = paint_red_cells(
        (height, width), light, radius=RED_CELL * min(height, width) / wider, coverage=coverage, depth=depth, rng=rng
    )
    mask, cell = cut_out(image), image.astype(np.float32)
    size = (max(1, round(width / wider)), max(1, round(height / wider)))
    if size != (width, height):
        mask, cell = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (mask, cell))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    place = field[top : top + size[1], left : left + size[0]]
    place += mask[..., None] * (cell - place)
    return cv2.convertScaleAbs(field)


SUITE = Suite(
    "surroundings",
    (
        Corruption(
            "red-cells",
            surround,
            ((0.3, 0.3, 1), (0.5, 0.5, 1), (0.7, 0.7, 1), (0.9, 0.85, 1), (1.1, 1, 1)),
            ("surroundings",),
        ),
        Corruption(
            "wider-frame",
            surround,
            ((0.6, 0.6, 1.2), (0.6, 0.6, 1.4), (0.6, 0.6, 1.6), (0.6, 0.6, 1.85), (0.6, 0.6, 2.2)),
            ("surroundings", "scale"),
        ),
        Corruption("cut-out", lay_on_grey, (224, 176, 120, 60, 0), ("surroundings",)),
    ),
    "The same cells among other red cells, in a wider frame, and cut out on one grey.",
)
