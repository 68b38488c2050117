"""What random numbers are for: a generator of its own for every purpose, epoch and batch. No framework here.

NumPy reads (seed, stream) and (seed, stream, 0) as the same numbers: a purpose's first epoch or batch shares its generator with the purpose
itself, and the first eight purposes with the splits of as many classes (build/data/split.py). What they draw is of different kinds.

rng = generator(seed, TRAIN, epoch, batch)
"""

import numpy as np

PLAN, SHUFFLE, TRAIN, PERTURB, TRIAL, COMPRESS, STATISTICS, PRUNE = range(8)
"""Runs remember nothing of these but their numbers: a new purpose goes to the end."""


def generator(seed: int, stream: int, *numbers: int) -> np.random.Generator:
    """The generator of one purpose: the same numbers, the same draws."""
    return np.random.default_rng((seed, stream, *numbers))
