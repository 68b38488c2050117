"""What curation compares instead of whole images: a thumbnail, a colour histogram and a spectrum of each.

Together about a seventh of the images' bytes, so that all of them fit in memory where the images need not. No
pretrained network: nothing to download, and the numbers can be explained to whoever lost a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

THUMBNAIL = 16
BINS = 4
"""Bins a channel of the colour histogram."""
SPECTRUM_SIDE, FREQUENCIES = 32, 8


@dataclass(frozen=True)
class Features:
    """Per image, float32: `thumbnails` (n, 768), `colours` (n, 64), `spectra` (n, 120); unit vectors, or zeros for flat
    images.

    thumbnails: the image averaged to 16x16, without its mean: their dot product is a correlation, blind to brightness
    and contrast. colours: root of the joint RGB histogram: their distance is Hellinger's (times root 2), blind to where
    things lie. spectra: log amplitudes of the low frequencies of the windowed grey image, without their mean: blind to
    shifts.
    """

    thumbnails: np.ndarray
    colours: np.ndarray
    spectra: np.ndarray

    def __len__(self) -> int:
        return len(self.colours)


def empty(count: int) -> Features:
    """Room for `count` images, to be filled by `fill`."""
    widths = (THUMBNAIL**2 * 3, BINS**3, (2 * FREQUENCIES - 1) * FREQUENCIES)
    return Features(*(np.zeros((count, width), np.float32) for width in widths))


def fill(features: Features, start: int, images: Sequence[np.ndarray]) -> None:
    """Measure images (each (H, W, 3) uint8) and put the result at rows `start`, `start` + 1, ..."""
    stop = start + len(images)
    small = [cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for image in images]
    features.thumbnails[start:stop] = _unit(np.reshape(small, (len(images), -1)).astype(np.float32))
    counts = [cv2.calcHist([image], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3).ravel() for image in images]
    features.colours[start:stop] = np.sqrt(np.array(counts) / (images[0].shape[0] * images[0].shape[1]))
    side = (SPECTRUM_SIDE, SPECTRUM_SIDE)
    grey = [cv2.resize(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), side, interpolation=cv2.INTER_AREA) for i in images]
    features.spectra[start:stop] = _spectra(np.array(grey, np.float32))


def _spectra(grey: np.ndarray) -> np.ndarray:
    """Amplitudes change with contrast by a factor, which the logarithm and the subtracted mean take out."""
    window = np.hanning(SPECTRUM_SIDE).astype(np.float32)
    centred = (grey - grey.mean((1, 2), keepdims=True)) * (window[:, None] * window)
    amplitude = np.log1p(np.abs(np.fft.rfft2(centred)))
    low = np.concatenate([amplitude[:, 1 - FREQUENCIES :, :FREQUENCIES], amplitude[:, :FREQUENCIES, :FREQUENCIES]], 1)
    return _unit(low.reshape(len(low), -1).astype(np.float32))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows without their mean, of length 1; rows that hold nothing but their mean become zeros."""
    rows = rows - rows.mean(1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-3, rows / np.maximum(length, 1e-3), 0)
