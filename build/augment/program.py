"""A program is what was decided for one image: a list of steps (name of an operation, parameter). `run` applies it.

Consecutive tables compose into one lookup and all affine steps into one warp: pointwise steps do not wait for it, since
a function of a pixel commutes with moving pixels (up to the order of interpolation and rounding). Only steps of kind
"image" make what is pending happen. Differences from running the steps one by one: what leaves the frame and comes back
is still there; a histogram is that of the unmoved image, so it does not see the border; the border keeps its colour
whatever pointwise steps follow; and the centre of the image, where the object is, stays in the frame whatever the steps add up to.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from build.augment import geometry
from build.augment.operations import IDENTITY_TABLE, OPERATIONS, histogram

Step = tuple[str, Any]


def run(
    image: np.ndarray,
    steps: Sequence[Step],
    *,
    border: str = "constant",
    fill: tuple[int, int, int] = (0, 0, 0),
    centre: geometry.Place = geometry.MIDDLE,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Apply `steps` in order to an (H, W, 3) uint8 image; "matrix" steps bring a centred matrix of geometry.py
    themselves.

    Border and fill say what lies outside, `centre` where the object is in `image`. The result is `out` where given;
    otherwise it may be `image` itself when nothing changed it.
    """
    height, width = image.shape[:2]
    pixels, table, counts, matrix = image, None, None, None
    for name, parameter in steps:
        if name == "matrix":
            matrix = parameter if matrix is None else geometry.compose(matrix, parameter)
            continue
        operation = OPERATIONS[name]
        if operation.kind == "affine":
            moved = operation.function(parameter, height, width)
            matrix = moved if matrix is None else geometry.compose(matrix, moved)
        elif operation.kind == "table":
            current = IDENTITY_TABLE[None] if table is None else table
            parameters = np.asarray(parameter)[None]
            if operation.needs_histogram:
                if counts is None:
                    counts = histogram(pixels)[None]
                table = operation.function(current, parameters, counts)
            else:
                table = operation.function(current, parameters)
        else:
            if table is not None:
                pixels, table = look_up(pixels, table[0]), None
            if operation.kind == "image" and matrix is not None:
                matrix, centre = geometry.keep_centre(matrix, height, width, centre=centre)
                pixels, matrix = geometry.warp(pixels, matrix, border=border, fill=fill), None
            pixels, counts = operation.function(pixels, parameter), None
    if table is not None:
        pixels = look_up(pixels, table[0], out if matrix is None else None)
    if matrix is not None:
        matrix, _ = geometry.keep_centre(matrix, height, width, centre=centre)
        pixels = geometry.warp(pixels, matrix, border=border, fill=fill, out=out)
    return geometry.copy(pixels, out)


def look_up(image: np.ndarray, table: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Pass each channel of an (H, W, 3) uint8 image through its row of a (3, 256) uint8 table."""
    if out is None:
        out = np.empty_like(image)
    if np.array_equal(table[0], table[1]) and np.array_equal(table[0], table[2]):
        # The same for all channels: as one plane it takes half the time.
        flat = (len(image), -1)
        cv2.LUT(image.reshape(flat), table[0], out.reshape(flat))
        return out
    return cv2.LUT(image, np.ascontiguousarray(table.T)[None], out)
