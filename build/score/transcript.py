"""A verdict as text for a terminal: findings, logs of what failed, times and memory, scores, and the verdict as the last line."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from build.score.leaderboard.forecast import why_not
from build.score.metrics import METRICS
from build.score.outcome import Finding, Log, Verdict, printable

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
IGNORED = ("ignored-failure", "special-files", "left-processes")
"""Findings on a prediction step that went wrong although the zip scored: its log is shown too."""
LOG_LINES = 20
COLUMNS = 9
"""Classes whose confusions fit beside each other in a terminal of 80 columns."""
SLIM = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}


def show(verdict: Verdict, console: Console, card: Mapping | None = None) -> None:
    """Print the verdict; with a scorecard also its suites, classes and forecast."""
    outcome = verdict.outcome
    console.print(
        f"Engine: {outcome.engine}, worker of {outcome.era}, at most {outcome.time_limit:g} s a job.", markup=False
    )
    for sentence in outcome.not_isolated:
        console.print(f"Not isolated: {sentence}", style="yellow", markup=False)
    show_findings(verdict.findings, console)
    if outcome.status != "scored" or any(finding.rule in IGNORED for finding in verdict.findings):
        for log in outcome.logs:
            if log.step == (outcome.step or "prediction") or outcome.step == "scores":
                show_log(log, console)
    if outcome.status != "scored":
        console.print(f"The server would show: {outcome.server_shows}", markup=False)
    for sentence in headroom(verdict):
        console.print(sentence, markup=False)
    if card and card["suites"]:
        console.print(suites(card))
        console.print(classes(card))
        if forecast := card.get("forecast"):
            interval = f"{forecast['low']:.2f}..{forecast['high']:.2f} ({forecast['confidence']:.0%} interval)"
            console.print(f"Forecast of the server's score: {forecast['score']:.2f}, {interval}.", markup=False)
            console.print(forecast["sentence"], style="dim", markup=False)
        elif reason := why_not(card):
            console.print(f"No forecast of the server's score: {reason}", style="dim", markup=False)
    console.print(Text(verdict.sentence, style="bold green" if not verdict.exit_code else "bold red"))


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """A line for each, with its place and remedy."""
    for finding in findings:
        line = Text(f"{finding.severity}: ", style=STYLES[finding.severity])
        line.append(" ".join(filter(None, (finding.place, finding.message, finding.remedy))), style="none")
        console.print(line)


def show_log(log: Log, console: Console) -> None:
    """The end of one log under its name; nothing where it is empty."""
    lines = log.text.strip().splitlines()
    if not lines:
        return
    left_out = f" (the last {LOG_LINES} of {len(lines)} lines)" if len(lines) > LOG_LINES else ""
    console.rule(f"{log.step} step, {log.source} {log.stream}{left_out}", align="left", style="dim")
    console.print("\n".join(printable(line.expandtabs()) for line in lines[-LOG_LINES:]), markup=False)


def headroom(verdict: Verdict) -> list[str]:
    """Time and memory beside their limits, as sentences."""
    outcome, timing, sentences = verdict.outcome, verdict.timing, []
    if timing.get("seconds_per_1000") is not None:
        sentences.append(
            f"Time: {timing['startup_seconds']:.1f} s to start, then {timing['seconds_per_1000']:.2f} s per 1,000 images; "
            f"within {outcome.time_limit:g} s this machine predicts {timing['largest_set'] or 0:,} images."
        )
    if "hidden_seconds" in timing:
        fits = "fits" if timing["hidden_fits"] else "DOES NOT FIT"
        sentences.append(
            f"{timing['hidden_images']:,} images would take {timing['hidden_seconds']:.0f} s, which {fits}."
        )
    if "hidden_mib" in timing:
        sentences.append(
            f"{timing['hidden_images']:,} images in one call would take about {timing['hidden_mib']:,.0f} MiB."
        )
    if outcome.peak_mib is not None:
        limit = f" of {outcome.memory_limit:,.0f} MiB allowed" if outcome.memory_limit else ""
        growth = verdict.growth_bytes_per_image
        more = f"; {growth / 1024:.0f} KiB more for each image of a call" if growth is not None else ""
        sentences.append(f"Memory: {outcome.peak_mib:,.0f} MiB at the peak{limit}{more}.")
    return sentences


def suites(card: Mapping) -> Table:
    """A row a suite."""
    table = Table(title="Accuracy by suite", title_justify="left", **SLIM)
    for column in ("suite", "accuracy", "95 % interval", "answers", "worst corruption", "its accuracy", "trained with"):
        table.add_column(column, justify="left" if column in ("suite", "worst corruption", "trained with") else "right")
    for name, suite in card["suites"].items():
        errors = {key: entry["error"] for key, entry in suite["corruptions"].items() if name != "held-out"}
        worst = max(errors, key=errors.get) if errors else ""
        table.add_row(
            name,
            f"{suite['accuracy']:.3f}",
            f"{suite['low']:.3f}..{suite['high']:.3f}",
            f"{suite['n']:,}",
            worst,
            f"{1 - errors[worst]:.3f}" if errors else "",
            _trained_with(suite["seen"], len(errors)),
        )
    return table


def _trained_with(seen: Sequence[str] | None, corruptions: int) -> str:
    if not corruptions:
        return ""  # the images as they are
    if seen is None:
        return "not known"
    return f"{len(seen)} of {corruptions}" if seen else "none"


def classes(card: Mapping) -> Table:
    """A row a class on the held-out cells: precision, recall, F1 and what was predicted."""
    held_out = card["held_out"]
    weighted = ", ".join(f"{METRICS[key].title.lower()} {held_out[key]:.3f}" for key in ("precision", "recall", "f1"))
    count = len(card["classes"])
    few = count <= COLUMNS
    told = "; →3: predicted as 3" if few else ""
    table = Table(title=f"Held-out images: {weighted}{told}", title_justify="left", **SLIM)
    table.add_column("class", no_wrap=True)
    for column in ("images", "precision", "recall", "F1"):
        table.add_column(column, justify="right")
    for index in range(count) if few else ():
        table.add_column(f"→{index}", justify="right")
    if not few:
        table.add_column("most often predicted instead")
    for index, (row, called) in enumerate(zip(held_out["classes"], held_out["confusion"], strict=True)):
        shares = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        others = {number: times for number, times in enumerate(called) if times and number != index}
        worst = max(others, key=others.get, default=None)
        instead = "" if worst is None else escape(f"{worst} {card['classes'][worst]}, {others[worst]} times")
        table.add_row(
            escape(f"{index} {row['name']}"), f"{row['n']:,}", *shares, *(map(str, called) if few else (instead,))
        )
    return table
