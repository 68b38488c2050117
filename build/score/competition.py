"""Competition bundles, version 2: `load(bundle, scratch)` reads what the judge needs of one.

It raises UserError at the first rule of Codabench's unpacker that the bundle breaks. The rules themselves are in unpacker/.
"""

import contextlib
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from build.errors import UserError
from build.files import DAMAGED
from build.score.outcome import Finding
from build.score.unpack import unpack
from build.score.unpacker.phases import DEFAULT_TIME_LIMIT
from build.score.unpacker.rules import DATA, DEFAULT_IMAGE, violations


@dataclass(frozen=True)
class Task:
    """One task: its folders (unpacked), None where it has none."""

    name: str
    scoring_program: Path
    ingestion_program: Path | None
    input_data: Path | None
    reference_data: Path | None
    ingestion_only_during_scoring: bool = False


@dataclass(frozen=True)
class Phase:
    """One phase, in order."""

    tasks: tuple[int, ...]
    execution_time_limit: float


@dataclass(frozen=True)
class Competition:
    """What the judge needs of a bundle."""

    docker_image: str
    queue: str
    """Of workers of its own; empty: the server's default queue."""
    detailed_results: bool
    tasks: dict[int, Task]
    phases: tuple[Phase, ...]
    columns: tuple[str, ...]
    """Keys of the leaderboard's columns that are not computed, by index."""
    primary: str
    """Key of the column that ranks."""
    findings: tuple[Finding, ...] = field(default=())
    """Rules that it breaks though the unpacker takes it."""


def _values(folder: Path) -> dict | Finding:
    """competition.yaml as a mapping, or what is wrong with it."""
    path = folder / "competition.yaml"
    if not path.is_file():
        inner = sorted(found.parent.name for found in folder.glob("*/competition.yaml"))
        remedy = f"Zip the contents of {inner[0]}/, not the folder." if inner else "Put competition.yaml at the root."
        return Finding("no-yaml", "error", "The bundle has no competition.yaml at its root.", remedy)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        return Finding(
            "yaml", "error", f"competition.yaml cannot be read ({reason}).", "Correct the YAML.", "competition.yaml"
        )
    if not isinstance(values, dict):
        return Finding(
            "yaml", "error", "competition.yaml is not a mapping.", "Start it with `version: 2`.", "competition.yaml"
        )
    return values


def _opened(bundle: Path, scratch: Path) -> Path:
    """The bundle as a folder: itself, or its zip unpacked below `scratch`."""
    bundle = Path(bundle)
    if bundle.is_dir():
        return bundle
    if not bundle.is_file():
        raise UserError(f"There is no bundle at {bundle}; give a folder or a zip that holds competition.yaml.")
    folder = scratch / "bundle"
    if refusal := unpack(bundle, folder, trusted=True):
        raise UserError(f"The bundle {bundle} cannot be unpacked: {refusal.sentence} {refusal.remedy}")
    return folder


def docker_image(bundle: Path) -> str:
    """The image that the bundle (folder or zip) names, by its competition.yaml alone; Codabench's default where it names none."""
    bundle = Path(bundle)
    values: object = _values(bundle) if bundle.is_dir() else None
    if bundle.is_file():
        with contextlib.suppress(yaml.YAMLError, *DAMAGED), zipfile.ZipFile(bundle) as archive:  # `load` says it
            values = yaml.safe_load(archive.read("competition.yaml").decode())
    return str(values.get("docker_image", DEFAULT_IMAGE)) if isinstance(values, dict) else DEFAULT_IMAGE


def load(bundle: Path, scratch: Path) -> Competition:
    """Read the bundle (folder or zip). UserError where Codabench's unpacker would refuse it. `scratch` takes unpacked zips."""
    folder = _opened(bundle, scratch)
    values = _values(folder)
    findings = [values] if isinstance(values, Finding) else violations(folder, values)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        if errors[0].rule == "version" and str(values.get("version", 1)) == "1":
            raise UserError(
                f"The bundle {bundle} is of version 1.5, and the judge reads version 2 only. {errors[0].remedy}{more}"
            )
        raise UserError(f"Codabench would refuse the bundle {bundle}: {errors[0].message} {errors[0].remedy}{more}")
    tasks = {entry["index"]: _task(entry, folder, scratch) for entry in values["tasks"]}
    board = values["leaderboards"][0]
    columns = sorted(board["columns"], key=lambda column: column["index"])
    return Competition(
        docker_image=str(values.get("docker_image", DEFAULT_IMAGE)),
        queue=str(values.get("queue") or ""),
        detailed_results=bool(values.get("enable_detailed_results", False)),
        tasks=tasks,
        phases=tuple(_phases(values["phases"])),
        columns=tuple(column["key"] for column in columns if not column.get("computation")),
        primary=next(column["key"] for column in columns if column["index"] == board.get("primary_index", 0)),
        findings=tuple(findings),
    )


def _phases(entries: list[dict]) -> Iterator[Phase]:
    for entry in sorted(entries, key=lambda phase: phase.get("index", 0)):
        yield Phase(
            tasks=tuple(entry["tasks"]),
            execution_time_limit=float(entry.get("execution_time_limit", DEFAULT_TIME_LIMIT)),
        )


def _task(entry: dict, folder: Path, scratch: Path) -> Task:
    if "key" in entry:
        raise UserError(f"Task {entry['index']} is named by its key; the judge needs its files in the bundle.")
    folders: dict[str, Path | None] = {}
    for kind in DATA:
        if kind not in entry:
            folders[kind] = None
            continue
        path = folder / entry[kind]
        if not path.exists():
            raise UserError(
                f"{kind} of task {entry['index']} is named by its key; the judge needs its files in the bundle."
            )
        if path.is_file():
            target = scratch / "tasks" / f"{entry['index']}-{kind}"
            shutil.rmtree(target, ignore_errors=True)
            if refusal := unpack(path, target, trusted=True):
                raise UserError(f"{entry[kind]} of the bundle cannot be unpacked: {refusal.sentence} {refusal.remedy}")
            path = target
        folders[kind] = path
    only_scoring = bool(entry.get("ingestion_only_during_scoring", False))
    return Task(str(entry.get("name") or entry["index"]), ingestion_only_during_scoring=only_scoring, **folders)
