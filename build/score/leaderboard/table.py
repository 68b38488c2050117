"""The board as a table for the terminal."""

from rich import box
from rich.markup import escape
from rich.table import Table

from build.score.leaderboard.ranking import Board, shown_score, suites_of

STYLES = {"reported": "dim", "recorded": "bold", "forecast": "", "failed": "red", "none": "dim"}
WIDE = 190
"""What a pipe or a file gets."""
FIRST = ("stacked", "held-out", "basic")
"""Suites that a narrow terminal shows before the others; the page has all."""
FIXED = {"#": 4, "score": 17, "origin": 10, "entry": 10}
TEAM, MODEL = (10, 20), (12, 34)
"""Least and most characters."""

GAP = 2
"""Characters that rich's simple box and our padding put between columns, and at the edges together."""


def layout(board: Board, width: int) -> dict[str, int]:
    """Width of each column, chosen so that a line fits into `width` characters (at least 80).

    Suites, size and time are left out from the right where they do not fit.
    """
    suites = sorted(suites_of(board), key=lambda name: (*FIRST, name).index(name))
    left = width - sum(FIXED.values()) - TEAM[0] - MODEL[0] - GAP * (len(FIXED) + 2)
    shown = {}
    for name in (*suites, "MB", "s/1000"):
        wanted = max(5, len(name))
        if left < wanted + GAP:
            break
        shown[name], left = wanted, left - wanted - GAP
    model = min(MODEL[1], MODEL[0] + left)
    team = min(TEAM[1], TEAM[0] + left - (model - MODEL[0]))
    ordered = {name: shown[name] for name in (*suites_of(board), "MB", "s/1000") if name in shown}
    return {
        "#": FIXED["#"],
        "team": team,
        "model": model,
        **{k: FIXED[k] for k in ("score", "origin", "entry")},
        **ordered,
    }


def table(board: Board, width: int = WIDE) -> Table:
    """The board for a terminal of `width` columns; entries without a position do not stand on it."""
    title = f"Leaderboard, {board.phase} phase, rule {board.rule}"
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = layout(board, width)
    for name, size in columns.items():
        right = name not in ("team", "model", "score", "origin", "entry")
        grid.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=size,
            max_width=size,
        )
    for line in board.lines:
        values = {name: f"{100 * accuracy:.1f}" for name, accuracy in line.suites.items()}
        size, seconds = line.facts.get("zip_bytes"), line.facts.get("seconds_per_1000")
        values |= {
            "#": f"{line.position}{'=' if line.tied else ''}" if line.position else "–",
            "team": escape(line.team),
            "model": escape(line.model),
            "score": shown_score(line),
            "origin": "the report" if line.facts.get("report") else line.kind,
            "entry": "" if line.kind == "reported" else escape(line.id),
            "MB": f"{size / 1e6:.1f}" if size else "",
            "s/1000": f"{seconds:.1f}" if seconds else "",
        }
        grid.add_row(*(values.get(name, "") for name in columns), style=STYLES[line.kind])
    return grid
