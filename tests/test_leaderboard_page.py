"""The leaderboard's door, its table and its page; the page sorts, filters and plots in Chromium without a network."""

import io
import os
import re
import sys
from datetime import timedelta

import browser
import judged
import pytest
from rich.console import Console

from build.errors import UserError
from build.score.leaderboard import command as door
from build.score.leaderboard.page import embed, tiles, write
from build.score.leaderboard.ranking import build
from build.score.leaderboard.reported import REPORTED
from build.score.leaderboard.store import Store
from build.score.leaderboard.table import table

ASKED = judged.conditions()


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Store:
    return judged.filled(Store(tmp_path_factory.mktemp("board")))


def test_slots_count_what_was_recorded_today(filled):
    then = filled.find("nano").recorded["dev"]
    (left,) = build(filled, per_day=5, now=then).quotas.values()
    assert (left.used_today, left.left) == (1, 4)
    (left,) = build(filled, per_day=5, now=then + timedelta(days=1)).quotas.values()
    assert (left.used_today, left.used, left.left) == (0, 1, 5)


def test_the_door_prints_table_forecast_and_advice_and_writes_the_page(filled, tmp_path):
    said = judged.printed(filled, tmp_path / "board.html")
    assert "Harry Plotter" in said
    assert re.search(r"us +podium atto +0\.\d\d  0\.\d\d\.\.0\.\d\d +forecast +00000000", said)
    assert re.search(r"nano +0\.91 +recorded", said)
    assert "a left-out pair is missed by" in said
    assert "Chance of ranking first on a resampled hidden set of 5,000 images: 00000000" in said
    assert "Submit 00000000" in said
    assert (tmp_path / "board.html").stat().st_size > 20_000


def test_the_door_records_and_compares_by_name(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("b", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, file=f"{letter}.zip", zip_sha256=letter * 64), ASKED, given)
    said = judged.printed(store, tmp_path / "p.html", record=("a.zip", 0.87), compare=("b.zip", "a.zip"))
    assert "Recorded: aaaaaaaa scored 0.87 (dev)." in said
    assert "bbbbbbbb against aaaaaaaa, on the same images:" in said
    assert "Save the slot: aaaaaaaa scored 0.87 already, and it ranks first" in said
    assert "Save the slot: aaaaaaaa" in (tmp_path / "p.html").read_text()
    said = judged.printed(store, tmp_path / "p.html", record=("b.zip", 0.5), compare=("b.zip", "a.zip"))
    assert "Save the slot: aaaaaaaa scored 0.87 already, and it ranks first" in said
    assert "scored 0.85 (final)." in judged.printed(store, tmp_path / "p.html", record=("a.zip", 0.85), phase="final")
    assert store.find("a.zip").server == {"dev": 0.87, "final": 0.85}
    with pytest.raises(UserError, match="two different entries"):
        judged.printed(store, tmp_path / "p.html", compare=("a.zip", "aaaa"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"compare": ("a.zip", "aaaa")}, "two different entries"),
        ({"compare": ("a.zip", "zzz")}, "zzz"),
        ({"team": "greens"}, "The team 'greens' has no entry here"),
        ({"team": "us", "compare": ("a.zip", "b.zip")}, "leave one of them out"),
        ({"add": "a.zip"}, "leave --add out"),
        ({"add": "zzz", "rule": "Add"}, "zzz"),
        ({"compare": ("a.zip", "b.zip")}, "no stored answers"),
        ({"page": "board"}, "cannot be written"),
    ],
)
def test_nothing_is_recorded_where_another_option_is_wrong(wrong, sentence, tmp_path):
    store = Store(tmp_path / "board")
    for letter in "ab":
        given = judged.answers(ASKED, 0.9, seed=ord(letter))
        store.add(judged.card(ASKED, given, file=f"{letter}.zip", zip_sha256=letter * 64))
    before = store.path.read_bytes()
    page = tmp_path / wrong.pop("page", "p.html")
    with pytest.raises(UserError, match=sentence):
        judged.printed(store, page, record=("a.zip", 0.87), **wrong)
    assert store.path.read_bytes() == before


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"seen": 1070}, "aaaaaaaa was judged on 1,070 cells that it was trained on: no reason to submit it."),
        ({"synthetic": True}, "aaaaaaaa was judged on synthetic cells: no reason to submit it."),
        ({"late": True}, "aaaaaaaa would not be done with the hidden set in time"),
    ],
)
def test_what_speaks_against_an_entry_is_said_before_it_is_advised(facts, told, tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("b", 0.6)):
        given, zip_facts = judged.answers(ASKED, share, seed=ord(letter)), facts if letter == "a" else {}
        card = judged.card(ASKED, given, file=f"{letter}.zip", zip_sha256=letter * 64, seen=zip_facts.get("seen", 0))
        card |= {"synthetic": "synthetic" in zip_facts, "timing": {"hidden_fits": "late" not in zip_facts}}
        store.add(card, ASKED, given)
    said = judged.printed(store, tmp_path / "p.html", compare=("b.zip", "a.zip"))
    assert told in said
    assert "bbbbbbbb against aaaaaaaa, on the same images:" in said
    assert ("Submit aaaaaaaa" in said) == ("late" in facts)
    if "late" in facts:
        assert told in judged.printed(store, tmp_path / "p.html")


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
    said = judged.printed(Store(tmp_path / "none"), tmp_path / "board.html")
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


def test_chromium_marks_what_was_judged_on_its_own_training_cells_and_plots_it_nowhere(tmp_path):
    store, asked = Store(tmp_path / "board"), judged.conditions()
    given = judged.answers(asked, 0.97)
    for letter, facts in (("a", {"seen": 1070}), ("b", {})):
        store.record(store.add(judged.card(asked, given, zip_sha256=letter * 64, **facts), asked, given), 0.8)
    write(build(store), tmp_path / "board.html", advice=[])
    html = browser.dom(tmp_path, (tmp_path / "board.html").as_uri())
    rows = {name: text for name, _, text in (part.partition('"') for part in html.split('data-id="')[1:])}
    assert "own cells" in rows["aaaaaaaa"]
    assert "own cells" not in rows["bbbbbbbb"].partition("</tr>")[0]
    plot = html[html.index('<svg id="plot"') :]
    assert plot[: plot.index("</svg>")].count('class="mine"') == 1


def test_chromium_draws_the_page(page, tmp_path):
    shot = tmp_path / "board.png"
    _, console, asked = browser.run(tmp_path, page, f"--screenshot={shot}", "--window-size=1280,1600")
    assert (console, asked) == ([], [])
    assert shot.stat().st_size > 50_000


def test_what_the_server_recorded_stays_the_first_figure_though_a_forecast_ranks_higher(tmp_path):
    store = Store(tmp_path / "board")
    for letter, share in (("a", 0.9), ("b", 0.6)):
        given = judged.answers(ASKED, share, seed=ord(letter))
        store.add(judged.card(ASKED, given, zip_sha256=letter * 64), ASKED, given)
    store.record("bbbbbbbb", 0.1234)
    shown = tiles(build(store))
    assert [tile["name"] for tile in shown[:3]] == [
        "Best of yours, recorded", "Best of yours, forecast", "Its place among teams"
    ]  # fmt: skip
    assert shown[0]["value"] == "0.1234"
    assert "by the server" in shown[0]["range"]


def test_the_place_is_one_among_teams_and_a_forecast_s_reaches_from_place_to_place(tmp_path):
    asked = judged.conditions()
    given = judged.answers(asked, 0.93)
    store = Store(tmp_path / "board")
    name = store.add(judged.card(asked, given), asked, given)

    def place(phase: str) -> tuple[str, str]:
        (tile,) = (one for one in tiles(build(store, phase=phase)) if one["name"] == "Its place among teams")
        return tile["value"], tile["range"]

    value, reach = place("dev")
    first, last = (int(word) for word in re.match(r"(\d+) to (\d+) by the forecast's interval", reach).groups())
    assert first < int(value) < last
    store.record(name, 0.93, phase="final")
    public = {}
    for row in REPORTED:
        if row.phase in ("final", ""):
            public[row.team] = max(row.score, public.get(row.team, 0))
    better = sum(score > 0.93 for score in public.values())
    (recorded,) = (one for one in tiles(build(store, phase="final")) if one["name"] == "Best of yours, recorded")
    assert recorded["range"].endswith(f"place {1 + better} of {1 + len(public)} teams")
    assert 1 + better < sum(row.score > 0.93 for row in REPORTED if row.phase in ("final", "")) + 1
