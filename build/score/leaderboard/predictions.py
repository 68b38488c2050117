"""All answers of one entry, kept beside the store: what a paired comparison needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.errors import UserError
from build.files import DAMAGED, atomic


@dataclass(frozen=True)
class Predictions:
    """All answers of one entry as one long table."""

    keys: tuple[str, ...]
    """Condition keys."""
    definitions: tuple[str, ...]
    """The definition behind each condition: answers pair where it is equal."""
    condition: np.ndarray
    """(m,) index into keys."""
    row: np.ndarray
    """(m,) test image."""
    label: np.ndarray
    """(m,) true class."""
    called: np.ndarray
    """(m,) predicted class."""


def answers(condition, predictions: Mapping) -> np.ndarray:
    """The predicted labels (n,) of a condition, given as an array or the path of a .npy file."""
    given = predictions[condition.key]
    labels = np.load(given, allow_pickle=False) if isinstance(given, str | Path) else np.asarray(given)
    assert labels.shape == condition.labels.shape, (
        f"{condition.key}: {labels.shape} answers for {condition.labels.shape}"
    )
    return labels


def save_predictions(path: Path, conditions: Sequence, predictions: Mapping) -> None:
    """Write the answers to all conditions that have some, compressed, without pickle."""
    answered = [condition for condition in conditions if condition.key in predictions]
    calls = [answers(condition, predictions) for condition in answered]

    def column(parts: list, kind: type) -> np.ndarray:
        return np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)

    with atomic(path) as file:
        np.savez_compressed(
            file,
            keys=np.array([condition.key for condition in answered], np.str_),
            definitions=np.array([condition.definition for condition in answered], np.str_),
            condition=column([np.full(len(c.labels), i) for i, c in enumerate(answered)], np.uint16),
            row=column([condition.rows for condition in answered], np.uint32),
            label=column([condition.labels for condition in answered], np.uint16),
            called=column(calls, np.uint16),
        )


def load_predictions(path: Path) -> Predictions:
    """Read what `save_predictions` wrote; UserError where it is absent or damaged."""
    try:
        # Opened here: numpy leaves its own file open where the archive is damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Predictions(
                tuple(map(str, arrays["keys"])),
                tuple(map(str, arrays["definitions"])),
                *(arrays[name].astype(np.int64) for name in ("condition", "row", "label", "called")),
            )
    except FileNotFoundError as error:
        raise UserError(f"Entry {path.stem} has no stored answers; judge its zip again to compare it.") from error
    except DAMAGED as error:
        raise UserError(f"The answers in {path} are damaged ({error}); judge the zip again.") from error
