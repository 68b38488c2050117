"""All that a training needs to go on bit-exactly, in one file that is whole or absent: `checkpoint/state.npz` of a run.

    save(path, network.variables, model.optimizer.variables, facts)
    facts = load_facts(path)
    load_variables(path, network.variables, model.optimizer.variables)

The arrays are every variable of the network (weights, statistics, states of random generators) and of the optimizer (moments,
averages, step), in order; the facts are JSON (history, best epoch, decisions). No pickle.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from build.errors import UserError
from build.files import DAMAGED, atomic, check_readable

FACTS = "facts"


def snapshot(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Copies of variables on the host, exact."""
    return [np.array(_values(variable)) for variable in variables]


def _values(variable: keras.Variable) -> np.ndarray:
    value = variable.value
    if not getattr(value, "is_fully_addressable", True):
        value = value.addressable_data(0)  # under JAX on several hosts: each device has it whole
    return np.asarray(keras.ops.convert_to_numpy(value))


def restore(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Put a snapshot back."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def save(path: Path, network: Sequence[keras.Variable], optimizer: Sequence[keras.Variable], facts: dict) -> None:
    """Write variables and JSON-able facts to `path`, atomically."""
    arrays = {
        f"{group}/{number:05d}/{variable.name}": _values(variable)
        for group, variables in (("network", network), ("optimizer", optimizer))
        for number, variable in enumerate(variables)
    }
    arrays[FACTS] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with atomic(path) as file:
        np.savez(file, **arrays)


def load_facts(path: Path) -> dict:
    """The facts of a checkpoint; UserError if the file is damaged."""
    held = _read(path, FACTS)
    try:
        return json.loads(held[FACTS].tobytes())
    except (KeyError, ValueError) as error:
        raise UserError(f"The checkpoint {path} holds no facts; the run can be packaged but not resumed.") from error


def load_variables(path: Path, network: Sequence[keras.Variable], optimizer: Sequence[keras.Variable] | None) -> None:
    """Assign a checkpoint's arrays to variables made by the same recipe; None leaves the optimizer's out.

    Raises UserError if the file is damaged or does not fit (it was written by another version of the code).
    """
    groups = {"network": network} | ({} if optimizer is None else {"optimizer": optimizer})
    for group, variables in groups.items():
        arrays = _read(path, f"{group}/")
        expected = [f"{group}/{number:05d}/{variable.name}" for number, variable in enumerate(variables)]
        shapes = [tuple(variable.shape) for variable in variables]
        if sorted(arrays) != sorted(expected) or [arrays[name].shape for name in expected] != shapes:
            raise UserError(
                f"The checkpoint {path} does not fit the {group} that its recipe builds now; "
                "check out the commit named in the run's run.json, or train anew."
            )
        restore(variables, [arrays[name] for name in expected])


def _read(path: Path, prefix: str) -> dict[str, np.ndarray]:
    check_readable(path)  # whose permissions are no damage
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name.startswith(prefix)}
    except DAMAGED as error:
        raise UserError(
            f"The checkpoint {path} is damaged ({error}); the run can be packaged but not resumed."
        ) from error
