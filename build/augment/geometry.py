"""Affine geometry: matrices that compose, and one warp that applies what they composed to.

A matrix is (2, 3): it maps a pixel of the result to the place in the source that it shows, both in pixels measured from
the image's centre. So a chain "first, then" composes to `first` applied after `then`, and a warp never needs an
inverse. Everything is vectorised over leading axes; only `warp` and `shift` touch pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# Batches are augmented by several threads that release the GIL: OpenCV's own pool would only make them fight for the
# cores.
cv2.setNumThreads(1)

BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "wrap": cv2.BORDER_WRAP,
}
BORDER_SHARES = {"constant": 0.4, "reflect": 0.35, "replicate": 0.15, "wrap": 0.1}
"""How often border "any" draws each mode: nobody knows what a hidden set fills its corners with."""


Place = tuple[float, float]
"""Where something lies in an image: pixels to the right of the middle, and below it."""
MIDDLE: Place = (0.0, 0.0)
REACH = 0.45
"""How far from the middle a warp may put the object, as a share of the side."""


def matrices(angle=0.0, shear_x=0.0, shear_y=0.0, shift_x=0.0, shift_y=0.0, scale_x=1.0, scale_y=1.0) -> np.ndarray:
    """Matrices (..., 2, 3) float64 of elementary transforms; arguments broadcast.

    angle in radians, shear as pixels a pixel, shift in pixels (the place shown moves by it), scale > 1 enlarges, < 0
    mirrors. Angle and shear are meant one at a time (A = rotation + shear off the diagonal), divided by the scale.
    """
    angle, shear_x, shear_y, shift_x, shift_y, scale_x, scale_y = np.broadcast_arrays(
        angle, shear_x, shear_y, shift_x, shift_y, scale_x, scale_y
    )
    result = np.empty((*angle.shape, 2, 3))
    cos, sin = np.cos(angle), np.sin(angle)
    result[..., 0, 0] = cos / scale_x
    result[..., 0, 1] = (sin + shear_x) / scale_x
    result[..., 0, 2] = shift_x
    result[..., 1, 0] = (shear_y - sin) / scale_y
    result[..., 1, 1] = cos / scale_y
    result[..., 1, 2] = shift_y
    return result


def compose(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """The one matrix (..., 2, 3) that does `first` and `then` in that order."""
    result = first[..., :2] @ then
    result[..., 2] += first[..., 2]
    return result


def to_pixels(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Centred matrices (..., 2, 3) as OpenCV takes them: coordinates from the centre of the top left pixel."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    result = matrix.copy()
    result[..., 2] += centre - matrix[..., :2] @ centre
    return result


def keep_centre(matrix: np.ndarray, height: int, width: int, *, centre: Place = MIDDLE) -> tuple[np.ndarray, Place]:
    """The centred (2, 3) matrix with its shift cut so that the object lands within REACH of the side from the middle;
    and where it lands.

    Shifts and shears of several steps add up, and a picture without its object teaches a wrong label. `centre` is where
    the object lies in the source: in the middle, unless an earlier warp moved it.
    """
    (a, b, tx), (c, d, ty) = matrix.tolist()
    determinant = a * d - b * c
    from_x, from_y = centre[0] - tx, centre[1] - ty
    x, y = (d * from_x - b * from_y) / determinant, (a * from_y - c * from_x) / determinant
    kept = min(max(x, -REACH * width), REACH * width), min(max(y, -REACH * height), REACH * height)
    if kept == (x, y):
        return matrix, kept
    tx, ty = centre[0] - a * kept[0] - b * kept[1], centre[1] - c * kept[0] - d * kept[1]
    return np.array([[a, b, tx], [c, d, ty]]), kept


def warp(
    image: np.ndarray, matrix: np.ndarray, *, border: str, fill=(0, 0, 0), out: np.ndarray | None = None
) -> np.ndarray:
    """Bilinear warp of an (H, W, 3) uint8 image by a centred matrix; `fill` colours what lies outside under border
    "constant".

    `out` may be `image` itself. Mirrors and the identity are exact copies.
    """
    height, width = image.shape[:2]
    (a, b, tx), (c, d, ty) = matrix.tolist()
    if b == c == tx == ty == 0 and abs(a) == abs(d) == 1:
        if a == d == 1:
            return copy(image, out)
        return copy(cv2.flip(image, -1 if a == d else (1 if a < 0 else 0)), out)
    # Four channels: OpenCV's warp gathers whole pixels then; with both conversions 33 us against 52 us at 96x96.
    padded = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    padded = cv2.warpAffine(
        padded,
        to_pixels(matrix, height, width),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=BORDERS[border],
        borderValue=(*fill, 0),
    )
    return cv2.cvtColor(padded, cv2.COLOR_RGBA2RGB, dst=out)


def shift(image: np.ndarray, x: int, y: int, out: np.ndarray) -> None:
    """Write `image` shifted by whole pixels into `out`, black outside: out[r, c] = image[r + y, c + x]."""
    height, width = image.shape[:2]
    if abs(x) >= width or abs(y) >= height:
        out.fill(0)
        return
    seen = image[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    cv2.copyMakeBorder(seen, max(0, -y), max(0, y), max(0, -x), max(0, x), cv2.BORDER_CONSTANT, dst=out)


def copy(image: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """`image` itself where no `out` is given or it is the same array, else `out` holding a copy."""
    if out is None or out is image:
        return image
    np.copyto(out, image)
    return out


@dataclass(frozen=True)
class Borders:
    """What lies outside each image: .modes are names of BORDERS, .fills colours 0..255 for "constant"."""

    modes: list[str]
    fills: list[tuple[int, int, int]]


def draw_borders(count: int, *, border: str, rng: np.random.Generator) -> Borders:
    """Draw a border mode an image ("any": by BORDER_SHARES; else that mode) and its colour: black, whitish or any, a
    third each.
    """
    modes = (
        rng.choice(list(BORDER_SHARES), size=count, p=list(BORDER_SHARES.values())).tolist()
        if border == "any"
        else [border] * count
    )
    colour = rng.integers(0, 256, (count, 3))
    kind = rng.integers(0, 3, (count, 1))
    fills = np.where(kind == 0, 0, np.where(kind == 1, 200 + colour * 56 // 256, colour))
    return Borders(modes, [tuple(fill) for fill in fills.tolist()])


def draw_geometry(
    count: int,
    height: int,
    width: int,
    *,
    flip: bool,
    probability: float,
    rotation: float,
    zoom: float,
    translation: float,
    shear: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw one centred matrix an image, (count, 2, 3) float64: flips, and with `probability` the rest, composed.

    rotation and shear: largest angle in degrees, either direction; zoom: scales from 1 / (1 + zoom) to 1 + zoom, even
    in the logarithm; translation: largest shift as a share of the side.
    """
    signs = np.where(rng.random((2, count)) < 0.5, -1.0, 1.0) if flip else np.ones((2, count))
    u = rng.uniform(-1, 1, (6, count))
    u = np.where(rng.random(count) < probability, u, 0.0)
    scale = np.exp(u[1] * np.log1p(zoom))
    mirrored = matrices(scale_x=signs[0] * scale, scale_y=signs[1] * scale)
    sheared = matrices(shear_x=np.tan(np.deg2rad(shear * u[2])))
    sheared = compose(sheared, matrices(shear_y=np.tan(np.deg2rad(shear * u[3]))))
    turned = matrices(angle=np.deg2rad(rotation) * u[0])
    # The shift comes last, in the frame of the result.
    shifted = matrices(shift_x=translation * width * u[4], shift_y=translation * height * u[5])
    return compose(compose(mirrored, sheared), compose(turned, shifted))
