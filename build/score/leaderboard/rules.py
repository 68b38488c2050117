"""Codabench's leaderboard and quota rules, as its code has them: which submissions stand on a board, and in what order.

    board = standing(history, rule="Force_Best")
    rows = rank(board)
    quota(history, owner="us", phase="dev", now=datetime.now(UTC), per_day=5, total=100)

Sources: codalab/codabench src/apps/leaderboards/{models,strategies}.py, src/apps/api/serializers/leaderboards.py,
src/apps/competitions/models.py (Phase.can_user_make_submissions), read at commit c7dbc756. Not covered: several tasks a
phase, organisations, deleted submissions, other columns than one in which more is better, and the competition's own
hide_score_output.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

FINISHED, FAILED = "Finished", "Failed"


@dataclass(frozen=True)
class Submission:
    """One submission of one owner to one phase."""

    id: str
    owner: str
    created: datetime
    """UTC."""
    score: float | None = None
    phase: str = "dev"
    status: str = FINISHED
    """Finished, Failed, or a state on the way."""

    @property
    def scored(self) -> bool:
        """Whether its score reached the server."""
        return self.status == FINISHED


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

    Position from 1, the submission, and whether its score equals a neighbour's (the earlier stands higher).
    """

    position: int
    submission: Submission
    tied: bool


def _order(one: Submission) -> tuple:
    """Sort key: the score at full precision, then the time of creation, the earlier first; for submissions that have a score.

    The server would put a missing one first, as PostgreSQL does with NULL (inferred from its documented default, not tried on a
    server).
    """
    return (-one.score, one.created, one.id)


Board = dict[str, Submission]
"""Submissions on the board by id, in the order in which they came."""


@dataclass(frozen=True)
class Rule:
    """One of the six submission rules; without any of these the owner's newest scored submission stands."""

    manual: bool = False
    """Nothing stands by itself: owners put their submissions on the board."""
    multiple: bool = False
    """Several entries of an owner may stand."""
    best: bool = False
    """Of an owner's scored ones the best stands, not the newest."""
    removable: bool = False
    """By hand: an owner may take an entry off the board."""


RULES = {
    "Add": Rule(manual=True),
    "Add_And_Delete": Rule(manual=True, removable=True),
    "Add_And_Delete_Multiple": Rule(manual=True, multiple=True, removable=True),
    "Force_Last": Rule(),
    "Force_Latest_Multiple": Rule(multiple=True),
    "Force_Best": Rule(best=True),
}


def _same(one: Submission, other: Submission) -> bool:
    """Whether both are of one owner in one phase."""
    return (one.owner, one.phase) == (other.owner, other.phase)


def _replaced(board: Board, submission: Submission) -> Board:
    """The board with a submission in the place of its owner's others of its phase."""
    return {**{key: one for key, one in board.items() if not _same(one, submission)}, submission.id: submission}


def placed(board: Board, submission: Submission, past: Sequence[Submission], rule: Rule) -> Board:
    """The board after a submission's score reached the server; `past` holds all so far, this one too."""
    if rule.manual:
        return board
    if rule.multiple:
        return {**board, submission.id: submission}
    if rule.best:
        submission = min((one for one in past if one.scored and _same(one, submission)), key=_order)
    return _replaced(board, submission)


def act(board: Board, action: Action, known: Mapping[str, Submission], rule: Rule) -> Board:
    """The board after an owner's action.

    An action that the rule does not allow changes nothing, as the server refuses it.
    """
    submission = known.get(action.submission)
    if submission is None or not submission.scored or not rule.manual:
        return board
    if action.kind == "add":
        return {**board, submission.id: submission} if rule.multiple else _replaced(board, submission)
    assert action.kind == "remove", action.kind
    return {key: one for key, one in board.items() if key != submission.id} if rule.removable else board


def standing(history: Sequence[Submission], *, rule: str, actions: Sequence[Action] = ()) -> list[Submission]:
    """The submissions on the board after a history of submissions and actions by hand, in the order in which they came.

    A failed submission never posts a score, so it displaces nothing. `rule` is a key of RULES.
    """
    chosen, board, past = RULES[rule], {}, []
    assert len({submission.id for submission in history}) == len(history), "two submissions bear one id"
    events = [(one.created, 0, one) for one in history] + [(one.when, 1, one) for one in actions]
    for _, _, event in sorted(events, key=lambda item: item[:2]):
        if isinstance(event, Action):
            board = act(board, event, {one.id: one for one in past}, chosen)
        else:
            past.append(event)
            if event.scored:
                board = placed(board, event, past, chosen)
    return list(board.values())


def rank(board: Iterable[Submission]) -> list[Row]:
    """The board in the server's order: by score, then the earlier submission."""
    ordered = sorted(board, key=_order)
    shared = Counter(one.score for one in ordered)
    return [Row(position, one, tied=shared[one.score] > 1) for position, one in enumerate(ordered, 1)]


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
