"""Codabench's leaderboard and quota rules, as its code has them: which submissions stand on a board, and in what order.

    board = standing(history, rule="Force_Best", columns=COLUMNS)
    rows = rank(board, COLUMNS)
    quota(history, owner="us", phase="dev", now=datetime.now(UTC), per_day=5, total=100)

Sources: codalab/codabench src/apps/leaderboards/{models,strategies}.py, src/apps/api/serializers/leaderboards.py,
src/apps/competitions/models.py (Phase.can_user_make_submissions), read at commit c7dbc756. Not covered: several tasks a
phase, organisations, computed columns and the competition's own hide_score_output.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

FINISHED, FAILED = "Finished", "Failed"


@dataclass(frozen=True)
class Column:
    """One column of a leaderboard; the first of a list is the primary one."""

    key: str
    title: str
    higher_is_better: bool = True
    precision: int = 2
    """Decimals shown. Values are ranked at full precision."""
    hidden: bool = False
    """A hidden column takes no part in the ranking, but does in Force_Best's choice."""


@dataclass(frozen=True)
class Submission:
    """One submission of one owner to one phase."""

    id: str
    owner: str
    created: datetime
    """UTC."""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    phase: str = "dev"
    status: str = FINISHED
    """Finished, Failed, or a state on the way."""
    deleted: bool = False
    """Deleted by its owner, which the server keeps and hides."""

    @property
    def scored(self) -> bool:
        """Whether its scores reached the server."""
        return self.status == FINISHED and not self.deleted


@dataclass(frozen=True)
class Action:
    """What an owner did by hand under one of the three Add rules."""

    submission: str
    kind: str
    """"add" or "remove"."""
    when: datetime


@dataclass(frozen=True)
class Row:
    """A line of the board.

    Position from 1, the submission, and whether its scores equal a neighbour's (the earlier stands higher).
    """

    position: int
    submission: Submission
    tied: bool


def order_key(submission: Submission, columns: Sequence[Column]) -> tuple:
    """Sort key: each column in its direction at full precision, then the time of creation, the earlier first.

    A missing value stands where PostgreSQL puts NULL: first where more is better, last where less is (inferred from its
    documented default, not tried on a server).
    """
    key: list = []
    for column in columns:
        value = submission.scores.get(column.key)
        if value is None or math.isnan(value):
            key.append((0 if column.higher_is_better else 1, 0.0))
        else:
            key.append((1 if column.higher_is_better else 0, -value if column.higher_is_better else value))
    return (*key, submission.created, submission.id)


def best(submissions: Iterable[Submission], columns: Sequence[Column]) -> Submission | None:
    """Force_Best's choice among one owner's scored submissions of one phase."""
    return min((one for one in submissions if one.scored), key=lambda one: order_key(one, columns), default=None)


Board = dict[str, Submission]
"""Submissions on the board by id, in the order in which they came."""


def others_of(board: Board, submission: Submission) -> Board:
    """The board without the entries of the submission's owner in its phase."""
    return {key: one for key, one in board.items() if (one.owner, one.phase) != (submission.owner, submission.phase)}


def force_last(board: Board, submission: Submission, history: Sequence[Submission], columns: Sequence[Column]) -> Board:
    """The owner's newest scored submission."""
    del history, columns
    return {**others_of(board, submission), submission.id: submission}


def force_latest_multiple(board, submission, history, columns) -> Board:
    """Every scored submission."""
    del history, columns
    return {**board, submission.id: submission}


def force_best(board, submission, history, columns) -> Board:
    """The owner's best scored submission so far."""
    mine = [one for one in history if (one.owner, one.phase) == (submission.owner, submission.phase)]
    chosen = best(mine, columns)
    return board if chosen is None else {**others_of(board, submission), chosen.id: chosen}


def by_hand(board, submission, history, columns) -> Board:
    """Nothing happens by itself."""
    del submission, history, columns
    return board


@dataclass(frozen=True)
class Rule:
    """One of the six submission rules."""

    on_scores: Callable[..., Board]
    manual: bool = False
    multiple: bool = False
    """By hand: several entries of an owner may stand."""
    removable: bool = False
    """By hand: an owner may take an entry off the board."""


RULES = {
    "Add": Rule(by_hand, manual=True),
    "Add_And_Delete": Rule(by_hand, manual=True, removable=True),
    "Add_And_Delete_Multiple": Rule(by_hand, manual=True, multiple=True, removable=True),
    "Force_Last": Rule(force_last),
    "Force_Latest_Multiple": Rule(force_latest_multiple, multiple=True),
    "Force_Best": Rule(force_best),
}


def act(board: Board, action: Action, known: Mapping[str, Submission], rule: Rule) -> Board:
    """The board after an owner's action.

    An action that the rule does not allow changes nothing, as the server refuses it.
    """
    submission = known.get(action.submission)
    if submission is None or not submission.scored or not rule.manual:
        return board
    if action.kind == "add":
        kept = board if rule.multiple else others_of(board, submission)
        return {**kept, submission.id: submission}
    assert action.kind == "remove", action.kind
    return {key: one for key, one in board.items() if key != submission.id} if rule.removable else board


def standing(
    history: Sequence[Submission], *, rule: str, columns: Sequence[Column], actions: Sequence[Action] = ()
) -> list[Submission]:
    """The submissions on the board after a history of submissions and actions by hand, in the order in which they came.

    A failed submission never posts scores, so it displaces nothing. `rule` is a key of RULES.
    """
    strategy, board, past = RULES[rule], {}, []
    assert len({submission.id for submission in history}) == len(history), "two submissions bear one id"
    events = [(one.created, 0, one) for one in history] + [(one.when, 1, one) for one in actions]
    for _, _, event in sorted(events, key=lambda item: item[:2]):
        if isinstance(event, Action):
            board = act(board, event, {one.id: one for one in past}, strategy)
        else:
            past.append(event)
            if event.scored:
                board = strategy.on_scores(board, event, past, columns)
    return list(board.values())


def rank(board: Iterable[Submission], columns: Sequence[Column]) -> list[Row]:
    """The board in the server's order: primary column, the other shown columns, then the earlier submission."""
    shown = [column for position, column in enumerate(columns) if position == 0 or not column.hidden]
    ordered = sorted(board, key=lambda one: order_key(one, shown))
    values = [order_key(one, shown)[:-2] for one in ordered]
    return [
        Row(
            i + 1, one, tied=values[i] in (values[i - 1] if i else None, values[i + 1] if i + 1 < len(values) else None)
        )
        for i, one in enumerate(ordered)
    ]


@dataclass(frozen=True)
class Quota:
    """What an owner may still submit."""

    used_today: int
    used: int
    left: int | None
    """Submissions left now; None means no limit."""
    reason: str
    """Empty where one more is allowed."""


def quota(
    history: Iterable[Submission],
    *,
    owner: str,
    phase: str,
    now: datetime,
    per_day: int | None = 5,
    total: int | None = 100,
) -> Quota:
    """Count an owner's submissions of this phase that did not fail, today (the UTC date) and in all.

    0 or None is no limit.
    """
    counted = [one for one in history if (one.owner, one.phase) == (owner, phase) and one.status != FAILED]
    today = sum(one.created.astimezone(UTC).date() == now.astimezone(UTC).date() for one in counted)
    room = [limit - used for limit, used in ((per_day, today), (total, len(counted))) if limit]
    left = max(0, min(room)) if room else None
    reason = ""
    if per_day and today >= per_day:
        reason = f"{today} of {per_day} submissions of this UTC day are used; the next is possible at 00:00 UTC."
    if total and len(counted) >= total:
        reason = f"{len(counted)} of {total} submissions of the phase {phase} are used."
    return Quota(today, len(counted), left, reason)
