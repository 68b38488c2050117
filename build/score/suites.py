"""Suites of corruptions, and the files of perturbed images that a submission is judged on.

    conditions = materialise(["held-out", "basic"], images, labels, seed=0, cache=Path("data/suites"))

Every condition is one .npy file, made once and found again by checksum. A suite is a name of `SUITES` or the path of a
Python file that defines `SUITE` (build/score/corruptions/definition.py shows one). All suites at 256 images of 96x96 a
condition take about 2 GB of disk; a condition's images never lie in memory together.
"""

import hashlib
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.console import bar, console
from build.errors import UserError
from build.files import DAMAGED, atomic
from build.processes import ROOT, last_line
from build.score import user_suite
from build.score.corruptions import basic, geometry, imagenet_c, laboratory, microscopy, stacked, surroundings
from build.score.corruptions.definition import SEVERITIES, Corruption, Suite
from build.score.suite_checksums import content, definition, is_installed
from build.scratch import scratch_folder

HELD_OUT = Suite("held-out", (), "The images as they are.")
SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        HELD_OUT,
        basic.SUITE,
        microscopy.SUITE,
        imagenet_c.SUITE,
        geometry.SUITE,
        laboratory.SUITE,
        surroundings.SUITE,
        stacked.SUITE,
    )
}
ROWS_PER_CONDITION = 256
LONGEST_NAME = 26
"""Characters of a suite's name: it stands in a title of the server's leaderboard, which has at most 36 (bundle.py)."""
CACHE = Path("data/suites")
"""Where every command keeps the perturbed images that it made."""


@dataclass(frozen=True, eq=False)
class Condition:
    """One set of images to predict: a suite's corruption at one severity ("none", 0 for the images as they are)."""

    suite: str
    corruption: str
    severity: int
    images_path: Path
    """.npy, (n, H, W, 3) uint8."""
    labels: np.ndarray
    """(n,) int64."""
    rows: np.ndarray
    """(n,) int64: which of the test images these are."""
    operations: tuple[str, ...] = ()
    """What the corruption does, in words that a recipe's operations are compared with."""
    definition: str = ""
    """Checksum of the test images, the suite's definition, the seed and the choice of rows.

    Scores compare where it is equal.
    """

    @property
    def key(self) -> str:
        """Unique and fit for a file name: SUITE.CORRUPTION.SEVERITY."""
        return f"{self.suite}.{self.corruption}.{self.severity}"


def load(name: str | Path) -> Suite:
    """The suite of that name, or the SUITE of a Python file; UserError where there is none."""
    if str(name) in SUITES:
        return SUITES[str(name)]
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        raise UserError(
            f"There is no suite {str(name)!r}; choose among {', '.join(SUITES)}, "
            "or give the path of a Python file that defines SUITE."
        )
    suite = user_suite.read(path)
    if suite.name in SUITES:
        raise UserError(f"The suite of {path} is named {suite.name!r} like one of ours; give it another name.")
    if len(suite.name) > LONGEST_NAME:
        raise UserError(
            f"The suite of {path} is named {suite.name!r}; give it a name of at most {LONGEST_NAME} characters, as a column of the "
            "leaderboard is called after it."
        )
    return suite


def choose_rows(labels: np.ndarray, count: int, *, rng: np.random.Generator) -> np.ndarray:
    """About `count` rows, sorted, every class in its share of `labels` (largest remainders) and at least once."""
    if count >= len(labels):
        return np.arange(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * count / len(labels)
    take = np.floor(exact).astype(int)
    take[np.argsort(take - exact, kind="stable")[: count - take.sum()]] += 1
    take = np.clip(take, 1, sizes)
    chosen = [
        rng.choice(np.flatnonzero(labels == label), n, replace=False) for label, n in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def check(images: np.ndarray, labels: np.ndarray) -> None:
    """UserError unless images are (N, H, W, 3) uint8 with N > 0 and labels (N,) integers."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
        raise UserError(
            f"Suites need test images of shape (n, height, width, 3), uint8, n > 0; got {images.shape} {images.dtype}."
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise UserError(
            f"Suites need one integer label an image, shape ({len(images)},); got {labels.shape} {labels.dtype}."
        )


def usable(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the cached file is there and whole."""
    try:
        stored = np.load(path, mmap_mode="r")
    except DAMAGED:
        return False
    return stored.shape == shape and stored.dtype == np.uint8


def write_images(path: Path, images: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Stream uint8 images into one .npy of `shape`; whole or absent."""
    with atomic(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for image in images:
            file.write(np.ascontiguousarray(image).data)


def generator(seed: int, suite: str, corruption: str, row: int) -> np.random.Generator:
    """The random numbers of one image.

    They do not depend on the severity: a curve over severities compares like with like.
    """
    return np.random.default_rng([seed, zlib.crc32(f"{suite}.{corruption}".encode()), row])


def run_process(corruption: Corruption, images, rows, folder: Path, targets: dict[int, Path], seed: int) -> str:
    """Make the missing severities of a corruption that has its own process.

    Return "" or the reason why it could not.
    """
    if corruption.needs and not is_installed(corruption.needs):
        return f"{corruption.needs} is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # the process works in another directory
    shape = (len(rows), *images.shape[1:])
    with scratch_folder(folder, ".making-") as scratch:
        source = scratch / "images.npy"
        write_images(source, (images[row] for row in rows), shape)
        made = {severity: scratch / f"{severity}.npy" for severity in targets}
        jobs = [[str(source), str(path), corruption.levels[severity - 1], seed] for severity, path in made.items()]
        command = [sys.executable, "-m", corruption.process, json.dumps(jobs)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"its process ended with code {done.returncode}: {last_line(done.stderr) or 'no message'}"
        for severity, path in made.items():
            if not usable(path, shape):
                return "its process wrote no images of the right shape"
            path.replace(targets[severity])
    return ""


def fill(suite: Suite, corruption: Corruption, images, rows, folder: Path, seed: int, advance: Callable) -> str:
    """Make the missing files of one corruption at every severity; return "" or the reason why it could not."""
    shape = (len(rows), *images.shape[1:])
    paths = {severity: folder / f"{corruption.name}.{severity}.npy" for severity in SEVERITIES}
    missing = {severity: path for severity, path in paths.items() if not usable(path, shape)}
    advance((len(paths) - len(missing)) * len(rows))
    if missing and corruption.process:
        reason = run_process(corruption, images, rows, folder, missing, seed)
        advance(len(missing) * len(rows))
        return reason

    call = corruption if suite.file is None else user_suite.guarded(suite.file, corruption)

    def stream(severity: int) -> Iterator[np.ndarray]:
        for row in rows:
            rng = generator(seed, suite.name, corruption.name, int(row))
            yield call(images[row], severity, rng=rng)
            advance(1)

    for severity, path in missing.items():
        write_images(path, stream(severity), shape)
    return ""


def load_all(names: Sequence[str | Path]) -> list[Suite]:
    """Each suite once; UserError where two files call theirs alike."""
    suites: dict[str, Suite] = {}
    for name in dict.fromkeys(names):
        suite = load(name)
        known = suites.setdefault(suite.name, suite)
        if (known.file and known.file.resolve()) != (suite.file and suite.file.resolve()):
            files = " and ".join(str(one.file or "the kit") for one in (known, suite))
            raise UserError(f"{files} both have a suite named {suite.name!r}; give one of them another name.")
    return list(suites.values())


def materialise(
    names: Sequence[str | Path],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    rows_per_condition: int = ROWS_PER_CONDITION,
    cache: Path,
) -> list[Condition]:
    """Make (or find) the perturbed images of the named suites.

    images (N, H, W, 3) uint8, array or memory map; labels (N,) integers. Each corruption gets its own seeded stratified
    choice of about `rows_per_condition` images, the same at its five severities; `held-out` always takes all.
    A corruption that cannot run here is left out with a sentence. Same arguments, same bytes. Raises UserError on
    bad input or an unknown suite.
    """
    labels = np.asarray(labels)
    check(images, labels)
    suites = load_all(names)
    source, everything = content(images, labels), np.arange(len(images))
    labels = labels.astype(np.int64)
    conditions: list[Condition] = []
    count = min(len(images), rows_per_condition)
    total = sum(len(suite.conditions) * count if suite.corruptions else len(images) for suite in suites)
    with bar("perturbing", total) as advance:
        for suite in suites:
            rows_asked = rows_per_condition if suite.corruptions else None
            text = json.dumps([source, suite.name, definition(suite), seed, rows_asked])
            meaning = hashlib.sha256(text.encode()).hexdigest()[:20]
            folder = Path(cache) / suite.name / meaning
            if not suite.corruptions:
                path = folder / "none.0.npy"
                if not usable(path, images.shape):
                    write_images(path, images, images.shape)
                advance(len(images))
                conditions.append(Condition(suite.name, "none", 0, path, labels, everything, (), meaning))
            for corruption in suite.corruptions:
                rng = generator(seed, suite.name, corruption.name, len(images))
                rows = choose_rows(labels, rows_per_condition, rng=rng)
                if reason := fill(suite, corruption, images, rows, folder, seed, advance):
                    console.print(f"{suite.name}: {corruption.name} is left out: {reason}.", markup=False)
                    continue
                for severity in SEVERITIES:
                    path = folder / f"{corruption.name}.{severity}.npy"
                    conditions.append(
                        Condition(
                            suite.name,
                            corruption.name,
                            severity,
                            path,
                            labels[rows],
                            rows,
                            corruption.operations,
                            meaning,
                        )
                    )
    assert len({condition.key for condition in conditions}) == len(conditions)
    return conditions
