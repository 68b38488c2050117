"""What the tests of pictures compare them by."""

import numpy as np


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| of each pixel and channel, as int: pixels of uint8 do not wrap."""
    return np.abs(np.asarray(a, int) - np.asarray(b, int))
