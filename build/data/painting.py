"""Paint one synthetic blood cell: background, red cells, cytoplasm, granules, nucleus, light.

Drawn at twice the size with anti-aliased outlines and averaged down. Lengths in the tables are pixels of a 96-pixel
image and scale with the image. Colours are RGB on a Wright-Giemsa-like stain. `paint` draws its random numbers from the
generator it is given.
"""

from functools import lru_cache

import cv2
import numpy as np

from build.data.kinds import KINDS, Granules, Kind, Range

OVERSAMPLING = 2
SUBPIXEL = 4
"""Bits after the point in coordinates that OpenCV draws at."""

BACKGROUND = np.array((250, 228, 202), np.float32)
BLUISH = np.array((216, 212, 232), np.float32)
BLUISH_SHARE = 0.03
"""Another microscope's light, as among the real cells (453 of 17,092)."""


RED_CELL = (0.16, 0.25, 0.19)
"""Share of red, green and blue light that a red cell takes away."""


class Canvas:
    """The oversampled picture, its scale (canvas pixels a table pixel) and what is drawn once for the whole picture."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng = rng
        self.height, self.width = (side * OVERSAMPLING for side in shape)
        self.scale = min(self.height, self.width) / 96
        self.tint = (rng.normal(0, 7) + rng.normal(0, 5, 3)).astype(np.float32)
        """Shift of all stained colours of this picture."""
        base = BACKGROUND + rng.normal(0, 2, 3).astype(np.float32)
        slope = rng.normal(0, 3, 2).astype(np.float32)
        y, x = np.ogrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        light = (slope[0] * y + slope[1] * x).astype(np.float32) + 1.2 * self.noise(8)
        self.pixels = cv2.convertScaleAbs(cv2.merge([light + channel for channel in base]))

    def noise(self, grain: float) -> np.ndarray:
        """A random window of fixed smooth noise of this grain (canvas pixels): (H, W) float32, mean 0, deviation 1."""
        field = _field(grain, max(self.height, self.width))
        top, left = self.rng.integers(0, len(field) - max(self.height, self.width), 2)
        return field[top : top + self.height, left : left + self.width]

    def uniform(self, limits: Range) -> float:
        """A number within `limits`."""
        return float(self.rng.uniform(*limits))

    def points(self, xy: np.ndarray) -> np.ndarray:
        """Canvas coordinates (n, 2) as OpenCV's fixed-point integers."""
        return np.round(xy * (1 << SUBPIXEL)).astype(np.int32)

    def mask(self, outline: np.ndarray) -> np.ndarray:
        """Filled polygon (n, 2) as an anti-aliased mask (H, W) uint8."""
        mask = np.zeros((self.height, self.width), np.uint8)
        cv2.fillPoly(mask, [self.points(outline)], 255, cv2.LINE_AA, SUBPIXEL)
        return mask

    def cover(self, mask: np.ndarray, colour: np.ndarray, shade: np.ndarray, opacity: float = 1.0) -> None:
        """Lay `colour` (3,) plus `shade` (H, W) grey levels over the picture where `mask` (H, W) uint8 says."""
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            return
        area = np.s_[y : y + h, x : x + w]
        below = self.pixels[area].astype(np.float32)
        alpha = cv2.merge([mask[area]] * 3) * np.float32(opacity / 255)
        above = cv2.merge([np.maximum(shade[area] + channel, 0) for channel in colour])
        self.pixels[area] = cv2.convertScaleAbs(below + alpha * (above - below))


@lru_cache(maxsize=16)
def _field(grain: float, side: int) -> np.ndarray:
    """Fixed noise field, larger than the picture; smoothed over `grain` pixels, float32."""
    white = np.random.default_rng(int(grain * 100)).normal(size=(side + 192, side + 192)).astype(np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), grain)
    return (smooth - smooth.mean()) / smooth.std()


def paint(name: str, shape: tuple[int, int], *, rng: np.random.Generator) -> np.ndarray:
    """One cell of the kind `name` (a key of KINDS) as (*shape, 3) uint8 RGB."""
    kind = KINDS[name]
    canvas = Canvas(shape, rng)
    radius = canvas.uniform(kind.radius) * canvas.scale
    middle = np.array([canvas.width, canvas.height]) / 2 + rng.normal(0, 2.5 * canvas.scale, 2)
    _red_cells(canvas, middle, radius)
    if rng.random() < 0.25:
        _platelet(canvas, canvas.rng.uniform(0, [canvas.width, canvas.height]), canvas.uniform((3, 7)) * canvas.scale)
    if kind.nucleus == "none":
        _platelet(canvas, middle, radius)
        if rng.random() < 0.2:
            turn = canvas.uniform((0, 2 * np.pi))
            beside = middle + 1.7 * radius * np.array([np.cos(turn), np.sin(turn)])
            _platelet(canvas, beside, radius * canvas.uniform((0.4, 0.9)))
    else:
        _white_cell(canvas, kind, middle, radius)
    return _photograph(canvas, shape)


def outline(middle: np.ndarray, radius: float, rough: float, *, rng: np.random.Generator, waves: int = 6) -> np.ndarray:
    """Closed outline around `middle`, (72, 2): a circle with `waves` - 1 harmonics that fall off with their order."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    order = np.arange(2, waves + 1)
    size = rng.normal(0, rough, len(order)) / np.sqrt(order - 1)
    phase = rng.uniform(0, 2 * np.pi, len(order))
    r = radius * (1 + size @ np.cos(order[:, None] * angle + phase[:, None]))
    return middle + np.stack([r * np.cos(angle), r * np.sin(angle)], 1)


def _red_cells(canvas: Canvas, middle: np.ndarray, radius: float) -> None:
    """Discs with a pale middle that take light away, so that overlaps are darker."""
    rng = canvas.rng
    size = canvas.uniform((14, 18)) * canvas.scale
    strength = canvas.uniform((0.75, 1.2))
    absorbed = (strength * np.array(RED_CELL) + rng.normal(0, 0.012, 3)).astype(np.float32)
    pallor = canvas.uniform((0.55, 1.05))
    drawn = np.empty((0, 2))
    for _ in range(rng.integers(3, 20)):
        at = rng.uniform(-0.1, 1.1, 2) * (canvas.width, canvas.height)
        a, b = size * rng.uniform(0.85, 1.15), size * rng.uniform(0.8, 1.1)
        # In a smear most cells lie beside each other; some overlap.
        apart = 1.75 if rng.random() < 0.85 else 0.9
        if np.hypot(*(at - middle)) < radius + 0.55 * size or (np.hypot(*(drawn - at).T) < apart * size).any():
            continue
        drawn = np.vstack([drawn, at])
        reach = max(a, b) + 2
        x0, x1 = (int(v) for v in np.clip([at[0] - reach, at[0] + reach], 0, canvas.width))
        y0, y1 = (int(v) for v in np.clip([at[1] - reach, at[1] + reach], 0, canvas.height))
        if x1 <= x0 or y1 <= y0:
            continue
        turn = rng.uniform(0, np.pi)
        y, x = np.ogrid[y0 - at[1] : y1 - at[1] : 1, x0 - at[0] : x1 - at[0] : 1]
        x, y = x[:, : x1 - x0].astype(np.float32), y[: y1 - y0].astype(np.float32)
        t2 = ((np.cos(turn) * x + np.sin(turn) * y) / a) ** 2 + ((np.cos(turn) * y - np.sin(turn) * x) / b) ** 2
        disc = np.interp(t2, *_profile(round(pallor * rng.uniform(0.7, 1.2), 2), round(size))).astype(np.float32)
        part = canvas.pixels[y0:y1, x0:x1]
        part[:] = (part * (1 - disc[..., None] * absorbed)).astype(np.uint8)


@lru_cache(maxsize=512)
def _profile(pallor: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Absorption of a red cell over its squared relative radius: pale middle, thick rim, soft edge; never below 0, where
    light would be added and pixels would wrap.
    """
    t = np.linspace(0, 1.15, 64)
    body = (1 - pallor * np.exp(-((t / 0.5) ** 2))) * (1 + 0.35 * np.exp(-(((t - 0.88) / 0.12) ** 2)))
    return t**2, np.maximum(body, 0) * np.clip((1 - t) * size / 3 + 0.5, 0, 1)


def _white_cell(canvas: Canvas, kind: Kind, middle: np.ndarray, radius: float) -> None:
    rng = canvas.rng
    edge = outline(middle, radius, kind.rough * rng.uniform(0.4, 1.6), rng=rng)
    colour = np.array(kind.cytoplasm, np.float32) + canvas.tint + rng.normal(0, 7, 3).astype(np.float32)
    body = canvas.mask(edge)
    canvas.cover(body, colour, kind.mottle * canvas.noise(2.0 * canvas.scale / 2), rng.uniform(0.82, 0.97))
    cv2.polylines(canvas.pixels, [canvas.points(edge)], True, tuple(map(float, colour - 26)), 1, cv2.LINE_AA, SUBPIXEL)
    nucleus = _nucleus(canvas, kind, middle, radius)
    for granules in kind.granules:
        if not granules.over:
            _dots(canvas, granules, edge, middle)
    for _ in range(rng.integers(0, kind.vacuoles + 1)):
        at = _inside(edge, middle, rng.uniform(0.5, 0.92, 1), rng)[0]
        _dot(canvas, at, canvas.uniform((1.0, 2.4)) * canvas.scale, np.array((226, 216, 226)) + canvas.tint)
    stain = np.array(kind.stain, np.float32) + canvas.tint + rng.normal(0, 6, 3).astype(np.float32)
    clumps = 0.6 * canvas.noise(1.3 * canvas.scale / 2) + 0.8 * np.maximum(canvas.noise(2.6 * canvas.scale / 2), -0.5)
    inner = cv2.stackBlur(nucleus, (2 * round(2 * canvas.scale) + 1,) * 2).astype(np.float32)
    canvas.cover(nucleus, stain, kind.chromatin * clumps + (inner - 200) * 0.12, 0.97)
    for granules in kind.granules:
        if granules.over:
            _dots(canvas, granules, edge, middle)


def _nucleus(canvas: Canvas, kind: Kind, middle: np.ndarray, radius: float) -> np.ndarray:
    """Mask (H, W) uint8 of the nucleus, with rounded joints between its parts."""
    rng = canvas.rng
    reach = radius * canvas.uniform(kind.share)
    turn = rng.uniform(0, 2 * np.pi)
    ahead = np.array([np.cos(turn), np.sin(turn)])
    centre = middle + ahead * (radius - reach) * kind.off_centre * rng.uniform(0, 1.2)
    if kind.nucleus == "disc":
        return canvas.mask(outline(centre, reach, 0.035, rng=rng, waves=5))
    if kind.nucleus == "kidney":
        mask = canvas.mask(outline(centre, reach, 0.05, rng=rng, waves=4))
        depth = rng.uniform(0.0, 0.75)
        bite = centre - ahead * reach * (1.45 - 0.6 * depth)
        cv2.fillPoly(mask, [canvas.points(outline(bite, reach * 0.55, 0.08, rng=rng))], 0, cv2.LINE_AA, SUBPIXEL)
        return _rounded(mask, 1.5 * canvas.scale)
    return _lobes(canvas, kind, centre, reach, turn)


def _lobes(canvas: Canvas, kind: Kind, centre: np.ndarray, reach: float, turn: float) -> np.ndarray:
    """Lobes strung along an arc and joined by bridges; now and then an unsegmented band."""
    rng = canvas.rng
    count = int(rng.integers(kind.lobes[0], kind.lobes[1] + 1))
    mask = np.zeros((canvas.height, canvas.width), np.uint8)
    span = rng.uniform(0.8, 1.5) * np.pi if count > 2 else rng.uniform(0.75, 1.1) * np.pi
    angle = turn + np.linspace(-span / 2, span / 2, max(count, 2)) + rng.normal(0, 0.12, max(count, 2))
    size = reach * {1: 0.62, 2: 0.47, 3: 0.38, 4: 0.34, 5: 0.31}[count]
    arc = reach - size
    if count == 1:
        return _rounded(canvas.mask(outline(centre, reach * 0.9, 0.12, rng=rng)), 1.5 * canvas.scale)
    spots = centre + arc * np.stack([np.cos(angle), np.sin(angle)], 1)
    fine = turn + np.linspace(-span / 2, span / 2, 24)
    string = centre + arc * np.stack([np.cos(fine), np.sin(fine)], 1)
    band = count >= 3 and rng.random() < 0.25
    thick = size * (1.35 if band else rng.uniform(0.3, 0.6))
    cv2.polylines(mask, [canvas.points(string)], False, 255, max(1, round(thick)), cv2.LINE_AA, SUBPIXEL)
    if not band:
        for spot in spots:
            cv2.fillPoly(
                mask,
                [canvas.points(outline(spot, size * rng.uniform(0.85, 1.15), 0.1, rng=rng))],
                255,
                cv2.LINE_AA,
                SUBPIXEL,
            )
    return _rounded(mask, 1.2 * canvas.scale)


def _rounded(mask: np.ndarray, grain: float) -> np.ndarray:
    """The mask with corners and joints rounded over `grain` pixels; its edge stays about two pixels soft."""
    soft = cv2.stackBlur(mask, (2 * round(1.5 * grain) + 1,) * 2)
    return cv2.convertScaleAbs(np.clip(soft.astype(np.int16) - 96, 0, 64), alpha=255 / 64)


def _inside(edge: np.ndarray, middle: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points between the middle (depth 0) and the outline (depth 1), (n, 2)."""
    spots = edge[rng.integers(0, len(edge), len(depth))]
    return middle + depth[:, None] * (spots - middle)


def _dots(canvas: Canvas, granules: Granules, edge: np.ndarray, middle: np.ndarray) -> None:
    rng = canvas.rng
    count = int(rng.integers(granules.count[0], granules.count[1] + 1))
    at = canvas.points(_inside(edge, middle, 0.95 * np.sqrt(rng.random(count)), rng)).tolist()
    radius = np.round(rng.uniform(*granules.radius, count) * canvas.scale * (1 << SUBPIXEL)).astype(int).tolist()
    colour = np.array(granules.colour) + canvas.tint + rng.normal(0, 10, (count, 1)) + rng.normal(0, 4, (count, 3))
    for xy, r, rgb in zip(at, radius, colour.tolist(), strict=True):
        cv2.circle(canvas.pixels, xy, r, rgb, -1, cv2.LINE_AA, SUBPIXEL)


def _dot(canvas: Canvas, at: np.ndarray, radius: float, colour: np.ndarray) -> None:
    x, y = canvas.points(at).tolist()
    cv2.circle(canvas.pixels, (x, y), round(radius * (1 << SUBPIXEL)), colour.tolist(), -1, cv2.LINE_AA, SUBPIXEL)


def _platelet(canvas: Canvas, middle: np.ndarray, radius: float) -> None:
    kind = KINDS["platelet"]
    rng = canvas.rng
    edge = outline(middle, radius, kind.rough, rng=rng, waves=9)
    colour = np.array(kind.cytoplasm, np.float32) + canvas.tint + rng.normal(0, 6, 3).astype(np.float32)
    canvas.cover(canvas.mask(edge), colour, kind.mottle * canvas.noise(1.3 * canvas.scale / 2), rng.uniform(0.65, 0.95))
    for granules in kind.granules:
        share = min(1.0, radius / (10 * canvas.scale))
        few = Granules(
            (max(3, int(granules.count[0] * share)), max(4, int(granules.count[1] * share))),
            granules.radius,
            granules.colour,
        )
        _dots(canvas, few, middle + 0.9 * (edge - middle), middle)


def _photograph(canvas: Canvas, shape: tuple[int, int]) -> np.ndarray:
    """Average down, then light, focus and sensor: what differs between microscopes and not between kinds."""
    rng = canvas.rng
    image = cv2.resize(canvas.pixels, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < BLUISH_SHARE:
        image *= BLUISH / BACKGROUND
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.8) * canvas.scale / OVERSAMPLING)
    image *= rng.normal(1, 0.015, 3).astype(np.float32) * np.float32(rng.normal(1, 0.02))
    image += rng.normal(0, rng.uniform(0.8, 2.5), (*shape, 1)).astype(np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
