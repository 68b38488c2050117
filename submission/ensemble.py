"""Several networks in one weights file: an ensemble whose members all look at every image.

One file rather than one for each member: its checksum covers all of them, so none can be missing, damaged or another's.
Members are averaged as views are, by their logits: the label is then that of the product of their distributions, in which a member
that rules a class out is heard. The price is that a member of larger logits weighs more; equal label smoothing keeps them alike.

    arrays, meta = join([(arrays_1, {"spec": spec_1}), (arrays_2, {"spec": spec_2})])
    for arrays, meta in split(arrays, meta): ...
"""

from collections.abc import Sequence

import numpy as np

MEMBERS = "members"
Member = tuple[dict[str, np.ndarray], dict]
"""Arrays by name, and the meta that tells their network ("spec")."""


def join(members: Sequence[Member]) -> Member:
    """Arrays and meta of one file for these members, at least one; a single member is returned as it is."""
    if len(members) == 1:
        return members[0]
    arrays = {
        f"{_prefix(number)}{name}": array for number, (held, _) in enumerate(members) for name, array in held.items()
    }
    return arrays, {MEMBERS: [meta for _, meta in members]}


def split(arrays: dict[str, np.ndarray], meta: dict) -> list[Member]:
    """The members of a file, in their order; a file of one network is its only member. Raises TypeError if meta is malformed."""
    if MEMBERS not in meta:
        return [(arrays, meta)]
    prefixes = [_prefix(number) for number in range(len(meta[MEMBERS]))]
    return [
        ({name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}, member)
        for prefix, member in zip(prefixes, meta[MEMBERS], strict=True)
    ]


def _prefix(number: int) -> str:
    return f"member_{number}/"
