"""Which entry to submit: of one team, each zip once, none whose answers say nothing."""

import hashlib

import judged
import numpy as np
import pytest

from build.errors import UserError
from build.score.leaderboard import command, ranking
from build.score.leaderboard.page import tiles
from build.score.leaderboard.ranking import build
from build.score.leaderboard.store import Store

ASKED = judged.conditions()


def zips(tmp_path, *shares: tuple[str, float]) -> Store:
    """A board of zips, each named by the letter of its hash, with the share of its right answers."""
    store = Store(tmp_path / "board")
    for letter, share in shares:
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64), ASKED, given)
    return store


def test_answers_that_cannot_be_read_are_passed_over_with_a_sentence(tmp_path):
    store = zips(tmp_path, ("a", 0.9), ("b", 0.8), ("c", 0.6))
    store.predictions_path("aaaaaaaa").write_bytes(b"PK")
    said = judged.printed(store, tmp_path / "p.html")
    assert "aaaaaaaa takes no part in the advice: " in said
    assert "Submit bbbbbbbb" in said


def test_a_zip_that_was_judged_twice_is_one_entry_of_the_advice(tmp_path):
    store = zips(tmp_path, ("a", 0.9), ("a", 0.9), ("b", 0.6))
    said = judged.printed(store, tmp_path / "p.html", hidden=700)
    assert "No difference at all" not in said
    assert "Submit aaaaaaaa" in said
    assert "hidden set of 700 images" in said


def test_the_best_that_was_sent_stays_in_the_advice_beside_many_that_were_not(tmp_path):
    store = zips(tmp_path, *((letter, 0.5) for letter in "abcde"), ("f", 0.95))
    store.record("ffffffff", 0.9)
    assert "Save the slot: ffffffff" in judged.printed(store, tmp_path / "p.html")


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
    assert "No entry with stored answers" not in said
    assert "Synthetic cells forecast nothing: judge on real ones" in said
    store.record(name, 0.9)
    assert store.pairs() == []


def test_what_the_server_scored_needs_no_slot_and_is_what_others_have_to_beat(tmp_path):
    store = zips(tmp_path, ("a", 0.9), ("b", 0.8))
    store.record("aaaaaaaa", 0.7)
    store.record("bbbbbbbb", 0.9)
    said = judged.printed(store, tmp_path / "p.html")
    assert "Every zip here was sent already; the best of them, bbbbbbbb, scored 0.9." in said
    given = judged.answers(ASKED, 0.6, seed=9)
    store.add(judged.card(ASKED, given, zip_sha256="c" * 64), ASKED, given)
    said = judged.printed(store, tmp_path / "p.html")
    assert "cccccccc against bbbbbbbb" in said
    assert "Save the slot: bbbbbbbb scored 0.9 already" in said
    assert "aaaaaaaa is" not in said
    given = judged.answers(ASKED, 0.97, seed=10)
    store.add(judged.card(ASKED, given, zip_sha256="d" * 64), ASKED, given)
    assert "Submit dddddddd" in judged.printed(store, tmp_path / "p.html")


def test_bytes_that_the_server_scored_have_its_score_under_every_entry(tmp_path):
    store = zips(tmp_path, ("a", 0.9), ("a", 0.9))
    store.record("aaaaaaaa", 0.6)
    board = build(store)
    lines = judged.lines_of(board)
    assert [(lines[name].kind, lines[name].score) for name in ("aaaaaaaa", "aaaaaaaa-2")] == [("recorded", 0.6)] * 2
    assert board.quotas["us"].used == 1
    assert len(store.pairs()) == 1
    (best,) = (tile for tile in tiles(board) if tile["name"].startswith("Best of yours"))
    assert (best["name"], best["value"]) == ("Best of yours, recorded", "0.60")


def test_of_one_zip_s_records_the_last_counts_and_they_are_one_pair(tmp_path):
    store = zips(tmp_path, ("a", 0.9), ("a", 0.9))
    store.record("aaaaaaaa-2", 0.77)
    store.record("aaaaaaaa", 0.87)
    lines = judged.lines_of(build(store))
    assert [lines[name].score for name in ("aaaaaaaa", "aaaaaaaa-2")] == [0.87] * 2
    assert [server for _, server in store.pairs()] == [0.87]


def test_a_zip_s_pair_has_the_suites_of_all_its_entries(tmp_path):
    store = zips(tmp_path, ("a", 0.9))
    clean = [one for one in ASKED if one.suite == "held-out"]
    again = store.add(judged.card(clean, judged.answers(clean, 0.9), zip_sha256="a" * 64))
    store.record(again, 0.8)
    ((suites, server),) = store.pairs()
    assert server == 0.8
    assert "stacked" in suites


def test_entries_without_a_forecast_are_compared_by_their_answers(tmp_path):
    """Judged without `stacked`, or for a competition that no public score is known of."""
    store, asked = Store(tmp_path), judged.conditions({"held-out": ("none",), "basic": ("blur", "noise")})
    for seed, (run, share) in enumerate({"weak": 0.5, "strong": 0.9}.items()):
        given = judged.answers(asked, share, seed=seed)
        store.add(judged.card(asked, given, run=run, zip_sha256=f"{seed}" * 64), asked, given)
    strong = store.entries()[1]
    found = command.advice(ranking.build(store), store, rng=np.random.default_rng(0), folder=tmp_path)
    assert found[-1].startswith(f"Submit {strong.id}: it ranks first")
    assert any(f"{strong.id} is podium strong, no zip in {tmp_path}" in sentence for sentence in found)
    assert any("`nox -s package -- strong` makes it again" in sentence for sentence in found)


def test_the_advice_names_the_file_of_an_entry(tmp_path):
    store, asked = Store(tmp_path / "store"), judged.conditions()
    (tmp_path / "previous-submission.zip").write_bytes(b"strong")
    for seed, (run, share) in enumerate({"weak": 0.5, "strong": 0.9}.items()):
        given = judged.answers(asked, share, seed=seed)
        facts = {"run": run, "zip_sha256": hashlib.sha256(run.encode()).hexdigest()}
        store.add(judged.card(asked, given, **facts), asked, given)
    found = command.advice(ranking.build(store), store, rng=np.random.default_rng(0), folder=tmp_path)
    assert any(f"is podium strong, the file {tmp_path / 'previous-submission.zip'}." in one for one in found)


def test_a_zip_that_was_judged_on_its_own_training_cells_is_passed_over(tmp_path):
    store = zips(tmp_path, ("a", 0.8))
    given = judged.answers(ASKED, 0.97, seed=2)
    name = store.add(judged.card(ASKED, given, zip_sha256="b" * 64, seen=1070), ASKED, given)
    assert judged.lines_of(build(store))[name].kind == "none"
    said = judged.printed(store, tmp_path / "p.html")
    assert "bbbbbbbb was judged on 1,070 cells that it was trained on and takes no part in the advice." in said
    assert "One entry to choose from, aaaaaaaa" in said
    store.record(name, 0.9)
    assert store.pairs() == []
    said = judged.printed(store, tmp_path / "p.html")  # it was sent and leads, but says nothing of others
    assert "One entry to choose from, aaaaaaaa" in said
    assert "Save the slot" not in said


def test_zips_of_other_seeds_are_not_sent_to_be_judged_on_their_training_cells(tmp_path):
    store = zips(tmp_path, ("a", 0.8))
    other = judged.conditions(definition="other")
    given = judged.answers(other, 0.9)
    store.add(judged.card(other, given, zip_sha256="b" * 64), other, given)
    assert "so train again with one --seed" in judged.printed(store, tmp_path / "p.html")


def test_what_was_moved_to_the_final_phase_wants_no_slot_there(tmp_path):
    store = zips(tmp_path, ("a", 0.95), ("b", 0.5))
    store.record("aaaaaaaa", 0.9)
    said = judged.printed(store, tmp_path / "p.html", phase="final")
    assert "Save the slot: aaaaaaaa" in said
    assert "Submit aaaaaaaa" not in said


def test_a_team_s_advice_and_a_comparison_of_two_exclude_each_other(tmp_path):
    store = zips(tmp_path, ("a", 0.9), ("b", 0.6))
    with pytest.raises(UserError, match="leave one of them out"):
        judged.printed(store, tmp_path / "p.html", compare=("aaaaaaaa", "bbbbbbbb"), team="us")
