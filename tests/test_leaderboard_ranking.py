"""Who stands on the board, in which order: by the server's rules, in both phases, whatever was judged or sent when."""

import judged
import pytest

from build.errors import UserError
from build.score.leaderboard.ranking import build
from build.score.leaderboard.reported import REPORTED
from build.score.leaderboard.store import Store

ASKED = judged.conditions()


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Store:
    return judged.filled(Store(tmp_path_factory.mktemp("board")))


def test_the_board_holds_our_best_and_the_reported_scores_of_the_phase(filled):
    board = build(filled, rule="Force_Best", phase="dev")
    ours = [line for line in board.standing if line.kind != "reported"]
    assert len(ours) == 1
    assert [line.position for line in board.standing] == list(range(1, len(board.standing) + 1))
    scores = [line.score for line in board.standing]
    assert scores == sorted(scores, reverse=True)
    public = [line for line in board.standing if line.kind == "reported"]
    assert len(public) == sum(row.phase in ("dev", "") for row in REPORTED)
    assert sum(bool(line.facts["report"]) for line in public) == 3
    everything = judged.lines_of(board)
    assert everything["22222222"].kind == "recorded"
    assert everything["22222222"].score == 0.91
    assert everything["11111111"].kind == "forecast"
    assert everything["11111111"].low < everything["11111111"].score < everything["11111111"].high
    assert everything["ffffffff"].kind == "failed"


def test_every_rule_and_the_final_phase_make_a_board(filled):
    counts = {}
    for rule in ("Add", "Add_And_Delete", "Add_And_Delete_Multiple", "Force_Last", "Force_Latest_Multiple"):
        board = build(filled, rule=rule)
        counts[rule] = sum(line.kind != "reported" for line in board.standing)
    assert counts == {
        **dict.fromkeys(("Add", "Add_And_Delete", "Add_And_Delete_Multiple"), 0),
        **{"Force_Last": 1, "Force_Latest_Multiple": 3},
    }
    final = build(filled, rule="Force_Best", phase="final")
    assert {line.phase for line in final.standing if line.kind != "reported"} == {"final"}
    assert max(line.score for line in final.standing) == 0.9687


def test_by_hand_an_entry_may_be_put_on_the_board_before_its_score_is_recorded(tmp_path):
    store = Store(tmp_path)
    name = store.add(judged.card([], {}))
    store.act(name, "add")
    store.record(name, 0.8)
    assert [line.id for line in build(store, rule="Add").standing if line.kind != "reported"] == [name]


def test_on_the_final_board_is_what_was_moved_there_or_sent_there(tmp_path):
    store = Store(tmp_path)
    sent, best = (store.add(judged.card([], {}, zip_sha256=letter * 64)) for letter in "ab")
    store.record(sent, 0.8)
    store.record(best, 0.9)

    def final():
        return {line.id for line in build(store, phase="final").standing if line.kind != "reported"}

    assert final() == {best}  # one a team is moved
    store.record(sent, 0.95, phase="final")
    assert final() == {sent}


def test_an_entry_without_a_score_does_not_take_its_teams_place(tmp_path):
    store, clean = Store(tmp_path), judged.conditions({"held-out": ("none",)})
    given = judged.answers(ASKED, 0.8)
    scored = store.add(judged.card(ASKED, given, zip_sha256="a" * 64), ASKED, given)
    bare = store.add(judged.card(clean, judged.answers(clean, 0.9), zip_sha256="b" * 64), clean)
    for rule in ("Force_Best", "Force_Last"):
        assert [line.id for line in build(store, rule=rule).standing if line.kind != "reported"] == [scored]
    store.record(bare, 0.99)
    assert [line.id for line in build(store).standing if line.kind != "reported"] == [bare]


def test_what_failed_here_stands_where_the_server_scored_it(tmp_path):
    store = Store(tmp_path)
    failed = store.add(judged.card([], {}, outcome={"status": "failed", "reason": "It fell over."}))
    assert not [line for line in build(store).standing if line.kind != "reported"]
    store.record(failed, 0.95)
    line = next(line for line in build(store).standing if line.kind != "reported")
    assert (line.id, line.score, line.kind) == (failed, 0.95, "recorded")
    assert "It fell over." in line.facts["reason"]


def test_what_was_sent_to_the_final_phase_alone_stands_in_it(tmp_path):
    store = Store(tmp_path)
    bare = store.add(judged.card([], {}))
    store.record(bare, 0.9, phase="final")
    for phase, expected in (("dev", []), ("final", [(bare, 0.9, "recorded")])):
        ours = [line for line in build(store, phase=phase).standing if line.kind != "reported"]
        assert [(line.id, line.score, line.kind) for line in ours] == expected


def test_in_the_final_phase_a_zip_is_expected_where_the_first_phase_measured_it(tmp_path):
    store = Store(tmp_path)
    own = store.add(judged.card(ASKED, judged.answers(ASKED, 0.9)))
    store.record(own, 0.6)
    (line,) = (line for line in build(store, phase="final").standing if line.kind != "reported")
    assert (line.id, line.kind, line.score) == (own, "forecast", 0.6)
    assert (line.low, line.high) == pytest.approx((0.55, 0.65))


@pytest.mark.parametrize(
    ("rule", "stand"), [("Force_Best", "b"), ("Force_Last", "c"), ("Force_Latest_Multiple", "bca")]
)
def test_the_rule_holds_in_the_final_phase_too(tmp_path, rule, stand):
    store = Store(tmp_path)
    for letter, score in (("a", 0.8), ("b", 0.85), ("c", 0.82)):
        store.record(store.add(judged.card([], {}, zip_sha256=letter * 64)), score, phase="final")
    lines = [line for line in build(store, rule=rule, phase="final").standing if line.kind != "reported"]
    assert [line.id for line in lines] == [letter * 8 for letter in stand]


def test_an_owner_adds_and_removes_by_hand(tmp_path):
    store = Store(tmp_path)
    names = [store.add(judged.card(ASKED, judged.answers(ASKED, 0.8), zip_sha256=c * 64), ASKED) for c in "ab"]
    judged.printed(store, tmp_path / "a.html", rule="Add_And_Delete", add=names[0])
    standing = build(store, rule="Add_And_Delete").standing
    assert [line.id for line in standing if line.kind != "reported"] == [names[0]]
    judged.printed(store, tmp_path / "a.html", rule="Add_And_Delete", remove=names[0])
    assert not [line for line in build(store, rule="Add_And_Delete").standing if line.kind != "reported"]


@pytest.mark.parametrize(("given", "rules"), [("add", "Add or Add_And_Delete or"), ("remove", "Add_And_Delete or")])
def test_what_a_rule_does_not_leave_to_the_owner_is_refused(tmp_path, given, rules):
    store = Store(tmp_path)
    name = store.add(judged.card(ASKED, judged.answers(ASKED, 0.8)), ASKED)
    with pytest.raises(UserError, match=f"Under the rule Force_Best nobody can {given} .* --rule {rules}"):
        judged.printed(store, tmp_path / "a.html", **{given: name})
    assert store.actions("dev") == []


def test_what_was_sent_last_stands_last_whenever_it_was_judged_here(tmp_path):
    store = Store(tmp_path)
    first, second = (store.add(judged.card([], {}, zip_sha256=letter * 64)) for letter in "ab")
    for name in (second, first):
        store.record(name, 0.8)
    stand = [line.id for line in build(store, rule="Force_Last").standing if line.kind != "reported"]
    assert stand == [first]
    best = [line.id for line in build(store, rule="Force_Best").standing if line.kind != "reported"]
    assert best == [second]  # of equal scores the one that was sent first


@pytest.mark.parametrize("rule", ["Add", "Add_And_Delete", "Add_And_Delete_Multiple"])
def test_in_the_final_phase_too_an_owner_adds_and_removes_by_hand(tmp_path, rule):
    store = Store(tmp_path)
    for letter in "abc":
        store.record(store.add(judged.card([], {}, zip_sha256=letter * 64)), 0.8, phase="final")
    for letter in "ab":
        store.act(letter, "add", phase="final")
    store.act("a", "remove", phase="final")
    stand = [line.id for line in build(store, rule=rule, phase="final").standing if line.kind != "reported"]
    assert stand == ["b" * 8]


def test_the_board_forecasts_from_what_was_recorded(filled):
    assert [server for _, server in build(filled).forecaster.own] == [0.91]


@pytest.mark.parametrize("changes", [{"outcome": {"status": "failed", "reason": "It fell over."}}, {"seen": 3}])
def test_what_the_server_scored_is_moved_to_the_final_board_whatever_became_of_it_here(tmp_path, changes):
    store = Store(tmp_path)
    failed = "outcome" in changes
    name = store.add(judged.card([] if failed else ASKED, {} if failed else judged.answers(ASKED, 0.9), **changes))
    store.record(name, 0.95)
    board = build(store, phase="final")
    (line,) = (line for line in board.standing if line.kind != "reported")
    assert (line.id, line.kind, line.score) == (name, "forecast", 0.95)
    assert board.moved == {name}


def test_a_zip_that_was_judged_twice_is_one_submission(tmp_path):
    store = Store(tmp_path)
    given = judged.answers(ASKED, 0.9)
    first, second = (store.add(judged.card(ASKED, given), ASKED, given) for _ in range(2))
    store.record(first, 0.9)
    for phase in ("dev", "final"):
        board = build(store, rule="Force_Latest_Multiple", phase=phase)
        assert [line.id for line in board.standing if line.kind != "reported"] == [second]


@pytest.mark.parametrize("rule", ["Force_Best", "Force_Last"])
def test_a_judgement_that_says_nothing_of_the_score_leaves_an_earlier_forecast_and_one_that_failed_does_not(
    tmp_path, rule
):
    store, clean = Store(tmp_path), judged.conditions({"held-out": ("none",)})

    def ours() -> list[str]:
        return [line.id for line in build(store, rule=rule).standing if line.kind != "reported"]

    given = judged.answers(ASKED, 0.9)
    whole = store.add(judged.card(ASKED, given), ASKED, given)
    store.add(judged.card(clean, judged.answers(clean, 0.9)), clean)
    store.add(judged.card(ASKED, given, seen=3), ASKED, given)
    assert ours() == [whole]
    again = store.add(judged.card(ASKED, given), ASKED, given)
    assert ours() == [again]
    store.add(judged.card([], {}, outcome={"status": "failed", "reason": "It fell over."}))
    assert ours() == []
