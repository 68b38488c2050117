"""The leaderboard's door, its table and its page; the page sorts, filters and plots in Chromium without a network."""

import io
import os
import re
import sys
from datetime import UTC, datetime, timedelta

import browser
import judged
import pytest
from rich.console import Console

from build.errors import UserError
from build.score.leaderboard import board as door
from build.score.leaderboard.page import embed, write
from build.score.leaderboard.ranking import build
from build.score.leaderboard.reported import REPORTED
from build.score.leaderboard.store import Store
from build.score.leaderboard.table import table

ASKED = judged.conditions()
SKILLS = {"atto": 0.93, "plain": 0.6, "nano": 0.8}


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Store:
    """Three scored entries and a failed one; the server said something about `nano`."""
    store = Store(tmp_path_factory.mktemp("board"))
    for seed, (run, share) in enumerate(SKILLS.items()):
        given = judged.answers(ASKED, share, seed=seed)
        made = judged.card(ASKED, given, run=run, file=f"{run}.zip", zip_sha256=f"{seed}" * 64)
        store.add(made, ASKED, given)
    outcome = {"status": "failed", "reason": "It fell over."}
    store.add(judged.card([], {}, outcome=outcome, run="broken", file="broken.zip", zip_sha256="f" * 64))
    store.record("nano", 0.91)
    return store


def printed(store: Store, page, **given) -> str:
    output = Console(file=io.StringIO(), width=190, highlight=False)
    door.main(store=store.folder, path=page, output=output, **given)
    return output.file.getvalue()


def lines_of(board) -> dict:
    return {line.id: line for line in board.lines}


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
    everything = lines_of(board)
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
    with pytest.raises(UserError, match="no rule 'Best'; choose among Add,"):
        build(filled, rule="Best")
    with pytest.raises(UserError, match="no phase 'test'"):
        build(filled, phase="test")


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
    printed(store, tmp_path / "a.html", rule="Add_And_Delete", add=names[0])
    standing = build(store, rule="Add_And_Delete").standing
    assert [line.id for line in standing if line.kind != "reported"] == [names[0]]
    printed(store, tmp_path / "a.html", rule="Add_And_Delete", remove=names[0])
    assert not [line for line in build(store, rule="Add_And_Delete").standing if line.kind != "reported"]


@pytest.mark.parametrize(("given", "rules"), [("add", "Add or Add_And_Delete or"), ("remove", "Add_And_Delete or")])
def test_what_a_rule_does_not_leave_to_the_owner_is_refused(tmp_path, given, rules):
    store = Store(tmp_path)
    name = store.add(judged.card(ASKED, judged.answers(ASKED, 0.8)), ASKED)
    with pytest.raises(UserError, match=f"Under the rule Force_Best nobody can {given} .* --rule {rules}"):
        printed(store, tmp_path / "a.html", **{given: name})
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


def test_answers_that_cannot_be_read_are_passed_over_with_a_sentence(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("b", 0.8), ("c", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64), ASKED, given)
    store.predictions_path("aaaaaaaa").write_bytes(b"PK")
    said = printed(store, tmp_path / "p.html")
    assert "aaaaaaaa takes no part in the advice: " in said
    assert "Submit bbbbbbbb" in said


def test_a_zip_that_was_judged_twice_is_one_entry_of_the_advice(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("a", 0.9), ("b", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64), ASKED, given)
    said = printed(store, tmp_path / "p.html", hidden=700)
    assert "No difference at all" not in said
    assert "Submit aaaaaaaa" in said
    assert "hidden set of 700 images" in said


def test_the_advice_is_about_one_teams_entries(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share, team in (("a", 0.9, "reds"), ("b", 0.8, "blues"), ("c", 0.6, "blues")):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64, team=team), ASKED, given)
    said = printed(store, tmp_path / "p.html")
    assert "Of the entries of blues (--team for another):" in said
    assert "Submit bbbbbbbb" in said
    assert "One entry to choose from, aaaaaaaa" in printed(store, tmp_path / "p.html", team="reds")
    with pytest.raises(UserError, match="The team 'greens' has no entry here; expected one of reds, blues"):
        printed(store, tmp_path / "p.html", team="greens")


def test_of_drawn_cells_nothing_is_forecast_and_nobody_is_advised_to_submit_them(tmp_path):
    store = Store(tmp_path / "board")
    given = judged.answers(ASKED, 0.9)
    facts = judged.card(ASKED, given, zip_sha256="a" * 64) | {"synthetic": True, "source": "test cells of synthetic"}
    name = store.add(facts, ASKED, given)
    assert lines_of(build(store))[name].kind == "none"
    said = printed(store, tmp_path / "p.html")
    assert "No entry with stored answers" in said
    assert "Drawn cells forecast nothing: judge on real ones" in said
    store.record(name, 0.9)
    assert store.pairs() == []


def test_slots_count_what_was_recorded_today(filled):
    (left,) = build(filled, per_day=5).quotas.values()
    assert (left.used_today, left.left) == (1, 4)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    (left,) = build(filled, per_day=5, now=tomorrow).quotas.values()
    assert (left.used_today, left.used, left.left) == (0, 1, 5)


def test_the_door_prints_table_forecast_and_advice_and_writes_the_page(filled, tmp_path):
    said = printed(filled, tmp_path / "board.html")
    assert "Harry Plotter" in said
    assert re.search(r"us +podium atto +0\.\d\d  0\.\d\d\.\.0\.\d\d +forecast +00000000", said)
    assert re.search(r"nano +0\.91 +recorded", said)
    assert "a left-out pair is missed by" in said
    assert "Chance of ranking first on a re-drawn hidden set of 5,000 images: 00000000" in said
    assert "Submit 00000000" in said
    assert (tmp_path / "board.html").stat().st_size > 20_000


def test_the_door_records_and_compares_by_name(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("b", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, file=f"{letter}.zip", zip_sha256=letter * 64), ASKED, given)
    said = printed(store, tmp_path / "p.html", record=("a.zip", 0.87), compare=("b.zip", "a.zip"))
    assert "Recorded: aaaaaaaa scored 0.87 (dev)." in said
    assert "bbbbbbbb against aaaaaaaa, on the same images:" in said
    assert "Submit aaaaaaaa" in said
    assert "Submit aaaaaaaa" in (tmp_path / "p.html").read_text()
    with pytest.raises(UserError, match="two different entries"):
        printed(store, tmp_path / "p.html", compare=("a.zip", "aaaa"))


def test_a_zip_whose_name_is_no_text_is_shown(tmp_path, monkeypatch):
    store = Store(tmp_path / "board")
    given = judged.answers(ASKED, 0.8)
    store.add(judged.card(ASKED, given, file=os.fsdecode(b"caf\xe9.zip"), recipe=None), ASKED, given)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    door.main(store=store.folder, path=tmp_path / "p.html")
    sys.stdout.flush()
    assert "caf\\udce9.zip" in written.getvalue().decode()


def test_an_unreadable_store_is_one_sentence(tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "entries.jsonl").mkdir()
    with pytest.raises(UserError, match=r"entries\.jsonl cannot be read"):
        Store(tmp_path / "board").entries()


def test_an_empty_store_shows_the_reported_scores_and_says_how_to_begin(tmp_path):
    said = printed(Store(tmp_path / "none"), tmp_path / "board.html")
    assert "AwesomeChallengers" in said
    assert "No entry with stored answers yet: judge a zip" in said
    assert browser.outside((tmp_path / "board.html").read_text()) == []


def test_a_narrow_terminal_gets_fewer_suites_and_names_are_not_markup(tmp_path):
    store = Store(tmp_path)
    asked = judged.conditions({**judged.SUITES, "geometry": ("rotation",)})
    store.add(judged.card(asked, judged.answers(asked, 0.8), team="[/bold]x"), asked)
    board = build(store)
    assert "geometry" in [column.header for column in table(board).columns]
    assert "geometry" not in [column.header for column in table(board, 90).columns]
    for width in (80, 90, 100, 130, 170):
        output = Console(file=io.StringIO(), width=width)
        output.print(table(board, width))
        lines = output.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        assert any(re.match(r" +1  Harry", line) for line in lines), lines[:6]
        assert any("  abababab" in line and re.search(r"0\.\d\d\.\.0\.\d\d", line) for line in lines)
    output = Console(file=io.StringIO(), width=190)
    output.print(table(board))
    assert "[/bold]x" in output.file.getvalue()


def test_the_page_is_whole_in_itself_and_nothing_breaks_out_of_its_data(tmp_path):
    store = Store(tmp_path)
    bad = "</script><script>alert(1)</script><!--"
    store.add(judged.card(ASKED, judged.answers(ASKED, 0.8), team=bad, run=bad), ASKED)
    write(build(store), tmp_path / "board.html")
    html = (tmp_path / "board.html").read_text()
    assert browser.outside(html) == []
    assert html.count("<script") == 2
    assert "alert(1)</script>" not in html
    assert "<" not in embed({"a": bad})


@pytest.fixture(scope="module")
def page(filled, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "board.html"
    write(build(filled), path, advice=["Submit it."])
    return path.as_uri()


def shown(html: str) -> list[str]:
    """Ids of the rows in their order."""
    return re.findall(r'data-id="([^"]+)"', html)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("sort=suite:stacked&down=1&show=ours", ["00000000", "22222222", "11111111", "ffffffff"]),
        ("sort=suite:stacked&down=0&find=podium", ["11111111", "22222222", "00000000", "ffffffff"]),
        ("sort=id&down=1&show=ours&find=zip%20broken", []),
    ],
)
def test_chromium_sorts_and_filters(page, tmp_path, state, expected):
    html = browser.dom(tmp_path, f"{page}#{state}")
    assert shown(html) == expected
    assert f"{len(expected)} of {len(REPORTED) - sum(row.phase == 'final' for row in REPORTED) + 4} rows" in html


def test_chromium_plots_every_entry_with_its_interval(page, tmp_path):
    html = browser.dom(tmp_path, page)
    plot = html[html.index('<svg id="plot"') :]
    plot = plot[: plot.index("</svg>")]
    assert plot.count('class="mine"') == 3
    assert plot.count('class="reach"') == 2  # the recorded one has no interval
    assert plot.count("server 0.") == 11  # the public pairs
    assert 'aria-sort="ascending"' in html
    assert "Submit it." in html
    assert shown(html)[0].startswith("reported-")


def test_chromium_draws_the_page(page, tmp_path):
    shot = tmp_path / "board.png"
    _, console, asked = browser.run(tmp_path, page, f"--screenshot={shot}", "--window-size=1280,1600")
    assert (console, asked) == ([], [])
    assert shot.stat().st_size > 50_000
