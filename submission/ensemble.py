"""Several networks in one weights file: an ensemble whose members all look at every image.

One file rather than one for each member: its checksum covers all of them, so none can be missing, damaged or another's.
Members are averaged as views are, by their logits: the label is then that of the product of their distributions, in which a member
that rules a class out is heard. Each has a share in the mean.

    join([path_1, path_2], "weights.npz", {"views": 1}, shares=[0.4, 0.6])
    for arrays, meta in split(*weights.load("weights.npz")): ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import weights

MEMBERS = "members"
SHARES = "shares"
Member = tuple[dict[str, np.ndarray], dict]
"""Arrays by name, and the meta that tells their network ("spec")."""


def join(
    paths: Sequence[str | Path], target: str | Path, settings: dict, *, shares: Sequence[float] | None = None
) -> None:
    """Write one file of weights from these, at least one, each stored as it is; `settings` are added to what it says of itself.

    shares: of each in the mean; None for equal ones. A single file keeps its names, and has no share. Raises WeightsError as
    weights.load does.
    """
    if len(paths) == 1:
        weights.combine({"": paths[0]}, target, lambda metas: metas[0] | settings)
    else:
        sources = {_prefix(number): path for number, path in enumerate(paths)}
        told = {SHARES: list(shares)} if shares else {}
        weights.combine(sources, target, lambda metas: {MEMBERS: metas} | told | settings)


def split(arrays: dict[str, np.ndarray], meta: dict) -> list[Member]:
    """The members of a file, in their order; a file of one network is its only member. Raises TypeError if meta is malformed."""
    if MEMBERS not in meta:
        return [(arrays, meta)]
    prefixes = [_prefix(number) for number in range(len(meta[MEMBERS]))]
    return [
        ({name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}, member)
        for prefix, member in zip(prefixes, meta[MEMBERS])
    ]


def shares_of(meta: dict, count: int) -> list[float]:
    """The shares of a file's `count` members in the mean, in all 1; equal where it names none.

    Raises ValueError or TypeError if they are no shares of so many members.
    """
    named = meta.get(SHARES, [1.0] * count)
    if len(named) != count or min(named) < 0 or not 0 < sum(named) < math.inf:
        raise ValueError(f"it gives its {count} members the shares {named}")
    return [share / sum(named) for share in named]


def _prefix(number: int) -> str:
    return f"member_{number}/"
