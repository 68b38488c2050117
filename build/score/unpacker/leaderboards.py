"""The unpacker's rules for leaderboards. Only the first is attached to the phases, so only the first is looked at."""

from build.score.leaderboard import rules
from build.score.unpacker.walk import Walk

RULES = tuple(rules.RULES)
"""A tuple: YAML may give a value that cannot be hashed."""
COMPUTATIONS = ("sum", "avg", "min", "max")
LONGEST = 36
"""Characters of a column's key and title."""


def check_leaderboards(walk: Walk) -> None:
    """Report what is wrong with the leaderboard."""
    if "leaderboards" not in walk.values and "leaderboard" in walk.values:
        sentence = "competition.yaml has `leaderboard`, but the unpacker reads `leaderboards`."
        walk.say("leaderboards", sentence, "Rename it; it is a list.")
        return
    boards = walk.listed("leaderboards", "Add `leaderboards: [{title: ..., key: main, columns: [...]}]`.")
    for board in boards[:1]:  # the others are read by nobody
        for key in ("title", "key"):
            if not board.get(key):
                walk.say("leaderboard", f"The leaderboard has no {key}.", f"Add `{key}: ...`.")
        rule = board.get("submission_rule", "Add")
        if rule not in RULES:
            walk.say("submission-rule", f"The submission_rule is {rule!r}.", f"Choose one of {', '.join(RULES)}.")
        columns = board.get("columns")
        if not isinstance(columns, list) or not columns or not all(isinstance(column, dict) for column in columns):
            walk.say(
                "columns",
                "The leaderboard has no columns.",
                "Add `columns: [{title: ..., key: accuracy, index: 0}]`.",
            )
            continue
        _columns(walk, columns, board.get("primary_index", 0))


def _columns(walk: Walk, columns: list[dict], primary: object) -> None:
    for key in ("key", "index"):
        values = [column.get(key) for column in columns]
        if not all(isinstance(value, str if key == "key" else int) for value in values) or len(set(values)) < len(
            values
        ):
            walk.say(
                "columns",
                f"The columns' {key} values {values} are not all there and unique.",
                f"Give each column its own {key}.",
            )
    indexes = {column.get("index") for column in columns if isinstance(column.get("index"), int)}
    if not isinstance(primary, int) or primary not in indexes:
        walk.say(
            "primary-index", f"primary_index is {primary!r}, which is no column's index.", "Name a column's index."
        )
    for column in columns:
        name = column.get("key")
        for key in ("key", "title"):
            if len(str(column.get(key) or "")) > LONGEST or not column.get(key):
                sentence = f"Column {name!r}: its {key} must have 1 to {LONGEST} characters."
                walk.say("columns", sentence, f"Give it a {key} of that length.")
        if column.get("sorting", "desc") not in ("asc", "desc"):
            walk.say("sorting", f"Column {name!r} has the sorting {column['sorting']!r}.", "Choose asc or desc.")
        precision = column.get("precision", 2)
        if not isinstance(precision, int) or not 0 <= precision <= 10:
            walk.say("precision", f"Column {name!r} has the precision {precision!r}.", "Give a whole number up to 10.")
        _computed(walk, column, indexes)


def _computed(walk: Walk, column: dict, indexes: set) -> None:
    name = column.get("key")
    has = [key for key in ("computation", "computation_indexes") if column.get(key)]
    if not has:
        return
    if len(has) == 1:
        sentence = f"Column {name!r} has {has[0]} alone."
        walk.say("computation", sentence, "A computed column needs computation and computation_indexes.")
        return
    if column["computation"] not in COMPUTATIONS:
        walk.say(
            "computation",
            f"Column {name!r} computes {column['computation']!r}.",
            f"Choose {', '.join(COMPUTATIONS)}.",
        )
    used = column["computation_indexes"] if isinstance(column["computation_indexes"], list) else []
    known = [index for index in used if isinstance(index, int) and index in indexes]
    if column.get("index") in used or not used or known != used:
        sentence = f"Column {name!r} is computed from the columns {used}."
        walk.say("computation", sentence, "Name the indexes of other columns.")
