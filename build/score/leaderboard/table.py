"""The board as a table for the terminal."""

from rich import box
from rich.markup import escape
from rich.table import Table

from build.score.leaderboard.ranking import Board, shown_score, suites_of

STYLES = {"reported": "dim", "recorded": "bold", "forecast": "", "failed": "red", "none": "dim"}
NARROW = 165
"""Terminals with fewer columns get the suites that matter most; the page has all."""
WIDE = 190
"""What a pipe or a file gets."""


def table(board: Board, width: int = NARROW) -> Table:
    """The board for a terminal of `width` columns; entries without a position do not stand on it."""
    suites = suites_of(board)
    if width < NARROW:
        suites = [name for name in suites if name in ("held-out", "basic", "stacked")]
    title = f"Leaderboard, {board.phase} phase, rule {board.rule}"
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("#", justify="right", no_wrap=True, min_width=3)
    grid.add_column("team", no_wrap=True, overflow="ellipsis", min_width=10, max_width=20)
    grid.add_column("model", no_wrap=True, overflow="ellipsis", min_width=12, max_width=34)
    grid.add_column("score", no_wrap=True, min_width=17)
    grid.add_column("origin", no_wrap=True, min_width=10)
    grid.add_column("entry", no_wrap=True, min_width=10)
    for name in (*suites, "MB", "s/1000"):
        grid.add_column(name, justify="right", no_wrap=True, min_width=max(5, len(name)))
    for line in board.lines:
        position = f"{line.position}{'=' if line.tied else ''}" if line.position else "–"
        size, seconds = line.facts.get("zip_bytes"), line.facts.get("seconds_per_1000")
        mark = "the report" if line.facts.get("report") else line.kind
        grid.add_row(
            position,
            escape(line.team),
            escape(line.model),
            shown_score(line),
            mark,
            "" if line.kind == "reported" else escape(line.id),
            *(f"{100 * line.suites[name]:.1f}" if name in line.suites else "" for name in suites),
            f"{size / 1e6:.1f}" if size else "",
            f"{seconds:.1f}" if seconds else "",
            style=STYLES[line.kind],
        )
    return grid
