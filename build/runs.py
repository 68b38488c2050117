"""Run folders: everything that a training leaves behind, in `runs/ID/`; `runs/latest` points at the last one.

    from build.runs import Run
    run = Run.open("latest")
    run.recipe, run.facts["seed"], run.weights_path

No framework is imported here, so that packaging and judging can read a run without waiting for one.
"""

import csv
import io
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import numpy as np

from build.errors import Interrupted, UserError
from build.files import atomic, explained, locked, write_text
from build.processes import ROOT
from build.recipe import Recipe
from submission import weights

LATEST = "latest"
PACKAGES = ("tensorflow", "keras", "keras-cv", "jax", "numpy", "opencv-python-headless", "scipy", "scikit-learn")
"""Packages whose versions can change a training's result."""


class RunInterrupted(Interrupted):
    """A training that was stopped by Ctrl-C after it had left a resumable run.

    over: it came to its end before it could stop.
    """

    def __init__(self, run: "Run", *, over: bool = False):
        command = "package --" if over else "train -- --resume"
        told = "Interrupted when the training was over" if over else "Interrupted"
        super().__init__(f"{told}; go on with: nox -s {command} {run.id}")
        self.run = run


KINDS = {
    "seed": int,
    "created": str,
    "backend": str,
    "status": str,
    "commit": str,
    "minutes": float | int,
    "data": dict,
    "decided": dict,
    "spec": dict,
    "epochs": dict,
    "result": dict,
    "teachers": list,
    "members": list,
    "operations": list,
}
"""Kinds of the facts that are read again; each may also be absent or null."""
DATA_KINDS = {"source": str, "sha256": str}
"""The same for the facts of "data"."""


class _Facts(dict):
    """Facts of a run, at any depth, that answer the name of a fact which is not there with a sentence."""

    def __init__(self, held: dict, path: Path):
        super().__init__(held)
        self.path = path

    def __missing__(self, name: str) -> NoReturn:
        raise UserError(
            f"{self.path} lacks {name!r}: it is damaged, of another version, or of a run that was stopped before its "
            "training began; put a copy of it back, or train a new run."
        )


@dataclass(frozen=True)
class Run:
    """One run folder. Every file in it is whole or absent."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name: date, time, recipe and four characters that make it unique."""
        return self.folder.name

    @property
    def recipe_path(self) -> Path:
        """The recipe as used, as JSON."""
        return self.folder / "recipe.json"

    @property
    def facts_path(self) -> Path:
        """Seed, data, commit, versions, device, what was decided, the result: as JSON."""
        return self.folder / "run.json"

    @property
    def split_path(self) -> Path:
        """The rows of each side of the split (build/data/split.py)."""
        return self.folder / "split.npz"

    @property
    def history_path(self) -> Path:
        """One line an epoch."""
        return self.folder / "history.csv"

    @property
    def weights_path(self) -> Path:
        """The weights of the best epoch (submission/weights.py)."""
        return self.folder / "weights.npz"

    @property
    def curves_path(self) -> Path:
        """The learning curves as a picture."""
        return self.folder / "curves.png"

    @property
    def checkpoint_path(self) -> Path:
        """All that is needed to go on bit-exactly from the last epoch."""
        return self.folder / "checkpoint" / "state.npz"

    @property
    def tensorboard_path(self) -> Path:
        """Folder of TensorBoard's logs."""
        return self.folder / "tensorboard"

    @property
    def recipe(self) -> Recipe:
        """The recipe as used; UserError if it is damaged or was written by a version whose recipes have other fields."""
        try:
            with explained(self.recipe_path, "read"):
                return Recipe.from_json(self.recipe_path.read_text(encoding="utf-8"))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise UserError(
                f"The recipe of run {self.id} cannot be read by this version ({error}); check out the commit named in "
                f"{self.facts_path}, or mend {self.recipe_path} where somebody changed it."
            ) from error

    @property
    def facts(self) -> dict:
        """The content of run.json; UserError if it is damaged, and where a fact is asked for by a name that it lacks."""
        path = self.facts_path

        def damaged(how: str) -> UserError:
            return UserError(f"{path} is damaged{how}; put a copy of it back, or train a new run.")

        try:
            with explained(path, "read"):
                facts = json.loads(path.read_text(encoding="utf-8"), object_hook=lambda held: _Facts(held, path))
        except ValueError as error:
            raise damaged(f" ({error})") from error
        if not isinstance(facts, _Facts):
            raise damaged(", it holds no facts")
        for held, kinds in ((facts, KINDS), (facts.get("data") or {}, DATA_KINDS)):
            for name, kind in kinds.items():
                if held.get(name) is not None and not isinstance(held[name], kind):
                    raise damaged(f", {name!r} is {json.dumps(held[name])[:40]}")
        return facts

    def update(self, **facts: object) -> None:
        """Set facts in run.json, atomically; the others stay."""
        known = self.facts if self.facts_path.exists() else {}
        write_text(self.facts_path, json.dumps(known | facts, indent=2) + "\n")

    def save_weights(self, arrays: dict[str, np.ndarray], meta: dict) -> None:
        """Write the weights of the best epoch, atomically; UserError where the disk does not take them."""
        with explained(self.weights_path, "written", "make room on its disk, or check its permissions"):
            weights.save(self.weights_path, arrays, meta, storage="float32")

    def write_history(self, rows: list[dict]) -> None:
        """Write history.csv anew from one dict an epoch, all with the same keys."""
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_text(self.history_path, text.getvalue())

    @property
    def history(self) -> list[dict[str, str]]:
        """The lines of history.csv as text by column; empty before the first epoch."""
        if not self.history_path.exists():
            return []
        with self.history_path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; UserError if another one trains or compresses it.

        What a killed writer of weights (submission/weights.py) left is removed: only who holds the run writes them.
        """
        told = f"Run {self.id} is being trained or compressed by another process; wait for it or stop it first."
        with locked(self.checkpoint_path.parent / "lock", told):
            for path in (*self.folder.glob(".*.npz.*"), *self.folder.glob("compress/.*.npz.*")):
                if path.suffix[1:].isdecimal():  # a process id, unlike what build/scratch.py draws
                    path.unlink(missing_ok=True)
            yield

    @classmethod
    def create(cls, root: Path | str, recipe: Recipe, **facts: object) -> "Run":
        """Make a new run folder with the recipe and `facts` in it. Whoever trains it says when it is the latest run."""
        root = Path(root)
        with explained(root, "written"):
            root.mkdir(parents=True, exist_ok=True)
            while True:
                now = datetime.now().astimezone()
                folder = root / f"{now:%Y%m%d-%H%M%S}-{recipe.name}-{secrets.token_hex(4)}"
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    continue  # two runs of one second that drew the same characters
        run = cls(folder)
        write_text(run.recipe_path, recipe.to_json())
        run.update(id=run.id, created=now.isoformat(timespec="seconds"), **provenance(), **facts)
        return run

    def become_latest(self) -> None:
        """Make `latest` a link to this run, or a text file with its ID where the file system has no links."""
        assert self.id != LATEST
        link = self.folder.with_name(LATEST)
        if link.is_dir() and not link.is_symlink():
            return  # of runs that were copied with what their links point at; `open` then finds the newest
        scratch = self.folder.with_name(f".{LATEST}.{secrets.token_hex(4)}")
        try:
            scratch.symlink_to(self.id, target_is_directory=True)
        except OSError:
            with atomic(link, "w") as file:
                file.write(self.id + "\n")
            return
        scratch.replace(link)

    @classmethod
    def open(cls, name: str | Path, root: Path | str = "runs") -> "Run":
        """Open a run by its ID, by its folder, or by "latest"; UserError with one sentence if there is none.

        "latest" is the run begun last here; where that is gone, or runs were copied from elsewhere, the newest folder.
        """
        root = Path(root)
        if str(name) == LATEST:
            newest = max((run.folder for run in cls.each(root)), default=None)
            if newest is None:
                # A folder that may not be looked into has no runs in the eyes of `each`.
                with explained(root, "read"), suppress(FileNotFoundError, NotADirectoryError):
                    (root / (_target(root) or "") / "run.json").stat()
                raise UserError(f"There is no run yet in {root.resolve()}; train one first: nox -s train.")
            candidates = (root / (_target(root) or newest.name), newest)
        else:
            candidates = (root / name, Path(name))
        for folder in candidates:
            if folder.name == LATEST and (target := _target(folder.parent)):
                folder = folder.parent / target  # what is written must not follow the link when it moves on
            if (folder / "recipe.json").is_file() and (folder / "run.json").is_file():
                return cls(folder)
        known = [run.id for run in cls.each(root)]
        listed = f"the last ones are {', '.join(known[-5:])}" if known else "there is none yet"
        raise UserError(f"Found no run {str(name)!r} in {root.resolve()}: {listed}.")

    @classmethod
    def each(cls, root: Path | str = "runs") -> Iterator["Run"]:
        """Every run in `root`, oldest first."""
        for facts in sorted(Path(root).glob("*/run.json")):
            if facts.parent.name != LATEST:
                yield cls(facts.parent)


def provenance() -> dict:
    """Commit of the code, whether it was changed since, and versions of the packages; None where unknown."""
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD") or None,
        "dirty": None if status is None else bool(status),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _target(root: Path) -> str | None:
    link = root / LATEST
    if link.is_symlink():
        return str(link.readlink())
    return link.read_text(encoding="utf-8").strip() if link.is_file() else None
