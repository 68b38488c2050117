"""The best runs of a sweep as one zip: packaged and judged as any other, as an ensemble or as a greedy soup.

pack(sweep.best(3), soup=False, rows=256, team="you")
"""

from collections.abc import Sequence

from build.console import console, muffled
from build.package import package
from build.study.results import percent
from build.sweep.state import Entry


def pack(entries: Sequence[Entry], *, soup: bool, rows: int, team: str, engine: str = "auto") -> int:
    """Package runs, the best first; returns the exit code of packaging. UserError where they do not go together."""
    told = "; ".join(f"{entry.run} ({entry.arm}, score {percent(entry.score)})" for entry in entries)
    console.print(f"Packing the best by validation score: {told}.", markup=False)
    names = [entry.run for entry in entries]
    if soup and len(names) > 1:
        with muffled():  # imports the framework
            from build.train import hardware
            from build.train.soup import soup as average

            hardware.find()
        names = [average(names, greedy=True).id]
    return package(*names, rows=rows, team=team, engine=engine)
