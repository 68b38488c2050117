"""Codabench's six rules, ties, quotas and phases, as its sources have them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from build.score.leaderboard.rules import RULES, Action, Submission, quota, rank, standing

NOON = datetime(2024, 11, 20, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def one(name: str, minutes: float, score, owner: str = "us", **changes) -> Submission:
    return Submission(name, owner, at(minutes), score, **changes)


HISTORY = [
    one("a1", 0, 0.80),
    one("b1", 1, 0.70, "them"),
    one("a2", 2, 0.90),
    one("a3", 3, None, status="Failed"),
    one("a4", 4, 0.85),
]


def on_board(rule: str, history=HISTORY, actions=()) -> list[str]:
    return [entry.id for entry in standing(history, rule=rule, actions=actions)]


def test_force_last_keeps_the_newest_scored_one_and_a_failure_displaces_nothing():
    assert sorted(on_board("Force_Last")) == ["a4", "b1"]
    assert sorted(on_board("Force_Last", HISTORY[:4])) == ["a2", "b1"]


def test_force_best_keeps_the_best_and_of_equal_ones_the_earlier():
    assert sorted(on_board("Force_Best")) == ["a2", "b1"]
    better = [*HISTORY, one("a5", 5, 0.91)]
    assert sorted(on_board("Force_Best", better)) == ["a5", "b1"]
    equal = [*HISTORY, one("a5", 5, 0.90)]
    assert sorted(on_board("Force_Best", equal)) == ["a2", "b1"]


def test_force_latest_multiple_keeps_every_scored_one():
    assert on_board("Force_Latest_Multiple") == ["a1", "b1", "a2", "a4"]


@pytest.mark.parametrize("rule", ["Add", "Add_And_Delete", "Add_And_Delete_Multiple"])
def test_nothing_stands_by_itself_under_the_rules_by_hand(rule):
    assert on_board(rule) == []
    assert on_board(rule, actions=[Action("a3", "add", at(9)), Action("unknown", "add", at(9))]) == []


def test_adding_replaces_ones_own_entry_unless_several_are_allowed():
    actions = [Action(name, "add", at(10 + i)) for i, name in enumerate(("a1", "b1", "a4"))]
    assert sorted(on_board("Add", actions=actions)) == ["a4", "b1"]
    assert sorted(on_board("Add_And_Delete", actions=actions)) == ["a4", "b1"]
    assert sorted(on_board("Add_And_Delete_Multiple", actions=actions)) == ["a1", "a4", "b1"]


def test_only_the_two_delete_rules_let_an_entry_be_taken_off():
    actions = [Action("a1", "add", at(10)), Action("a1", "remove", at(11))]
    assert on_board("Add", actions=actions) == ["a1"]
    assert on_board("Add_And_Delete", actions=actions) == []
    assert on_board("Add_And_Delete_Multiple", actions=actions) == []
    assert sorted(on_board("Force_Best", actions=[Action("a2", "remove", at(11))])) == ["a2", "b1"]
    assert on_board("Add", actions=[Action("a4", "add", at(1))]) == []  # before it was there


def test_the_rules_are_the_servers_six():
    assert set(RULES) == {
        *("Add", "Add_And_Delete", "Add_And_Delete_Multiple"),
        *("Force_Last", "Force_Latest_Multiple", "Force_Best"),
    }


def test_phases_do_not_displace_each_other():
    history = [one("d", 0, 0.9), one("f", 1, 0.8, phase="final")]
    for rule in ("Force_Last", "Force_Best"):
        assert on_board(rule, history) == ["d", "f"]


def test_scores_are_ranked_at_full_precision_and_only_shown_rounded():
    rows = rank([one("x", 0, 0.870), one("y", 1, 0.874, "them")])
    assert [row.submission.id for row in rows] == ["y", "x"]
    assert not any(row.tied for row in rows)


def test_equal_scores_stand_in_the_order_of_their_submission_and_are_marked():
    rows = rank([one("late", 5, 0.9), one("early", 1, 0.9, "b"), one("low", 0, 0.5, "c")])
    assert [(row.position, row.submission.id, row.tied) for row in rows] == [
        (1, "early", True),
        (2, "late", True),
        (3, "low", False),
    ]


def used(*minutes: float, **changes) -> list[Submission]:
    return [one(f"s{i}", minute, 0.5, **changes) for i, minute in enumerate(minutes)]


def test_a_day_is_the_utc_date_wherever_the_team_sits():
    history = used(-13 * 60, -11 * 60, 0, 60)  # the first on the evening of the day before
    left = quota(history, owner="us", phase="dev", now=at(120), per_day=5, total=100)
    assert (left.used_today, left.used, left.left, left.reason) == (3, 4, 2, "")
    rome = at(120).astimezone(timezone(timedelta(hours=14)))  # already tomorrow there
    assert quota(history, owner="us", phase="dev", now=rome, per_day=5).used_today == 3
    assert quota(history, owner="us", phase="dev", now=at(12 * 60), per_day=5).used_today == 0
    east = [Submission("s", "us", at(0).astimezone(timezone(timedelta(hours=14))))]
    assert quota(east, owner="us", phase="dev", now=at(9), per_day=5).used_today == 1


def test_failures_other_teams_and_other_phases_do_not_count():
    history = [
        *used(0),
        one("failed", 1, None, status="Failed"),
        one("theirs", 2, 0.5, "them"),
        one("final", 3, 0.5, phase="final"),
        one("running", 4, None, status="Running"),
    ]
    assert quota(history, owner="us", phase="dev", now=at(9), per_day=5).left == 3
    assert quota(history, owner="us", phase="final", now=at(9), per_day=5).left == 4


def test_what_is_used_up_says_when_the_next_slot_comes():
    day = quota(used(0, 1), owner="us", phase="dev", now=at(9), per_day=2, total=100)
    assert day.left == 0
    assert "2 of 2 submissions of this UTC day" in day.reason
    assert "00:00 UTC" in day.reason
    whole = quota(used(-9000, -8000, 0), owner="us", phase="dev", now=at(9), per_day=5, total=3)
    assert (whole.left, whole.reason) == (0, "3 of 3 submissions of the phase dev are used.")
    for none in (0, None):
        assert quota(used(0, 1), owner="us", phase="dev", now=at(9), per_day=none, total=none).left is None
