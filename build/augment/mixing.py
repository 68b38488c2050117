"""MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019): each image is mixed with another of its batch, its label in
the same shares.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Mixes:
    """What was decided for a batch of B images."""

    partner: np.ndarray
    """(B,) int64, a permutation: the image that each is mixed with."""
    share: np.ndarray
    """(B,) float32, the image's own share of its label; 1 leaves it alone."""
    box: np.ndarray
    """(B, 4) int64 top, bottom, left, right of what CutMix takes from the partner; an empty box means MixUp."""


def draw_mixes(
    count: int,
    height: int,
    width: int,
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    probability: float,
    rng: np.random.Generator,
) -> Mixes:
    """Decide for each image: left alone, or with `probability` mixed; by MixUp or CutMix evenly where both alphas are
    above 0.
    """
    partner = rng.permutation(count)
    mixed = rng.random(count) < probability
    cut = rng.random(count) < (0.5 if mixup_alpha > 0 and cutmix_alpha > 0 else float(cutmix_alpha > 0))
    share = np.where(cut, _beta(cutmix_alpha, count, rng), _beta(mixup_alpha, count, rng))
    # CutMix: a box with the image's proportions and 1 - share of its area, its centre anywhere; the share follows the
    # box as cut.
    half = np.sqrt(1 - share) / 2
    centre = rng.random((2, count))
    low = np.rint(np.maximum(0, centre - half) * [[height], [width]]).astype(np.int64)
    high = np.rint(np.minimum(1, centre + half) * [[height], [width]]).astype(np.int64)
    share = np.where(cut, 1 - np.prod(high - low, 0) / (height * width), share)
    box = np.stack([low[0], high[0], low[1], high[1]], 1)
    box[~(mixed & cut)] = 0
    return Mixes(partner, np.where(mixed, share, 1).astype(np.float32), box)


def _beta(alpha: float, count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.beta(alpha, alpha, count) if alpha > 0 else np.ones(count)


def mix_images(images: np.ndarray, mixes: Mixes) -> np.ndarray:
    """Mixed (B, H, W, 3) uint8 images; the given ones stay as they are."""
    result = images.copy()
    for i, (other, share, (top, bottom, left, right)) in enumerate(
        zip(mixes.partner.tolist(), mixes.share.tolist(), mixes.box.tolist(), strict=True)
    ):
        if bottom > top and right > left:
            result[i, top:bottom, left:right] = images[other, top:bottom, left:right]
        elif share < 1:
            cv2.addWeighted(images[i], share, images[other], 1 - share, 0, dst=result[i])
    return result


def mix_labels(labels: np.ndarray, mixes: Mixes) -> np.ndarray:
    """Mixed (B, K) float32 label distributions: rows keep their sum."""
    share = mixes.share[:, None]
    return share * labels + (1 - share) * labels[mixes.partner]
