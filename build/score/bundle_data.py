"""A bundle's test images and, apart from them, their labels: what each job of the ingestion program is to predict."""

import itertools
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from build.errors import UserError
from build.files import save_array
from build.score import reports
from submission.contract import CLASSES


class Condition(Protocol):
    """What a bundle needs of a set of images (see build/score/suites.py)."""

    key: str
    suite: str
    images_path: Path
    labels: np.ndarray


@dataclass(frozen=True)
class Part:
    """The images `first` to `last`, exclusive, of a condition."""

    condition: Condition
    first: int
    last: int

    def __len__(self) -> int:
        """How many images it has."""
        return self.last - self.first


def divide(conditions: Iterable[Condition], most: int | None) -> list[list[Part]]:
    """The conditions in their order, in few lists of at most `most` images each (None: in one); a larger one is divided."""
    jobs: list[list[Part]] = []
    images = 0
    for condition in conditions:
        count = len(condition.labels)
        parts = max(1, -(-count // most)) if most else 1
        bounds = [count * number // parts for number in range(parts + 1)]
        for first, last in itertools.pairwise(bounds):
            images += last - first
            if not jobs or (most and images > most):
                jobs.append([])
                images = last - first
            jobs[-1].append(Part(condition, first, last))
    return jobs


def write_data(
    jobs: Sequence[Sequence[Part]],
    input_data: Path,
    reference: Path,
    *,
    working_directory: str,
    one_call: bool = False,
) -> None:
    """Write a task's input data and reference data, of jobs that `divide` made, into two new folders.

    Several `jobs` become folders of the input data that build/score/prediction.py has predicted one after another; a server, which
    knows no such division, needs a single one. `one_call`: all images of a job are one call of Model.predict, else each condition is
    one. UserError without conditions; image files are linked where the file system allows.
    """
    conditions = [part.condition for job in jobs for part in job if not part.first]
    if not conditions:
        raise UserError("A bundle needs at least one set of test images; name at least one suite.")
    input_data.mkdir(parents=True)
    keys = [condition.key for condition in conditions]
    assert len(set(keys)) == len(keys), "condition keys are not unique"
    _write_labels(conditions, reference)
    folders = [input_data]
    if len(jobs) > 1:
        folders = [input_data / f"job-{number}" for number in range(1, len(jobs) + 1)]
        reports.write_json(input_data / "jobs.json", {"jobs": [folder.name for folder in folders]})
    plan = {"classes": len(CLASSES), "working_directory": working_directory, "one_call": one_call}
    for folder, job in zip(folders, jobs, strict=True):
        folder.mkdir(exist_ok=True)
        shown = []
        for part in job:
            key = part.condition.key
            _link(Path(part.condition.images_path), folder / f"{key}.npy")
            whole = len(part) == len(part.condition.labels)
            shown.append({"key": key, "images": f"{key}.npy"} | ({} if whole else {"rows": [part.first, part.last]}))
        reports.write_json(folder / "conditions.json", plan | {"conditions": shown})


def _write_labels(conditions: Sequence[Condition], reference: Path) -> None:
    reference.mkdir(parents=True)
    known = []
    for condition in conditions:
        labels = np.asarray(condition.labels)
        assert labels.ndim == 1, f"{condition.key} has labels of shape {labels.shape}"
        assert labels.size, f"{condition.key} has no labels"
        outside = (labels < 0) | (labels >= len(CLASSES))
        assert not outside.any(), f"{condition.key} has labels outside 0..{len(CLASSES) - 1}"
        save_array(reference / f"{condition.key}.labels.npy", labels.astype(np.int64))
        known.append({"key": condition.key, "suite": condition.suite, "labels": f"{condition.key}.labels.npy"})
    reports.write_json(reference / "conditions.json", {"classes": list(CLASSES), "conditions": known})


def _link(source: Path, target: Path) -> None:
    """The same file at `target`, without copying its bytes where the file system allows; the sandbox shows it read-only."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy(source, target)
