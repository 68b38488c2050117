"""This team's judged zips and the publicly reported scores, ranked as the server would rank them.

    board = build(Store(), rule="Force_Best", phase="dev")

An entry's score is what the server was recorded to have said, else the forecast, and is marked so. Reported rows always
stand: the rule is about our own submissions.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from build.score.leaderboard.forecast import Forecaster, bounds_of
from build.score.leaderboard.reported import COMPETITION as REPORTED_COMPETITION
from build.score.leaderboard.reported import REPORTED, Reported
from build.score.leaderboard.rules import (
    FINISHED,
    RULES,
    Action,
    Quota,
    Row,
    Submission,
    quota,
    rank,
    standing,
)
from build.score.leaderboard.store import PHASES, Entry, Store
from submission.contract import COMPETITION

REPORTED_ON = datetime(2024, 11, 24, tzinfo=UTC)
"""The competition's last days; only the order of equal scores depends on it."""


@dataclass(frozen=True)
class Line:
    """One row of the board."""

    position: int
    """From 1 on the board; 0 for an entry that does not stand on it."""
    tied: bool
    id: str
    team: str
    model: str
    score: float | None
    kind: str
    """"recorded" (by the server), "forecast", "reported" (public, not measured here), "failed", "none" (no score)."""
    low: float | None
    high: float | None
    """The forecast's interval."""
    phase: str
    when: str
    suites: dict[str, float]
    facts: dict
    """commit, zip_sha256, weights_sha256, zip_bytes, seconds_per_1000, peak_mib, source, note, reason ..."""


BETWEEN_PHASES = 0.05
"""How far public networks' scores of the two phases lie apart: by up to .05 (leaderboard/reported.py)."""


@dataclass(frozen=True)
class Board:
    """A board under one rule and phase."""

    lines: tuple[Line, ...]
    """Those that stand, in order, then the others, the newest first."""
    rule: str
    phase: str
    quotas: dict[str, Quota]
    """Team -> slots, counting the entries whose server score was recorded."""
    forecaster: Forecaster
    moved: frozenset[str] = frozenset()
    """Ids of the entries that the server moved from the first phase to this one with its score there."""
    known: bool = True
    """Whether this is the competition that the public scores and pairs are of: of any other nothing is forecast."""

    @property
    def standing(self) -> tuple[Line, ...]:
        """The lines that have a position."""
        return tuple(line for line in self.lines if line.position)


def between_phases(score: float) -> dict:
    """Forecast of the final phase's score from the first one's of the very same zip: its own measurement, on a set of the same kind."""
    return {"score": score, "low": max(0.0, score - BETWEEN_PHASES), "high": min(1.0, score + BETWEEN_PHASES)}


def own_submission(entry: Entry, phase: str, forecast: dict | None, *, by_hand: bool) -> Submission:
    """An entry as a submission of a phase: of the time at which its score was recorded, else of the one at which it was judged here.

    by_hand: under a rule by which its owner puts it on the board, which may be before its score is recorded.
    """
    score = entry.server.get(phase, forecast["score"] if forecast else None)
    # What the server scored has finished there, whatever became of it here.
    status = FINISHED if entry.server else entry.facts["status"]
    created = entry.when if by_hand else entry.recorded.get(phase, entry.when)
    return Submission(entry.id, entry.facts["team"], created, score, phase, status)


def one_a_zip(entries: list[Entry], forecasts: dict[str, dict | None]) -> list[Entry]:
    """The last judgement of each zip, which is one submission however often it was judged.

    One that says nothing of the score (fewer suites, synthetic cells, ones that it was trained on) does not take an earlier one's
    forecast away; one that failed does.
    """
    last: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        key = entry.facts["team"], entry.facts.get("zip_sha256") or entry.id
        says = forecasts[entry.id] or entry.server or entry.facts["status"] == "Failed"
        if says or key not in last or not forecasts[last[key].id]:
            last[key] = entry
    return list(last.values())


def own_line(entry: Entry, row: Row | None, phase: str, forecast: dict | None) -> Line:
    """An entry as a line, `row` None where it does not stand."""
    facts, failed = entry.facts, entry.facts["status"] == "Failed"
    known = phase in entry.server
    # What fails here, and has a forecast all the same, was scored by the server in an earlier phase.
    kind = "recorded" if known else "forecast" if forecast else "failed" if failed else "none"
    shown = forecast if kind == "forecast" else {}
    name = " ".join(part for part in (facts["recipe"], facts["run"] or facts["file"]) if part)
    return Line(
        row.position if row else 0,
        row.tied if row else False,
        entry.id,
        facts["team"],
        name or entry.id,
        entry.server.get(phase, shown.get("score")),
        kind,
        shown.get("low"),
        shown.get("high"),
        phase,
        entry.when.isoformat(timespec="minutes"),
        entry.suites,
        {key: value for key, value in facts.items() if key not in ("scores", "team", "forecast")},
    )


def reported_line(reported: Reported, row: Row) -> Line:
    """A public score as a line."""
    facts = {"source": f"github.com/{reported.repository}", "note": reported.note, "report": reported.report}
    return Line(
        row.position,
        row.tied,
        row.submission.id,
        reported.team,
        reported.model,
        reported.score,
        "reported",
        None,
        None,
        reported.phase or "not said",
        "",
        {},
        facts,
    )


def build(
    store: Store,
    *,
    rule: str = "Force_Best",
    phase: str = "dev",
    reported: bool = True,
    per_day: int = 5,
    total: int = 100,
    now: datetime | None = None,
) -> Board:
    """Rank the store's entries and the public scores of a phase.

    The final phase starts with what stood on the development board (auto-migration).
    """
    stored, entries = store.entries(), store.entries(shared=True)
    by_id = {entry.id: entry for entry in entries}
    forecaster = Forecaster(store.pairs())
    known_here = COMPETITION == REPORTED_COMPETITION
    reported &= known_here
    forecasts = {
        entry.id: forecaster.predict(entry.suites, bounds_of(entry.facts["scores"]))
        if known_here and entry.suites and not entry.misled
        else None
        for entry in entries
    }
    actions = {name: [Action(*action) for action in store.actions(name)] for name in PHASES}
    by_hand = RULES[rule].manual

    counted = entries if by_hand else one_a_zip(entries, forecasts)
    history = [own_submission(entry, PHASES[0], forecasts[entry.id], by_hand=by_hand) for entry in counted]
    # Without a forecast an entry has no score, and the server would rank a missing value first: such an entry would take the board's
    # only place of its team, and show nothing there.
    history = [one for one in history if one.score is not None]
    ours = standing(history, rule=rule, actions=actions[PHASES[0]])
    scored_before = frozenset()
    if phase == "final":
        for entry in entries:
            if known_here and (score := entry.server.get(PHASES[0])) is not None:
                forecasts[entry.id] = between_phases(score)
        moved = [one.id for one in ours]
        scored_before = frozenset(name for name in moved if PHASES[0] in by_id[name].server)
        # What was sent in this phase itself has its score there, whether or not it stood on the first one's board.
        kept = {*moved} | {entry.id for entry in entries if phase in entry.server}
        ours = [
            own_submission(entry, phase, forecasts[entry.id], by_hand=by_hand) for entry in counted if entry.id in kept
        ]
        known = {one.id: one for one in ours if one.score is not None}
        # By hand, the board begins with what was moved to it.
        begun = moved if by_hand else []
        put = [Action(name, "add", known[name].created) for name in begun if name in known]
        ours = standing(list(known.values()), rule=rule, actions=[*put, *actions[phase]])
    public = {f"reported-{i}": row for i, row in enumerate(REPORTED) if reported and row.phase in (phase, "")}
    theirs = [Submission(key, row.team, REPORTED_ON, row.score, phase) for key, row in public.items()]
    scored = [one for one in ours if one.score is not None]
    lines = []
    for row in rank([*scored, *theirs]):
        key = row.submission.id
        if key in public:
            lines.append(reported_line(public[key], row))
        else:
            lines.append(own_line(by_id[key], row, phase, forecasts[key]))
    on_board = {line.id for line in lines}
    lines += [own_line(e, None, phase, forecasts[e.id]) for e in reversed(entries) if e.id not in on_board]
    assert len(lines) == len(entries) + len(public)

    used = [Submission(e.id, e.facts["team"], when, phase=p) for e in stored for p, when in e.recorded.items()]
    moment = now or datetime.now(UTC)
    quotas = {
        team: quota(used, owner=team, phase=phase, now=moment, per_day=per_day, total=total)
        for team in dict.fromkeys(entry.facts["team"] for entry in entries)
    }
    return Board(tuple(lines), rule, phase, quotas, forecaster, scored_before, known_here)


def suites_of(board: Board) -> list[str]:
    """The suites that any entry was judged on, in the order of their first appearance."""
    return list(dict.fromkeys(name for line in board.lines for name in line.suites))


def shown_score(line: Line) -> str:
    """The score as text, rounded for display only."""
    if line.score is None:
        return line.kind
    digits = f"{line.score:.4f}".rstrip("0")
    text = digits if len(digits) >= 4 else f"{line.score:.2f}"
    return f"{line.score:.2f}  {line.low:.2f}..{line.high:.2f}" if line.kind == "forecast" else text
