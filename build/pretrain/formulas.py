"""Images drawn by formulas: dead leaves of random shapes, each filled with a texture, a gradient or a plain colour.

    image = leaves(256, rng=np.random.default_rng(0))      # (256, 256, 3) uint8
    crops = cut(image, 8, 96, rng=rng)                     # (8, 96, 96, 3)

The dead leaves model (Lee, Mumford and Huang 2001) has what photographs have whatever they show: sharp occlusions at every scale, with
sizes that follow a power law. Networks that learn from such images come far (Baradad et al. 2021, "Learning to see by looking at noise";
Kataoka et al. 2020, "Pre-training without natural images"), and nothing of them was taken from anybody's pictures.
"""

import cv2
import numpy as np

SMALLEST, LARGEST = 0.03, 0.5
"""Radius of a shape, as a share of the canvas' side."""
LEAVES = (40, 160)
"""Fewest and most shapes of a canvas; what they leave open shows the ground."""
ZOOM = (0.18, 0.9)
"""Side of a crop as a share of the canvas' side, before it is scaled to its own."""


def leaves(side: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw one canvas, (side, side, 3) uint8 in 0..255."""
    canvas = _filling(side, side, rng)
    count = int(rng.integers(*LEAVES))
    # Inverse of the distribution function of a density proportional to r**-2: of r**-3, crops would show mostly the ground.
    low, high = 1 / (SMALLEST * side), 1 / (LARGEST * side)
    radii = 1 / (low + rng.random(count) * (high - low))
    for radius in np.sort(radii)[::-1] if rng.random() < 0.5 else radii:
        _leaf(canvas, float(radius), rng)
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.4, 1.5)))
    return canvas


def cut(canvas: np.ndarray, count: int, side: int, *, rng: np.random.Generator) -> np.ndarray:
    """`count` views of a canvas, turned and scaled at random: (count, side, side, 3) uint8."""
    full = canvas.shape[0]
    out = np.empty((count, side, side, 3), np.uint8)
    for view in out:
        scale = full * float(np.exp(rng.uniform(*np.log(ZOOM)))) / side
        turn, mirror = rng.uniform(0, 2 * np.pi), rng.choice((-1.0, 1.0))
        middle = rng.uniform(0.3, 0.7, 2) * full
        turned = scale * np.array([[np.cos(turn) * mirror, -np.sin(turn)], [np.sin(turn) * mirror, np.cos(turn)]])
        offset = middle - turned @ np.full(2, (side - 1) / 2)
        # Where a crop is smaller than its source, areas are averaged first: a warp alone would leave stripes.
        source, shrunk = canvas, 1.0
        if scale > 1.5:
            shrunk = 1 / scale
            source = cv2.resize(canvas, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
        matrix = np.column_stack((turned * shrunk, offset * shrunk))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(source, matrix, (side, side), dst=view, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return out


def _leaf(canvas: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    side = canvas.shape[0]
    outline = _outline(radius, rng) + rng.uniform(-0.1, 1.1, 2) * side
    points = np.round(outline).astype(np.int32)
    left, top = np.clip(points.min(0), 0, side)
    right, bottom = np.clip(points.max(0) + 1, 0, side)
    if right - left < 2 or bottom - top < 2:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(mask, [points - (left, top)], 255)
    window = canvas[top:bottom, left:right]
    cv2.copyTo(_filling(bottom - top, right - left, rng), mask, window)
    if rng.random() < 0.3:
        edge = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.polylines(window, [points - (left, top)], True, edge, int(rng.integers(1, 4)), cv2.LINE_AA)


def _outline(radius: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) points about the origin: an ellipse, a polygon, a star, or a blob of a few waves."""
    kind = rng.integers(4)
    corners = int(rng.integers(3, 8)) if kind == 1 else int(rng.integers(4, 10)) * 2 if kind == 2 else 48
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = np.ones(corners)
    if kind == 1:
        reach = rng.uniform(0.5, 1.0, corners)
    elif kind == 2:
        reach[::2] = rng.uniform(0.3, 0.8)
    elif kind == 3:
        waves = np.arange(2, 7)
        heights, shifts = rng.normal(0, 0.5, 5) / waves, rng.uniform(0, 2 * np.pi, 5)
        reach = np.maximum(0.2, 1 + (heights * np.cos(angles[:, None] * waves + shifts)).sum(1))
    points = radius * reach[:, None] * np.column_stack((np.cos(angles), np.sin(angles)))
    points[:, 0] *= rng.uniform(0.3, 1.0)
    turn = rng.uniform(0, 2 * np.pi)
    return points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def _filling(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A field of one kind over a palette of two or three colours, (height, width, 3) uint8."""
    kind = rng.choice(4, p=(0.25, 0.35, 0.2, 0.2))
    colours = rng.integers(0, 256, (3, 3)).astype(np.float32)
    if rng.random() < 0.5:  # related colours, as a material's are
        colours = colours[:1] + rng.normal(0, 35, (3, 3)).astype(np.float32)
    if kind == 0:
        plain = np.clip(colours[0], 0, 255).astype(np.uint8)
        return np.full((height, width, 3), plain, np.uint8)
    field = (_noise, _waves, _slope)[kind - 1](height, width, rng)
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, (0, 0.5, 1), colours[:, channel]) for channel in range(3)], -1)
    return np.clip(table, 0, 255).astype(np.uint8)[field]


def _noise(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of a few octaves, (height, width) uint8; a steep threshold makes spots of it at times."""
    field = np.zeros((height, width), np.float32)
    grain, weight = int(2 ** rng.uniform(1, 5)), float(rng.uniform(0.3, 0.9))
    share = 1.0
    for _ in range(3):
        shape = max(2, height // grain), max(2, width // grain)
        octave = rng.standard_normal(shape, dtype=np.float32)
        field += share * cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC)
        grain, share = max(1, grain // 2), share * weight
    return _levels(field * (4 if rng.random() < 0.3 else 1))


def _waves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes or a check, straight or bent, (height, width) uint8."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    turn, period = rng.uniform(0, np.pi), 2 ** rng.uniform(1.5, 5.5)
    along = rows * np.sin(turn) + columns * np.cos(turn)
    across = columns * np.sin(turn) - rows * np.cos(turn)
    if rng.random() < 0.4:
        along = along + rng.uniform(0, period) * np.sin(across * (2 * np.pi / 2 ** rng.uniform(3, 6)))
    field = np.sin(along * (2 * np.pi / period))
    if rng.random() < 0.3:
        field = field * np.sin(across * (2 * np.pi / period))
    return _levels(field * (8 if rng.random() < 0.4 else 1.2))


def _slope(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A gradient, straight or round, (height, width) uint8."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    y, x = rng.uniform(-0.5, 1.5, 2) * (height, width)
    if rng.random() < 0.5:
        field = np.hypot(rows - y, columns - x)
    else:
        turn = rng.uniform(0, 2 * np.pi)
        field = rows * np.sin(turn) + columns * np.cos(turn)
    spread = max(float(field.max() - field.min()), 1e-3)
    return ((field - field.min()) * (255 / spread)).astype(np.uint8)


def _levels(field: np.ndarray) -> np.ndarray:
    return (np.clip(field * 0.35 + 0.5, 0, 1) * 255).astype(np.uint8)
