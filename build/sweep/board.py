"""What a sweep shows while it runs: a heading a run, or a table that changes where the trainings print elsewhere.

    board = Board(total=15)
    with board.shown(live=True):
        board.begin(0, "podium", "seed 0")
        board.epoch(0, run, history)
        board.over(0, entry, reused=False)

In a log a live board is one line an event.
"""

import contextlib
import time
from collections.abc import Iterator

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from build.console import clock, console
from build.study.results import percent
from build.sweep.state import DONE, Entry

LATEST = 5
"""Finished runs that the table still shows."""


class Board:
    """Follows the runs of a sweep."""

    def __init__(self, total: int):
        """total: runs, where none is given up."""
        self.total = total
        self.trained, self.pace = 0, 0.0
        """Runs that were trained in this call, and seconds from one to the next."""
        self.before = 0
        """Runs that earlier calls finished."""
        self.running: dict[int, dict] = {}
        self.finished: list[tuple[str, str]] = []
        self.live: Live | None = None
        self._elsewhere = False
        self._began = time.monotonic()

    @contextlib.contextmanager
    def shown(self, *, live: bool) -> Iterator[None]:
        """Show the table while the block runs."""
        self._elsewhere, self._began = live, time.monotonic()
        if not (live and console.is_terminal):
            yield
            return
        with Live(get_renderable=self.table, console=console, refresh_per_second=2, transient=True) as self.live:
            yield
        self.live = None

    def begin(self, position: int, arm: str, spot: str) -> None:
        """A run begins."""
        self.running[position] = {"name": f"{arm}, {spot}", "began": time.monotonic(), "epoch": 0, "score": None}
        if self._elsewhere:
            return
        over = self.before + len(self.finished)
        number = min(self.total, over + len(self.running))
        eta = f", ETA {clock(self.left(over))} at most" if self.trained else ""
        console.rule(escape(f"sweep {number}/{self.total}: {arm}, {spot}{eta}"), align="left")

    def left(self, over: int) -> float:
        """Seconds, at the mean pace of the runs of this call."""
        return max(0, self.total - over) * self.pace

    def epoch(self, position: int, run: str, history: list[dict]) -> None:
        """A run has come to the end of an epoch."""
        known = self.running.get(position)
        if known is None:
            return
        known["epoch"], known["score"], known["run"] = history[-1]["epoch"], history[-1]["score"], run
        if self._elsewhere and self.live is None:
            console.print(
                f"{known['name']}: epoch {known['epoch']}, score {percent(known['score'])} ({run})", markup=False
            )

    def over(self, position: int, entry: Entry, *, reused: bool) -> None:
        """A run is over."""
        known = self.running.pop(position)
        if not reused:
            # With several at once a run counts for its share of the time.
            self.trained += 1
            self.pace = (time.monotonic() - self._began) / self.trained
        told = entry.failure or f"{entry.state}, score {percent(entry.score)}"
        if entry.figures:
            told += f", test {percent(entry.figures['accuracy'])}, stacked {percent(entry.figures['stacked'])}"
        told += " (done before)" if reused else ""
        self.finished.append((known["name"], told))
        style = None if entry.state == DONE else "yellow" if not entry.failure else "bold red"
        console.print(f"{known['name']}: {told.rstrip('.')}.", style=style, markup=False)

    def table(self) -> Table:
        """The runs under way and how many there are to come."""
        over = min(self.total, self.before + len(self.finished))
        title = f"{over} of {self.total} runs over"
        if self.trained:
            title += f", ETA {clock(self.left(over))}"
        shown = Table(title=title, title_justify="left")
        for head, justify in (("run", "left"), ("epoch", "right"), ("score", "right"), ("seconds", "right")):
            shown.add_column(head, justify=justify)
        for known in self.running.values():
            since = f"{time.monotonic() - known['began']:.0f}"
            shown.add_row(escape(known["name"]), str(known["epoch"]), percent(known["score"]), since)
        for name, told in self.finished[-LATEST:]:
            shown.add_row(escape(name), "", escape(told), "", style="dim")
        return shown
