"""The unpacker's rules for phases and their dates."""

import datetime

from dateutil import parser

from build.score.unpacker.walk import Walk

DEFAULT_TIME_LIMIT = 600
"""Seconds a job may take where the phase says nothing."""
QUOTAS = ("max_submissions_per_day", "max_submissions")


def moment(value: object) -> datetime.datetime | None:
    """A date of competition.yaml as the unpacker takes it (UTC); None for an empty one. ValueError where it is none.

    A time zone in the text is ignored, and 8-7-2019 is a day of August, as the unpacker has it.
    An unquoted date with a time is read by YAML as a datetime, and the unpacker cuts it to midnight; a quoted one keeps its time.
    """
    if not value:
        return None
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no date")
    try:
        return parser.parse(value, ignoretz=True).replace(tzinfo=datetime.UTC)
    except OverflowError as error:
        raise ValueError(f"{value!r} is no date") from error


def check_phases(walk: Walk, tasks: set) -> None:
    """Report what is wrong with the phases; `tasks` are the known task indexes."""
    phases = walk.listed("phases", "Add `phases: [{index: 0, name: ..., start: 2024-11-08, tasks: [0]}]`.")
    phases = sorted(phases, key=lambda phase: phase["index"] if isinstance(phase.get("index"), int) else 0)
    before: tuple[str, datetime.datetime | None] | None = None
    for order, phase in enumerate(phases):
        if not isinstance(phase.get("index", 0), int):
            walk.say("phase-index", f"A phase has the index {phase['index']!r}.", "Give whole numbers.")
        name = str(phase.get("name") or order)
        if not isinstance(phase.get("tasks"), list) or not phase["tasks"]:
            walk.say("phase-tasks", f"Phase {name!r} has no tasks.", "Add `tasks: [0]`.")
        elif unknown := [task for task in phase["tasks"] if not isinstance(task, int) or task not in tasks]:
            walk.say(
                "phase-tasks",
                f"Phase {name!r} names task {unknown[0]!r}, which does not exist.",
                "Name a task's index.",
            )
        start, end = _dates(walk, phase, name)
        if before is not None and start is not None:
            if before[1] is None:
                walk.say("phase-end", f"Phase {before[0]!r} has no end, but a phase after it.", "Add `end: ...`.")
            elif start <= before[1]:
                sentence = f"Phase {name!r} starts before or when phase {before[0]!r} ends."
                walk.say("phase-order", sentence, "Let each phase start after the end of the one before.")
        if phase.get("auto_migrate_to_this_phase") and order == 0:
            sentence = f"Phase {name!r} is the first and cannot be migrated to."
            walk.say("auto-migrate", sentence, "Leave auto_migrate_to_this_phase out of the first phase.")
        limit = phase.get("execution_time_limit", DEFAULT_TIME_LIMIT)
        if not isinstance(limit, int) or limit <= 0:
            walk.say(
                "time-limit",
                f"Phase {name!r} has the execution_time_limit {limit!r}.",
                "Give whole seconds above 0.",
            )
        for key in QUOTAS:
            quota = phase.get(key)  # an empty one means no limit
            if quota is not None and (not isinstance(quota, int) or quota < 0):
                walk.say("quota", f"Phase {name!r} has the {key} {quota!r}.", "Give a whole number.")
        before = (name, end)


def _dates(walk: Walk, phase: dict, name: str) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    found = []
    for key in ("start", "end"):
        value = phase.get(key)
        if isinstance(value, datetime.datetime) and value.time() != datetime.time():
            sentence = f"Phase {name!r}: the time of `{key}: {value}` is dropped because the date is not quoted."
            walk.say("unquoted-date", sentence, f"Write `{key}: '{value}'`.", "warning")
        try:
            found.append(moment(value))
        except ValueError:
            walk.say("date", f"Phase {name!r}: {key} is {value!r}, not a date.", "Write it as '2024-11-08 13:30:00'.")
            found.append(None)
    if not phase.get("start"):
        walk.say("phase-start", f"Phase {name!r} has no start.", "Add `start: 2024-11-08`.")
    return found[0], found[1]
