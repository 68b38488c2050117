"""What Podium's own ingestion and scoring programs leave in their output beside what the protocol asks for.

Everything here was written where the submission could write too, so it is read with suspicion: sizes are limited, links are not
followed, and a value of the wrong kind counts as absent.
"""

import json
import os
import stat
from pathlib import Path

import numpy as np

from build.files import save_array
from build.score.outcome import Outcome

MOST_BYTES = 10 * 2**20
LARGEST = 1e15
"""No time, size or number of images is above it."""


def read_json(path: Path) -> dict:
    """The JSON object in `path`; an empty one where there is none."""
    try:
        # Opened before it is looked at: the submission may still run, and put a pipe or a link there in between.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                return {}
            values = json.loads(file.read(MOST_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def write_json(path: Path, values: dict) -> None:
    """Write an object as JSON."""
    path.write_text(json.dumps(values), encoding="utf-8")


def number(value: object) -> float | None:
    """`value` to nine decimals where it is a number from 0 to LARGEST."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # JSON's whole numbers have any length
        return None
    # What is larger, or smaller than a clock tells, would leave the floats in a sum or a rate.
    return round(found, 9) if 0 <= found <= LARGEST else None


def failure(output: Path) -> dict[str, str]:
    """The record of the program that failed: stage, error, message, file, line, sentence, remedy; empty where none failed."""
    found = read_json(output / "failure.json")
    if not isinstance(found.get("sentence"), str) or not found["sentence"]:
        return {}
    record = {key: str(found.get(key, "")) for key in ("stage", "error", "message", "file", "sentence", "remedy")}
    return record | {"line": str(found.get("line") or 0)}


def jobs(input_data: Path | None) -> list[Path | None]:
    """Input data of each job of a prediction step: folders where our bundle divides its images (bundle_data.py), else the one folder."""
    found = read_json(input_data / "jobs.json").get("jobs") if input_data else None
    folders = [input_data / name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    return [folder for folder in folders if folder.parent == input_data and folder.is_dir()] or [input_data]


def conditions(input_data: Path | None) -> list[str]:
    """Keys of the image sets that our ingestion program is to predict; empty for other bundles."""
    found = read_json(input_data / "conditions.json").get("conditions") if input_data else None
    entries = found if isinstance(found, list) else []
    return [entry["key"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("key"), str)]


def predictions(output: Path) -> dict[str, Path]:
    """Condition key -> file of labels."""
    folder = output / "predictions"
    if folder.is_symlink() or not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.npy")) if stat.S_ISREG(path.lstat().st_mode)}


def take_labels(source: Path, target: Path) -> None:
    """Move a job's labels of a set to `target`, after those that an earlier job gave the first of its images."""
    if not target.exists():
        source.rename(target)
        return
    part = target.with_suffix(".part")  # where the submission cannot write
    source.rename(part)
    try:
        save_array(target, np.concatenate([np.lib.format.open_memmap(path, "r") for path in (target, part)]))
        part.unlink()
    except (ValueError, TypeError, EOFError, OSError):  # no labels: the scoring step will say so
        part.replace(target)


def missing(output: Path, input_data: Path | None) -> list[str]:
    """Keys that our ingestion program should have predicted and did not."""
    found = predictions(output)
    return [key for key in conditions(input_data) if key not in found]


def add_timing(output: Path, outcome: Outcome) -> None:
    """Take over what our ingestion program measured."""
    timing = read_json(output / "timing.json")
    if (startup := number(timing.get("startup"))) is not None:
        outcome.seconds["startup"] = startup
    for name, target in (("conditions", outcome.condition_seconds), ("images", outcome.images)):
        table = timing.get(name)
        for key, value in table.items() if isinstance(table, dict) else ():
            if (found := number(value)) is not None:
                target[str(key)] = int(found) if name == "images" else found
    if outcome.peak_mib is None:
        outcome.peak_mib = number(timing.get("peak_mib"))
