"""Bring a picture of any size to the contract's shape without stretching what it shows."""

import cv2
import numpy as np

from submission import contract


def resize(image: np.ndarray) -> np.ndarray:
    """Cut the largest centred part with the contract's aspect ratio and resize it: (h, w, 3) -> IMAGE_SHAPE, uint8.

    Area averaging where the picture shrinks (no aliasing), cubic interpolation where it grows. An image of the right
    size is returned as it is.
    """
    height, width = contract.IMAGE_SHAPE[:2]
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    cut_h, cut_w = min(h, max(1, round(w * height / width))), min(w, max(1, round(h * width / height)))
    top, left = (h - cut_h) // 2, (w - cut_w) // 2
    part = np.ascontiguousarray(image[top : top + cut_h, left : left + cut_w])
    shrinks = cut_h >= height and cut_w >= width
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
