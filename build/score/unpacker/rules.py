"""The rules of Codabench's unpacker for competition.yaml, version 2: one sentence and one remedy a violation.

Source: codalab/codabench src/apps/competitions/unpackers/{base_unpacker,v2,utils}.py, src/apps/leaderboards/models.py.
Phases and leaderboards have files of their own. Not covered: datasets named by UUID (they live on the server) and version 1.5
bundles.
"""

import uuid
import zipfile
from pathlib import Path

from build.score import metadata
from build.score.outcome import Finding
from build.score.unpacker.leaderboards import check_leaderboards
from build.score.unpacker.phases import check_phases
from build.score.unpacker.walk import Walk

DATA = ("scoring_program", "ingestion_program", "input_data", "reference_data")
FACT_KEYS = {"key", "type", "title", "selection", "is_required", "is_on_leaderboard"}
DEFAULT_IMAGE = "codalab/codalab-legacy:py37"


def violations(folder: Path, values: dict) -> list[Finding]:
    """Every rule that the values of a bundle's competition.yaml break, in the unpacker's order."""
    walk = Walk(folder, values)
    _top(walk)
    tasks = _tasks(walk)
    check_phases(walk, tasks)
    check_leaderboards(walk)
    _extras(walk, tasks)
    return walk.findings


def _top(walk: Walk) -> None:
    version = walk.values.get("version")
    if str(version) != "2":
        remedy = "Write `version: 2` at the top; without it the unpacker takes the bundle for version 1.5."
        walk.say("version", f"competition.yaml has version {version!r}, expected 2.", remedy)
    if not walk.values.get("title"):
        walk.say("title", "competition.yaml has no title.", "Add `title: ...`.")
    image = walk.inside(walk.values.get("image"))
    if image is None or not image.is_file():
        name = walk.values.get("image")
        walk.say(
            "image",
            f"competition.yaml's image is {name!r}, which is no file of the bundle.",
            "Add `image: logo.png` and the file.",
        )
    walk.text_file("terms", "`terms`", walk.values.get("terms"))
    for page in walk.listed("pages", "Add `pages: [{title: Overview, file: overview.md}]`."):
        walk.text_file("pages", "A page", page.get("file"))
    kind = walk.values.get("competition_type", "competition")
    if kind not in ("competition", "benchmark"):
        walk.say("competition-type", f"competition_type is {kind!r}.", "Choose competition or benchmark.")


def _tasks(walk: Walk) -> set:
    indexes: set = set()
    for task in walk.listed("tasks", "Add `tasks: [{index: 0, name: ..., scoring_program: scoring_program/}]`."):
        index, name = task.get("index"), task.get("name") or task.get("key")
        if not isinstance(index, int):
            walk.say("task-index", f"Task {name!r} has no index.", "Give each task `index: 0`, 1, 2 ...")
            continue
        if index in indexes:
            walk.say("task-index", f"Two tasks have the index {index}.", "Give each task an index of its own.")
        indexes.add(index)
        if "key" in task:
            continue
        if "scoring_program" not in task:
            walk.say(
                "scoring-program",
                f"Task {name!r} has no scoring_program.",
                "Add `scoring_program: scoring_program/`.",
            )
        for kind in DATA:
            if kind in task:
                _data(walk, kind, task[kind])
    return indexes


def _data(walk: Walk, kind: str, name: object) -> None:
    """A dataset of a task: a folder or zip of the bundle, or a UUID."""
    path = walk.inside(name)
    if path is None or not path.exists():
        if not _is_uuid(name):
            walk.say(
                "dataset",
                f"{kind} names {name!r}, which is not in the bundle.",
                "Add the folder or zip, or give a UUID.",
            )
    elif path.is_file() and not zipfile.is_zipfile(path):
        walk.say("dataset", f"{kind} names {name!r}, which is neither a folder nor a zip.", "Name a folder or a zip.")
    elif path.is_dir() and kind.endswith("_program"):
        found = metadata.read(path, "ingestion")
        if found.action == "refuse":
            # The unpacker does not look; every submission would fail.
            remedy = "Add metadata.yaml with `command: python3 $program/...`."
            walk.say("program", f"{name}: {found.message}.", remedy, "warning")


def _extras(walk: Walk, tasks: set) -> None:
    facts = walk.values.get("fact_sheet")
    for key, fact in facts.items() if isinstance(facts, dict) else ():
        if not isinstance(fact, dict) or set(fact) != FACT_KEYS:
            sentence = f"The fact sheet's {key!r} must have exactly the keys {', '.join(sorted(FACT_KEYS))}."
            walk.say("fact-sheet", sentence, "Add what is missing, remove the rest.")
    solutions = walk.values.get("solutions")
    for solution in solutions if isinstance(solutions, list) else ():
        if not isinstance(solution, dict) or "index" not in solution or not isinstance(solution.get("tasks"), list):
            walk.say("solutions", f"The solution {solution!r} needs an index and tasks.", "Add both.")
        elif not all(isinstance(task, int) and task in tasks for task in solution["tasks"]):
            walk.say(
                "solutions",
                f"A solution names the tasks {solution['tasks']}, some unknown.",
                "Name tasks' indexes.",
            )
        elif "key" not in solution and not ((path := walk.inside(solution.get("path"))) and path.exists()):
            walk.say(
                "solutions",
                f"A solution's path is {solution.get('path')!r}, which is not in the bundle.",
                "Add the file.",
            )


def _is_uuid(name: object) -> bool:
    try:
        uuid.UUID(str(name))
    except ValueError:
        return False
    return True
