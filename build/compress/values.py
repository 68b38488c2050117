"""Kernels of few values: uniform grids whose steps follow the network's sensitivity, and k-means palettes. NumPy only.

    steps = allocate(sizes, sensitivities, step=0.5)
    palette = grid(kernel, steps["logits/kernel"])           # submission.weights.Palette
    palette = k_means(kernel, 16)

A uniform grid whose indices are entropy-coded comes within a quarter of a bit a weight of what is possible (Gish and Pierce 1968,
"Asymptotically efficient quantizing"); a palette of as many values as bits allow is further away, since its indices cost nearly the
same whether they are frequent or rare. Small weights fall on the grid's zero, so a coarse grid prunes as well.
"""

from collections.abc import Mapping

import numpy as np
from sklearn.cluster import KMeans

from submission.weights import LARGEST_CODEBOOK, Palette, channel_axis

LARGEST_INDEX = 127
"""Indices run from minus to plus this: 255 values."""
FINEST, COARSEST = 0.01, 2.0
"""Steps, as a share of a channel's deviation, beyond which nothing is gained or left."""
BINS = 4096


def scales(kernel: np.ndarray, step: float) -> np.ndarray:
    """The grid's step of each output channel, float32, of the kernel's rank: `step` deviations, or more where the largest weight asks.

    step: share of the channel's root mean square, > 0.
    """
    axis = channel_axis(kernel.shape)
    others = tuple(a for a in range(kernel.ndim) if a != axis)
    spread = np.sqrt(np.square(kernel, dtype=np.float64).mean(axis=others, keepdims=True))
    # Without the second term the largest weights of a fine grid would be cut off: a few of them do more harm than all the rounding.
    scale = np.maximum(step * spread, np.abs(kernel).max(axis=others, keepdims=True) / LARGEST_INDEX).astype(np.float32)
    return np.where(scale > 0, scale, np.float32(1))


def indices(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The nearest multiples of `scale`, float32 in -127..127."""
    return np.clip(np.rint(kernel / scale), -LARGEST_INDEX, LARGEST_INDEX)


def as_palette(index: np.ndarray, scale: np.ndarray) -> Palette:
    """A grid's signed whole indices as a palette, without loss."""
    low, high = int(index.min()), int(index.max())
    return Palette((index - low).astype(np.uint8), np.arange(low, high + 1, dtype=np.float32), scale)


def grid(kernel: np.ndarray, step: float) -> Palette:
    """Round a kernel (rank 2 and more, not empty) to multiples of a step a channel; zeros stay zeros."""
    scale = scales(kernel, step)
    return as_palette(indices(kernel, scale), scale)


def allocate(sizes: Mapping[str, int], sensitivities: Mapping[str, float], step: float) -> dict[str, float]:
    """Steps of all kernels: those that harm the network least, at the bits that `step` for every kernel would take.

    Args:
        sizes: weights of each kernel.
        sensitivities: harm of rounding each kernel at one common step, > 0; it grows with the square of the step.
        step: geometric mean of the steps, weighted by size.

    Minimises sum(sensitivity * step^2) at constant sum(size * log2(1 / step)): step^2 is proportional to size / sensitivity (Lagrange).

    """
    logs = {name: 0.5 * np.log(sizes[name] / sensitivities[name]) for name in sizes}
    mean = sum(sizes[name] * logs[name] for name in sizes) / sum(sizes.values())
    return {name: float(np.clip(step * np.exp(logs[name] - mean), FINEST, COARSEST)) for name in sizes}


def k_means(kernel: np.ndarray, count: int) -> Palette:
    """The palette of `count` (2..256) values nearest to a kernel's weights in the mean square; always the same one.

    The weights are first counted in 4,096 bins: scikit-learn's k-means then takes a fraction of a second whatever the kernel's size.
    """
    if not 2 <= count <= LARGEST_CODEBOOK:
        raise ValueError(f"A palette has 2 to {LARGEST_CODEBOOK} values, got {count}.")
    if len(np.unique(kernel)) <= count:
        return exact(kernel)
    members, edges = np.histogram(kernel, bins=BINS)
    sums = np.histogram(kernel, bins=edges, weights=kernel.astype(np.float64))[0]
    filled = members > 0
    means = sums[filled] / members[filled]
    found = KMeans(min(count, len(means)), n_init=1, random_state=0).fit(means[:, None], sample_weight=members[filled])
    values = np.sort(found.cluster_centers_[:, 0])
    index = np.searchsorted((values[1:] + values[:-1]) / 2, kernel)
    return Palette(index.astype(np.uint8), values.astype(np.float32))


def exact(kernel: np.ndarray) -> Palette | None:
    """The palette of a kernel that takes at most 256 values already; None of any other."""
    values, index = np.unique(kernel, return_inverse=True)
    if len(values) > LARGEST_CODEBOOK:
        return None
    return Palette(index.reshape(kernel.shape).astype(np.uint8), values.astype(np.float32))
