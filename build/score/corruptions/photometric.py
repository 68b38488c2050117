"""Changes of light and colour. Every function: (image uint8 (H, W, 3) RGB, level, *, rng) -> uint8 (H, W, 3).

What maps a pixel value to a pixel value is one 256-entry table (cv2.LUT), about 10 microseconds an image at 96 px.
Enhancements follow Pillow's ImageEnhance: blend of the image with a degenerate version (black, mean grey, grey image).
"""

import cv2
import numpy as np

RAMP = np.arange(256, dtype=np.float32)


def table(values: np.ndarray) -> np.ndarray:
    """Round and clip 256 (or (256, 3)) values to a uint8 lookup table."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def look_up(image: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Apply one table to all channels, (256,), or one to each, (256, 3)."""
    if entries.ndim == 2:
        entries = entries[:, None, :]
    return cv2.LUT(image, entries)


def grey(image: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma, uint8 (H, W)."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def scale_brightness(image, factor, *, rng):
    """x * factor."""
    del rng
    return look_up(image, table(RAMP * factor))


def scale_contrast(image, factor, *, rng):
    """Mean luma + factor * (x - mean luma), the mean rounded as Pillow does."""
    del rng
    mean = np.floor(grey(image).mean() + 0.5)
    return look_up(image, table(mean + factor * (RAMP - mean)))


def scale_contrast_by_channel(image, factor, *, rng):
    """Each channel's mean + factor * (x - that mean), as ImageNet-C's contrast."""
    del rng
    means = image.mean(axis=(0, 1), dtype=np.float32)
    return look_up(image, table(means + factor * (RAMP[:, None] - means)))


def scale_colour(image, factor, *, rng):
    """Blend with the grey image: 0 is grey, 1 the image, above 1 more colourful."""
    del rng
    base = cv2.cvtColor(grey(image), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, base, 1 - factor, 0)


def add_brightness(image, amount, *, rng):
    """x +- 255 * amount, the sign drawn."""
    sign = rng.choice((-1, 1))
    return look_up(image, table(RAMP + sign * 255 * amount))


def add_saturation(image, amount, *, rng):
    """HSV saturation + amount (0..1), clipped; hue and value stay."""
    del rng
    hsv = cv2.cvtColor(image.astype(np.float32) * (1 / 255), cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.minimum(hsv[..., 1] + amount, 1)
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), alpha=255)


def turn_hue(image, degrees, *, rng):
    """Hue turned by +- degrees, the sign drawn."""
    hsv = cv2.cvtColor(image.astype(np.float32) * (1 / 255), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.choice((-1, 1)) * degrees) % 360
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), alpha=255)


def shift_channels(image, amount, *, rng):
    """Each channel shifted by its own draw from +-255 * [amount / 2, amount]."""
    shifts = rng.choice((-1, 1), 3) * rng.uniform(amount / 2, amount, 3)
    return look_up(image, table(RAMP[:, None] + 255 * shifts.astype(np.float32)))


def shuffle_channels(image, level, *, rng):
    """The channels in another order (never the same); `level` is not used."""
    del level
    orders = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    return np.ascontiguousarray(image[..., orders[rng.integers(len(orders))]])


def solarize(image, threshold, *, rng):
    """Values at and above `threshold` (0..256) inverted."""
    del rng
    return look_up(image, table(np.where(threshold <= RAMP, 255 - RAMP, RAMP)))


def posterize(image, bits, *, rng):
    """Only the upper `bits` (1..8) of each value kept."""
    del rng
    return image & np.uint8(256 - (1 << (8 - int(bits))))


def autocontrast(image, level, *, rng):
    """Each channel stretched to 0..255; `level` is not used."""
    del level, rng
    low = image.min(axis=(0, 1)).astype(np.float32)
    span = image.max(axis=(0, 1)).astype(np.float32) - low
    gain = np.where(span > 0, 255 / np.maximum(span, 1), 1)
    return look_up(image, table((RAMP[:, None] - np.where(span > 0, low, 0)) * gain))


def equalize(image, level, *, rng):
    """Each channel's histogram equalised; `level` is not used."""
    del level, rng
    return cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(image)])
