"""The gates of packaging: what a zip must meet before it takes its final name.

found = of(verdict, card, recipe, zip_bytes)
passed = all(gate.passed for gate in found)
"""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from build.recipe import Recipe
from build.score.outcome import Verdict


@dataclass(frozen=True)
class Gate:
    """A condition that a zip must meet before it takes its final name."""

    name: str
    wanted: str
    came: str
    passed: bool
    remedy: str
    """What to do where it is missed."""


def of(verdict: Verdict, card: dict, recipe: Recipe, zip_bytes: int, *, networks: int = 1) -> list[Gate]:
    """The recipe's gates against what the judge found; a gate without a figure is missed. networks: as many as are in the zip."""

    def gate(name: str, came: float | None, limit: float, form: tuple[int, str], least: bool, remedy: str) -> Gate:
        digits, unit = form
        # As many digits as the limit has, and as tell the two apart.
        told = (
            d
            for d in range(digits, 10)
            if round(limit, d) == limit and (came in (None, limit) or round(came, d) != limit)
        )
        digits = next(told, digits)
        wanted = f"at {'least' if least else 'most'} {limit:.{digits}f}{unit}"
        passed = came is not None and (came >= limit if least else came <= limit)
        return Gate(name, wanted, "nothing" if came is None else f"{came:.{digits}f}{unit}", passed, remedy)

    timing, rate = verdict.timing, (1, " s per 1,000 images")
    fast = "train a smaller size"
    if recipe.views > 1:
        fast += f", or with --set views=N, N below {recipe.views}"
    lasts = gate("time", card["seconds_per_1000"], recipe.maximum_seconds_per_1000, rate, False, fast)
    if lasts.passed and not timing.get("hidden_fits", True):
        came = f"{timing['hidden_seconds']:,.0f} s for {timing['hidden_images']:,} images"
        lasts = Gate("time", f"at most {verdict.outcome.time_limit:,.0f} s", came, False, fast)
    reason = "a score" if not verdict.exit_code else verdict.outcome.reason
    called = "a record of them" if verdict.probed else "no record"
    clean = card["held_out"]["accuracy"] if card["held_out"] else None
    learn = "train longer, on more cells or by another recipe"
    share = f"{recipe.maximum_zip_mb / networks:.3g}"
    each = "store each network smaller" if networks > 1 else "store it smaller"
    small = f"{each} (`nox -s compress -- RUN --size-limit {share}`) or train a smaller size"
    return [
        Gate("runs as the worker would run it", "a score", reason, not verdict.exit_code, "mend what the judge names"),
        Gate(
            "calls in other ways (order, batches, dtypes)",
            "a record of them",
            called,
            verdict.probed,
            "see what the judge found",
        ),
        gate("held-out accuracy", clean, recipe.minimum_held_out, (3, ""), True, learn),
        gate("perturbed accuracy", card["perturbed_accuracy"], recipe.minimum_perturbed, (3, ""), True, learn),
        gate("zip size", zip_bytes / 1e6, recipe.maximum_zip_mb, (1, " MB"), False, small),
        lasts,
    ]


def table(found: list[Gate]) -> Table:
    """The gates as rows, for the console."""
    shown = Table(title="Gates", title_justify="left")
    for column in ("gate", "wanted", "got", ""):
        shown.add_column(column)
    for gate in found:
        mark = "[green]passed[/]" if gate.passed else "[bold red]MISSED[/]"
        shown.add_row(gate.name, gate.wanted, escape(gate.came), mark)
    return shown
