"""AugMix (Hendrycks et al., "AugMix: A simple data processing method to improve robustness", ICLR 2020).

Each image goes through `width` chains of 1..3 operations drawn from nine; the results are mixed with Dirichlet(alpha)
weights, and that mixture with the image itself by Beta(alpha, alpha). As in the paper the list leaves out contrast,
colour, brightness and sharpness, which test corruptions contain. All draws are an image's own.

How it is fast (about 0.1 cpu-ms an image at 96x96, `python -m build.bench augment`): the pointwise operations of a
chain compose into one table, the affine ones into one warp. Chains without an affine operation and the image itself
share one table, the weighted mean of theirs. The rest is blended in place. Tables and matrices are made for the whole
batch at once.

Where that differs from applying the operations one by one (tests/test_augmix.py bounds it: about one value in 255 on
average):
* tables act before the warp, so interpolation and rounding change places;
* several affine operations interpolate once, and what left the frame and came back is still there;
* the histogram that autocontrast and equalize see is the unmoved image's, pushed through the tables so far, with as
  many black pixels mixed in as the warps so far bring into the frame (estimated from their parameters);
* a rotation turns by its exact angle, where the authors' code truncates it to whole degrees.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from build.augment import geometry, operations
from build.augment.operations import IDENTITY_TABLE
from build.errors import UserError

NAMES = (
    "autocontrast",
    "equalize",
    "posterize",
    "solarize",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
AUTOCONTRAST, EQUALIZE, POSTERIZE, SOLARIZE, ROTATE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y = range(9)
NOTHING = -1
MAX_DEPTH = 3
# What each operation does at level 10 (the authors' augmentations.py).
DEGREES, SHEAR, SHIFT, BITS, LEVELS = 30.0, 0.3, 1 / 3, 4, 256


@dataclass(frozen=True)
class Draws:
    """What was decided for B images with k chains of at most d operations."""

    operations: np.ndarray
    """(B, k, d) int8, indices into NAMES, NOTHING after a chain's end."""
    levels: np.ndarray
    """(B, k, d) float32 0..1: tenths of the paper's level."""
    signs: np.ndarray
    """(B, k, d) float32, -1 or 1: direction of the affine operations."""
    weights: np.ndarray
    """(B, k + 1) float32, rows sum to 1: the image itself, then its chains."""


def check(*, severity: float, alpha: float, width: int, depth: int, prefix: str = "augmix") -> None:
    """Raise UserError unless 0 <= severity <= 10, alpha > 0, width >= 1 and depth >= 0; `prefix` begins the names of the
    recipe's fields.
    """
    for field, value, right, meaning in (
        ("severity", severity, 0 <= severity <= 10, "a level from 0 to 10 (the paper: 1 to 3)"),
        ("alpha", alpha, alpha > 0, "the concentration of the mixing weights, above 0"),
        ("width", width, width >= 1, "a number of chains, 1 or more"),
        ("depth", depth, depth >= 0, "the length of a chain, or 0 to draw it"),
    ):
        if not right:
            raise UserError(f"Recipe field {prefix}_{field} is {meaning}, got {value}; correct the recipe.")


def draw(count: int, *, severity: float, alpha: float, width: int, depth: int, rng: np.random.Generator) -> Draws:
    """Decide for `count` images. Levels are uniform in 0.1..severity as in the paper; depth 0 draws 1..3 operations a
    chain.
    """
    check(severity=severity, alpha=alpha, width=width, depth=depth)
    longest = depth or MAX_DEPTH
    shape = (count, width, longest)
    chosen = rng.integers(0, len(NAMES), shape, dtype=np.int8)
    if not depth:
        ends = rng.integers(1, MAX_DEPTH + 1, (count, width, 1))
        chosen[np.arange(longest) >= ends] = NOTHING
    levels = rng.uniform(min(0.1, severity), severity, shape).astype(np.float32) / 10
    signs = np.where(rng.random(shape) < 0.5, -1, 1).astype(np.float32)
    gammas = np.maximum(rng.standard_gamma(alpha, (count, width)), 1e-30)
    mixed = rng.beta(alpha, alpha, (count, 1))
    chains = mixed * gammas / gammas.sum(1, keepdims=True)
    return Draws(chosen, levels, signs, np.concatenate([1 - mixed, chains], 1).astype(np.float32))


def augmix(
    images: np.ndarray,
    *,
    severity: float = 3.0,
    alpha: float = 1.0,
    width: int = 3,
    depth: int = 0,
    rng: np.random.Generator,
) -> np.ndarray:
    """AugMix of (B, H, W, 3) uint8 images: new ones, uint8 too."""
    return apply(images, draw(len(images), severity=severity, alpha=alpha, width=width, depth=depth, rng=rng))


def apply(images: np.ndarray, draws: Draws) -> np.ndarray:
    """Do what `draws` say to (B, H, W, 3) uint8 images; the result is new."""
    count, height, width = images.shape[:3]
    chains = draws.operations.shape[1]
    out = np.empty_like(images)
    matrices, black = _compose_matrices(draws, height, width)
    tables, changed = _compose_tables(images, draws, black)
    turned = (matrices[..., :2] != np.eye(2)).any((2, 3))
    moved = turned | (matrices[..., 2] != 0).any(2)

    # A chain that cannot change a pixel by one value is left out (one in twenty at alpha 1).
    weights = np.where(draws.weights < 1 / 256, 0, draws.weights)
    moved &= weights[:, 1:] > 0

    # Everything that stays in place is one function of a pixel's value: the weighted mean of the tables.
    still = np.where(moved, 0, weights[:, 1:])
    base_weights = np.maximum(weights[:, 0] + still.sum(1), 1e-9)
    base_changed = (changed & (still > 0)).any(1)
    mixed = still[base_changed, None] @ tables[base_changed].reshape(-1, chains, 768).astype(np.float32)
    mixed += weights[base_changed, 0, None, None] * IDENTITY_TABLE.reshape(768)
    mixed /= base_weights[base_changed, None, None]
    base_tables = np.zeros((count, 1, 256, 3), np.uint8)
    base_tables[base_changed, 0] = np.rint(mixed).astype(np.uint8).reshape(-1, 3, 256).transpose(0, 2, 1)
    bases = [table if use else None for table, use in zip(base_tables, base_changed, strict=True)]

    pixels = geometry.to_pixels(matrices, height, width)
    shifts = np.rint(matrices[..., 2]).astype(int).tolist()
    grey = (tables == tables[:, :, :1]).all((2, 3))
    layers: list[list[Layer]] = [[] for _ in range(count)]
    for i, j in np.argwhere(moved).tolist():
        table = None
        if changed[i, j]:
            # A table that all channels share is looked up in half the time.
            table = tables[i, j, 0] if grey[i, j] else np.ascontiguousarray(tables[i, j].T)[None]
        layers[i].append((table, pixels[i, j] if turned[i, j] else None, shifts[i][j], weights[i, j + 1].item()))

    scratch = Scratch(height, width)
    for image, result, base, weight, moving in zip(images, out, bases, base_weights.tolist(), layers, strict=True):
        if moving:
            _blend(image, base, weight, moving, scratch, result)
        elif base is not None:
            cv2.LUT(image, base, dst=result)
        else:
            np.copyto(result, image)
    return out


Layer = tuple[np.ndarray | None, np.ndarray | None, tuple[int, int], float]
"""A chain that moves pixels: its table (256,) or (1, 256, 3), its matrix in pixel coordinates or else its whole shift,
its weight.
"""


class Scratch:
    """Buffers of one call, so that threads share none."""

    def __init__(self, height: int, width: int):
        self.looked_up = np.empty((height, width, 3), np.uint8)
        # Four channels, since OpenCV warps them in 29 us where three take 52.
        self.source, self.chain, self.moved = np.empty((3, height, width, 4), np.uint8)
        self.canvas = np.zeros((height, width, 4), np.float32)


def _blend(
    image: np.ndarray, base: np.ndarray | None, total: float, layers: list[Layer], scratch: Scratch, result: np.ndarray
) -> None:
    """Write the weighted mean of `base` (a table of `image`, None: itself) with weight `total` and of `layers` into
    `result`.
    """
    height, width = image.shape[:2]
    source, chain, canvas = scratch.source, scratch.chain, scratch.canvas
    cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, dst=source)
    if base is None:
        cv2.accumulateWeighted(source, canvas, 1.0)
    else:
        cv2.cvtColor(cv2.LUT(image, base, dst=scratch.looked_up), cv2.COLOR_RGB2RGBA, dst=chain)
        cv2.accumulateWeighted(chain, canvas, 1.0)
    for table, matrix, (x, y), weight in layers:
        if table is None:
            before = source
        elif table.ndim == 1:
            before = cv2.LUT(source.reshape(height, -1), table, dst=chain.reshape(height, -1)).reshape(chain.shape)
        else:
            before = cv2.cvtColor(cv2.LUT(image, table, dst=scratch.looked_up), cv2.COLOR_RGB2RGBA, dst=chain)
        if matrix is not None:
            cv2.warpAffine(
                before, matrix, (width, height), dst=scratch.moved, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
        else:
            geometry.shift(before, x, y, out=scratch.moved)
        total += weight
        # In float32 the mean is rounded once, at the end; it also takes a third of addWeighted's time.
        cv2.accumulateWeighted(scratch.moved, canvas, weight / total)
    cv2.convertScaleAbs(canvas, dst=source)
    cv2.cvtColor(source, cv2.COLOR_RGBA2RGB, dst=result)


# Angle, shear x, shear y, shift x, shift y of each operation at level 10; the last row is NOTHING's.
_AMOUNTS = np.zeros((len(NAMES) + 1, 5))
_AMOUNTS[[ROTATE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y], range(5)] = (
    np.deg2rad(DEGREES),
    SHEAR,
    SHEAR,
    SHIFT,
    SHIFT,
)


def _compose_matrices(draws: Draws, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Centred matrices (B, k, 2, 3) of the chains, and (B, k, d) which share of the frame is black before each
    operation.
    """
    amounts = _AMOUNTS[draws.operations] * (draws.levels * draws.signs)[..., None]
    angle, shear_x, shear_y, share_x, share_y = np.moveaxis(amounts, -1, 0)
    # Whole pixels, truncated, and shears that hold the top left corner still, as the authors' code does.
    shift_x, shift_y = np.trunc(share_x * width), np.trunc(share_y * height)
    steps = geometry.matrices(angle, shear_x, shear_y, shift_x + shear_x * height / 2, shift_y + shear_y * width / 2)
    composed = steps[:, :, 0]
    for step in range(1, steps.shape[2]):
        composed = geometry.compose(composed, steps[:, :, step])
    # A square turned by an angle covers 2 / (1 + |sin| + |cos|) of itself; a sheared one half its overhang less; a
    # shifted one its rest.
    covered = (
        (2 / (1 + np.abs(np.sin(angle)) + np.abs(np.cos(angle))))
        * (1 - np.abs(shear_x) * height / width / 2 - np.abs(shear_y) * width / height / 2)
        * (1 - np.abs(shift_x) / width - np.abs(shift_y) / height)
    )
    black = np.zeros(covered.shape, np.float32)
    black[:, :, 1:] = 1 - np.cumprod(covered, 2)[:, :, :-1]
    return composed, black


def _compose_tables(images: np.ndarray, draws: Draws, black: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tables (B, k, 3, 256) uint8 of the chains, and (B, k) whether they change anything."""
    count, chains, depth = draws.operations.shape
    histograms = np.zeros((count, 3, 256), np.float32)
    for i in np.flatnonzero(
        (draws.operations == AUTOCONTRAST).any((1, 2)) | (draws.operations == EQUALIZE).any((1, 2))
    ).tolist():
        histograms[i] = operations.histogram(images[i])
    owner = np.repeat(np.arange(count), chains)
    chosen, levels, black = (array.reshape(count * chains, depth) for array in (draws.operations, draws.levels, black))
    tables = np.empty((count * chains, 3, 256), np.uint8)
    tables[:] = IDENTITY_TABLE
    for step in range(depth):
        for operation in (AUTOCONTRAST, EQUALIZE, POSTERIZE, SOLARIZE):
            rows = np.flatnonzero(chosen[:, step] == operation)
            if not len(rows):
                continue
            level = levels[rows, step]
            if operation == POSTERIZE:
                tables[rows] = operations.posterize(tables[rows], BITS - np.trunc(BITS * level))
            elif operation == SOLARIZE:
                tables[rows] = operations.solarize(tables[rows], LEVELS - np.trunc(LEVELS * level))
            else:
                function = operations.autocontrast if operation == AUTOCONTRAST else operations.equalize
                tables[rows] = function(tables[rows], None, histograms[owner[rows]], black[rows, step])
    changed = (tables != IDENTITY_TABLE).any((1, 2))
    return tables.reshape(count, chains, 3, 256), changed.reshape(count, chains)
