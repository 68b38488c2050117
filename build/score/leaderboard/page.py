"""The leaderboard as one self-contained HTML page that sorts, filters and plots without a network.

The page's state stands in its address (`#sort=stacked&show=ours&find=atto&x=held-out`), so a view can be linked to and
tested.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from build.files import write_text
from build.score.leaderboard.forecast import OTHERS, report
from build.score.leaderboard.ranking import Board, shown_score, suites_of
from build.score.leaderboard.reported import PAIRS
from build.score.page import environment


def data(board: Board) -> dict:
    """What the page's script works on."""
    return {
        "lines": [{**dataclasses.asdict(line), "shown": shown_score(line)} for line in board.lines],
        "suites": suites_of(board),
        "pairs": [dataclasses.asdict(pair) for pair in PAIRS] if board.known else [],
    }


def embed(value: dict) -> Markup:
    """JSON that can stand in a script element: no `</script>` and no HTML comment can come out of it."""
    text = json.dumps(value, allow_nan=False)
    for character, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(character, escaped)
    return Markup(text)  # noqa: S704 - escaped just above


def places(board: Board, team: str) -> tuple[Callable[[float], int], int]:
    """(the place among teams that a score of `team` would have, how many teams there are): a team counts by its best entry."""
    best: dict[str, float] = {}
    for line in board.standing:
        if line.team != team and line.score is not None:
            best[line.team] = max(line.score, best.get(line.team, 0.0))
    return lambda score: 1 + sum(other > score for other in best.values()), len(best) + 1


def tiles(board: Board) -> list[dict]:
    """The headline numbers."""
    ours = [line for line in board.standing if line.kind in ("recorded", "forecast")]
    theirs = [line.score for line in board.standing if line.kind == "reported"]
    recorded = [line for line in board.lines if line.kind == "recorded"]
    rows = []
    if recorded:
        best = max(recorded, key=lambda line: line.score)
        place, teams = places(board, best.team)
        rows.append(
            {
                "name": "Best of yours, recorded",
                "value": shown_score(best),
                "range": f"by the server, {best.phase} phase; place {place(best.score)} of {teams} teams",
            }
        )
    if ours and ours[0].kind == "forecast":
        best = ours[0]
        place, teams = places(board, best.team)
        rows.append(
            {
                "name": "Best of yours, forecast",
                "value": f"{best.score:.2f}",
                "range": f"{best.low:.2f} to {best.high:.2f}, not scored in this phase yet",
            }
        )
        reach = f"{place(best.high)} to {place(best.low)} by the forecast's interval, of {teams} teams"
        rows.append({"name": "Its place among teams", "value": str(place(best.score)), "range": reach})
    if theirs:
        rows.append({"name": "Best reported", "value": f"{max(theirs):.4g}", "range": f"{board.phase} phase, public"})
    if board.known:
        error, what = board.forecaster.error()
        rows.append(
            {"name": "Forecast's error", "value": f"{100 * error:.1f} pt", "range": f"mean absolute, on {what}"}
        )
    for team, left in board.quotas.items():
        rows.append(
            {
                "name": f"Slots left today, {team}",
                "value": "no limit" if left.left is None else str(left.left),
                "range": left.reason or f"{left.used_today} used today, {left.used} in the phase",
            }
        )
    return rows


def write(board: Board, path: Path, *, advice: Sequence[str] = ()) -> None:
    """Write the page, atomically; advice: sentences on which entry to submit."""
    template = environment().get_template("leaderboard.html.j2")
    write_text(
        Path(path),
        template.render(
            board=board,
            tiles=tiles(board),
            suites=suites_of(board),
            data=embed(data(board)),
            advice=advice,
            forecast=report(board.forecaster),
            weights=board.forecaster.weights() if board.forecaster.own else [],
            others=OTHERS,
            pairs=PAIRS,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        ),
    )
