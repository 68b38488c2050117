"""Which entry to submit: of one team, each zip once, none whose answers say nothing."""

import judged
import pytest

from build.errors import UserError
from build.score.leaderboard.ranking import build
from build.score.leaderboard.store import Store

ASKED = judged.conditions()


def test_answers_that_cannot_be_read_are_passed_over_with_a_sentence(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("b", 0.8), ("c", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64), ASKED, given)
    store.predictions_path("aaaaaaaa").write_bytes(b"PK")
    said = judged.printed(store, tmp_path / "p.html")
    assert "aaaaaaaa takes no part in the advice: " in said
    assert "Submit bbbbbbbb" in said


def test_a_zip_that_was_judged_twice_is_one_entry_of_the_advice(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("a", 0.9), ("b", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64), ASKED, given)
    said = judged.printed(store, tmp_path / "p.html", hidden=700)
    assert "No difference at all" not in said
    assert "Submit aaaaaaaa" in said
    assert "hidden set of 700 images" in said


def test_the_advice_is_about_one_teams_entries(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share, team in (("a", 0.9, "reds"), ("b", 0.8, "blues"), ("c", 0.6, "blues")):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64, team=team), ASKED, given)
    said = judged.printed(store, tmp_path / "p.html")
    assert "Of the entries of blues (--team for another):" in said
    assert "Submit bbbbbbbb" in said
    assert "One entry to choose from, aaaaaaaa" in judged.printed(store, tmp_path / "p.html", team="reds")
    with pytest.raises(UserError, match="The team 'greens' has no entry here; expected one of reds, blues"):
        judged.printed(store, tmp_path / "p.html", team="greens")


def test_of_drawn_cells_nothing_is_forecast_and_nobody_is_advised_to_submit_them(tmp_path):
    store = Store(tmp_path / "board")
    given = judged.answers(ASKED, 0.9)
    facts = judged.card(ASKED, given, zip_sha256="a" * 64) | {"synthetic": True, "source": "test cells of synthetic"}
    name = store.add(facts, ASKED, given)
    assert judged.lines_of(build(store))[name].kind == "none"
    said = judged.printed(store, tmp_path / "p.html")
    assert "No entry with stored answers" in said
    assert "Drawn cells forecast nothing: judge on real ones" in said
    store.record(name, 0.9)
    assert store.pairs() == []
