"""Noise of the sensor. Every function: (image uint8 (H, W, 3), level, *, rng) -> uint8 (H, W, 3).

Formulas of Hendrycks & Dietterich 2019 (ICLR, "Benchmarking Neural Network Robustness", section 3 and its code's
parameters), computed in float32 and rounded where theirs truncates.
"""

import cv2
import numpy as np


def add_gaussian(image, deviation, *, rng):
    """x + 255 * deviation * N(0, 1), independent for each value."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= 255 * deviation
    return cv2.add(image, noise, dtype=cv2.CV_8U)


def add_shot(image, photons, *, rng):
    """Poisson(x / 255 * photons) / photons: fewer photons, more noise."""
    counts = rng.poisson(image * np.float32(photons / 255)).astype(np.float32)
    return cv2.convertScaleAbs(counts, alpha=255 / photons)


def add_impulse(image, share, *, rng):
    """Salt and pepper: a `share` of the values becomes 0 or 255 with equal odds."""
    draw = rng.random(image.shape, dtype=np.float32)
    noisy = image.copy()
    noisy[draw < share] = 255
    noisy[draw < share / 2] = 0
    return noisy
