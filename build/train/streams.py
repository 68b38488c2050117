"""What random numbers are for: a generator of its own for every purpose, so that no two draw the same. No framework here.

rng = generator(seed, TRAIN, epoch, batch)
"""

import numpy as np

PLAN, SHUFFLE, TRAIN, PERTURB, TRIAL, COMPRESS, STATISTICS, PRUNE = range(8)
"""Runs remember nothing of these but their numbers: a new purpose goes to the end."""


def generator(seed: int, stream: int, *numbers: int) -> np.random.Generator:
    """The generator of one purpose: the same numbers, the same draws."""
    return np.random.default_rng((seed, stream, *numbers))
