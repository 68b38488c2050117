"""The rules of Codabench's unpacker for competition.yaml, version 2: one sentence and one remedy a violation.

Source: codalab/codabench src/apps/competitions/unpackers/{base_unpacker,v2,utils}.py, src/apps/leaderboards/models.py.
Not covered: datasets named by UUID (they live on the server) and version 1.5 bundles.
"""

import datetime
import uuid
import zipfile
from pathlib import Path

from build.score import metadata
from build.score.outcome import Finding

RULES = ("Add", "Add_And_Delete", "Add_And_Delete_Multiple", "Force_Last", "Force_Latest_Multiple", "Force_Best")
COMPUTATIONS = ("sum", "avg", "min", "max")
DATA = ("scoring_program", "ingestion_program", "input_data", "reference_data")
FACT_KEYS = {"key", "type", "title", "selection", "is_required", "is_on_leaderboard"}
DEFAULT_IMAGE = "codalab/codalab-legacy:py37"
DEFAULT_TIME_LIMIT = 600
LONGEST = 36
"""Characters of a column's key and title."""


def moment(value: object) -> datetime.datetime | None:
    """A date of competition.yaml as the unpacker takes it (UTC); None for an empty one. ValueError where it is none.

    An unquoted date with a time is read by YAML as a datetime, and the unpacker cuts it to midnight; a quoted one keeps its time.
    """
    if not value:
        return None
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no date")
    try:
        return datetime.datetime.fromisoformat(value.strip()).replace(tzinfo=datetime.UTC)
    except ValueError:
        for form in ("%m-%d-%Y", "%m/%d/%Y", "%B %d, %Y", "%Y-%m-%d %H:%M"):
            try:
                return datetime.datetime.strptime(value.strip(), form).replace(tzinfo=datetime.UTC)
            except ValueError:
                continue
    raise ValueError(f"{value!r} is no date")


class Rules:
    """Walks through competition.yaml in the unpacker's order."""

    def __init__(self, folder: Path, values: dict):
        self.folder, self.values = folder, values
        self.findings: list[Finding] = []

    def say(self, rule: str, message: str, remedy: str, severity: str = "error") -> None:
        self.findings.append(Finding(rule, severity, message, remedy, "competition.yaml"))

    def inside(self, name: object) -> Path | None:
        """The path of a file that the YAML names, None where it is no text or leads out of the bundle."""
        if not isinstance(name, str) or not name:
            return None
        path = (self.folder / name).resolve()
        return path if path.is_relative_to(self.folder.resolve()) else None

    def text_file(self, rule: str, what: str, name: object) -> None:
        path = self.inside(name)
        if path is None or not path.is_file():
            self.say(
                rule,
                f"{what} names the file {name!r}, which is not in the bundle.",
                "Add the file or correct its path.",
            )
        elif not path.read_bytes().strip():
            self.say(rule, f"{what} names the file {name!r}, which is empty.", "Write something into it.")

    def listed(self, key: str, rule: str, remedy: str) -> list[dict]:
        """The entries of a list that must be there; what is no mapping is reported and left out."""
        found = self.values.get(key)
        if not isinstance(found, list) or not found:
            self.say(rule, f"competition.yaml has no list {key!r}.", remedy)
            return []
        for entry in found:
            if not isinstance(entry, dict):
                self.say(rule, f"An entry of {key!r} is {entry!r}, not a mapping.", remedy)
        return [entry for entry in found if isinstance(entry, dict)]

    def top(self) -> None:
        version = self.values.get("version")
        if str(version) != "2":
            remedy = "Write `version: 2` at the top; without it the unpacker takes the bundle for version 1.5."
            self.say("version", f"competition.yaml has version {version!r}, expected 2.", remedy)
        if not self.values.get("title"):
            self.say("title", "competition.yaml has no title.", "Add `title: ...`.")
        image = self.inside(self.values.get("image"))
        if image is None or not image.is_file():
            name = self.values.get("image")
            self.say(
                "image",
                f"competition.yaml's image is {name!r}, which is no file of the bundle.",
                "Add `image: logo.png` and the file.",
            )
        self.text_file("terms", "`terms`", self.values.get("terms"))
        for page in self.listed("pages", "pages", "Add `pages: [{title: Overview, file: overview.md}]`."):
            self.text_file("pages", "A page", page.get("file"))
        kind = self.values.get("competition_type", "competition")
        if kind not in ("competition", "benchmark"):
            self.say("competition-type", f"competition_type is {kind!r}.", "Choose competition or benchmark.")

    def tasks(self) -> set:
        indexes: set = set()
        for task in self.listed(
            "tasks", "tasks", "Add `tasks: [{index: 0, name: ..., scoring_program: scoring_program/}]`."
        ):
            index, name = task.get("index"), task.get("name") or task.get("key")
            if not isinstance(index, int):
                self.say("task-index", f"Task {name!r} has no index.", "Give each task `index: 0`, 1, 2 ...")
                continue
            if index in indexes:
                self.say("task-index", f"Two tasks have the index {index}.", "Give each task an index of its own.")
            indexes.add(index)
            if "key" in task:
                continue
            if "scoring_program" not in task:
                self.say(
                    "scoring-program",
                    f"Task {name!r} has no scoring_program.",
                    "Add `scoring_program: scoring_program/`.",
                )
            for kind in DATA:
                if kind in task:
                    self.data(kind, task[kind])
        return indexes

    def data(self, kind: str, name: object) -> None:
        """A dataset of a task: a folder or zip of the bundle, or a UUID."""
        path = self.inside(name)
        if path is None or not path.exists():
            if not _is_uuid(name):
                self.say(
                    "dataset",
                    f"{kind} names {name!r}, which is not in the bundle.",
                    "Add the folder or zip, or give a UUID.",
                )
        elif path.is_file() and not zipfile.is_zipfile(path):
            self.say(
                "dataset", f"{kind} names {name!r}, which is neither a folder nor a zip.", "Name a folder or a zip."
            )
        elif path.is_dir() and kind.endswith("_program"):
            found = metadata.read(path, "ingestion")
            if found.action == "refuse":
                self.say(
                    "program", f"{name}: {found.message}.", "Add metadata.yaml with `command: python3 $program/...`."
                )

    def phases(self, tasks: set) -> None:
        phases = self.listed(
            "phases", "phases", "Add `phases: [{index: 0, name: ..., start: 2024-11-08, tasks: [0]}]`."
        )
        phases = sorted(phases, key=lambda phase: phase["index"] if isinstance(phase.get("index"), int) else 0)
        before: tuple[str, datetime.datetime | None] | None = None
        for order, phase in enumerate(phases):
            if not isinstance(phase.get("index", 0), int):
                self.say("phase-index", f"A phase has the index {phase['index']!r}.", "Give whole numbers.")
            name = str(phase.get("name") or order)
            if not isinstance(phase.get("tasks"), list) or not phase["tasks"]:
                self.say("phase-tasks", f"Phase {name!r} has no tasks.", "Add `tasks: [0]`.")
            elif unknown := [task for task in phase["tasks"] if not isinstance(task, int) or task not in tasks]:
                self.say(
                    "phase-tasks",
                    f"Phase {name!r} names task {unknown[0]!r}, which does not exist.",
                    "Name a task's index.",
                )
            start, end = self.dates(phase, name)
            if before is not None and start is not None:
                if before[1] is None:
                    self.say("phase-end", f"Phase {before[0]!r} has no end, but a phase after it.", "Add `end: ...`.")
                elif start <= before[1]:
                    sentence = f"Phase {name!r} starts before or when phase {before[0]!r} ends."
                    self.say("phase-order", sentence, "Let each phase start after the end of the one before.")
            if phase.get("auto_migrate_to_this_phase") and order == 0:
                sentence = f"Phase {name!r} is the first and cannot be migrated to."
                self.say("auto-migrate", sentence, "Leave auto_migrate_to_this_phase out of the first phase.")
            limit = phase.get("execution_time_limit", DEFAULT_TIME_LIMIT)
            if not isinstance(limit, int) or limit <= 0:
                self.say(
                    "time-limit",
                    f"Phase {name!r} has the execution_time_limit {limit!r}.",
                    "Give whole seconds above 0.",
                )
            before = (name, end)

    def dates(self, phase: dict, name: str) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        found = []
        for key in ("start", "end"):
            value = phase.get(key)
            if isinstance(value, datetime.datetime) and value.time() != datetime.time():
                sentence = f"Phase {name!r}: the time of `{key}: {value}` is dropped because the date is not quoted."
                self.say("unquoted-date", sentence, f"Write `{key}: '{value}'`.", "warning")
            try:
                found.append(moment(value))
            except ValueError:
                self.say(
                    "date", f"Phase {name!r}: {key} is {value!r}, not a date.", "Write it as '2024-11-08 13:30:00'."
                )
                found.append(None)
        if not phase.get("start"):
            self.say("phase-start", f"Phase {name!r} has no start.", "Add `start: 2024-11-08`.")
        return found[0], found[1]

    def leaderboards(self) -> None:
        if "leaderboards" not in self.values and "leaderboard" in self.values:
            sentence = "competition.yaml has `leaderboard`, but the unpacker reads `leaderboards`."
            self.say("leaderboards", sentence, "Rename it; it is a list.")
            return
        boards = self.listed(
            "leaderboards", "leaderboards", "Add `leaderboards: [{title: ..., key: main, columns: [...]}]`."
        )
        for board in boards[:1]:  # the others are read by nobody
            for key in ("title", "key"):
                if not board.get(key):
                    self.say("leaderboard", f"The leaderboard has no {key}.", f"Add `{key}: ...`.")
            rule = board.get("submission_rule", "Add")
            if rule not in RULES:
                self.say("submission-rule", f"The submission_rule is {rule!r}.", f"Choose one of {', '.join(RULES)}.")
            columns = board.get("columns")
            if not isinstance(columns, list) or not columns or not all(isinstance(column, dict) for column in columns):
                self.say(
                    "columns",
                    "The leaderboard has no columns.",
                    "Add `columns: [{title: ..., key: accuracy, index: 0}]`.",
                )
                continue
            self.columns(columns, board.get("primary_index", 0))

    def columns(self, columns: list[dict], primary: object) -> None:
        for key in ("key", "index"):
            values = [column.get(key) for column in columns]
            if not all(isinstance(value, str if key == "key" else int) for value in values) or len(set(values)) < len(
                values
            ):
                self.say(
                    "columns",
                    f"The columns' {key} values {values} are not all there and unique.",
                    f"Give each column its own {key}.",
                )
        indexes = {column.get("index") for column in columns if isinstance(column.get("index"), int)}
        if not isinstance(primary, int) or primary not in indexes:
            self.say(
                "primary-index", f"primary_index is {primary!r}, which is no column's index.", "Name a column's index."
            )
        for column in columns:
            name = column.get("key")
            for key in ("key", "title"):
                if len(str(column.get(key) or "")) > LONGEST or not column.get(key):
                    sentence = f"Column {name!r}: its {key} must have 1 to {LONGEST} characters."
                    self.say("columns", sentence, f"Give it a {key} of that length.")
            if column.get("sorting", "desc") not in ("asc", "desc"):
                self.say("sorting", f"Column {name!r} has the sorting {column['sorting']!r}.", "Choose asc or desc.")
            precision = column.get("precision", 2)
            if not isinstance(precision, int) or not 0 <= precision <= 10:
                self.say(
                    "precision", f"Column {name!r} has the precision {precision!r}.", "Give a whole number up to 10."
                )
            self.computed(column, indexes)

    def computed(self, column: dict, indexes: set) -> None:
        name = column.get("key")
        has = [key for key in ("computation", "computation_indexes") if column.get(key)]
        if not has:
            return
        if len(has) == 1:
            sentence = f"Column {name!r} has {has[0]} alone."
            self.say("computation", sentence, "A computed column needs computation and computation_indexes.")
            return
        if column["computation"] not in COMPUTATIONS:
            self.say(
                "computation",
                f"Column {name!r} computes {column['computation']!r}.",
                f"Choose {', '.join(COMPUTATIONS)}.",
            )
        used = column["computation_indexes"] if isinstance(column["computation_indexes"], list) else []
        known = [index for index in used if isinstance(index, int) and index in indexes]
        if column.get("index") in used or not used or known != used:
            sentence = f"Column {name!r} is computed from the columns {used}."
            self.say("computation", sentence, "Name the indexes of other columns.")

    def extras(self, tasks: set) -> None:
        facts = self.values.get("fact_sheet")
        for key, fact in facts.items() if isinstance(facts, dict) else ():
            if not isinstance(fact, dict) or set(fact) != FACT_KEYS:
                sentence = f"The fact sheet's {key!r} must have exactly the keys {', '.join(sorted(FACT_KEYS))}."
                self.say("fact-sheet", sentence, "Add what is missing, remove the rest.")
        solutions = self.values.get("solutions")
        for solution in solutions if isinstance(solutions, list) else ():
            if not isinstance(solution, dict) or "index" not in solution or not isinstance(solution.get("tasks"), list):
                self.say("solutions", f"The solution {solution!r} needs an index and tasks.", "Add both.")
            elif not all(isinstance(task, int) and task in tasks for task in solution["tasks"]):
                self.say(
                    "solutions",
                    f"A solution names the tasks {solution['tasks']}, some unknown.",
                    "Name tasks' indexes.",
                )
            elif "key" not in solution and not ((path := self.inside(solution.get("path"))) and path.exists()):
                self.say(
                    "solutions",
                    f"A solution's path is {solution.get('path')!r}, which is not in the bundle.",
                    "Add the file.",
                )

    def run(self) -> list[Finding]:
        self.top()
        tasks = self.tasks()
        self.phases(tasks)
        self.leaderboards()
        self.extras(tasks)
        return self.findings


def _is_uuid(name: object) -> bool:
    try:
        uuid.UUID(str(name))
    except ValueError:
        return False
    return True
