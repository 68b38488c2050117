"""The scorecard's page: whole in itself, shows what the card says, escapes what it is given."""

import base64
import re

import browser
import cv2
import judged
import numpy as np
import pytest

from build.score import drawing
from build.score.outcome import Finding
from build.score.page import memory, size, write_html

ASKED = judged.conditions()


@pytest.fixture
def pictures(rng) -> np.ndarray:
    return rng.integers(0, 256, (120, 24, 24, 3), np.uint8)


def explain(images, labels):
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    return np.tile(np.linspace(0, 1, 6), (len(images), 6, 1))


def written(path, card, **given) -> str:
    write_html(card, path, **given)
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_in_itself_and_shows_the_cards_numbers(tmp_path, pictures):
    card = judged.card(ASKED, judged.answers(ASKED, {"held-out": 0.9, "basic": 0.7, "stacked": 0.6}))
    html = written(tmp_path / "card.html", card, images=pictures, explain=explain)
    assert browser.outside(html) == []
    for suite in card["suites"].values():
        assert f"{100 * suite['accuracy']:.1f}\N{NO-BREAK SPACE}%" in html
    assert f"{card['forecast']['score']:.2f}" in html
    assert html.count("data:image/png;base64,") == 2 * 24
    assert "Grad-CAM" in html
    assert "trained with rotation, equalize" in html
    assert "prefers-color-scheme: dark" in html
    assert card["submission"]["zip_sha256"] in html
    assert html.count('class="curve"') == 3


def test_without_images_there_is_no_gallery_and_without_an_explanation_no_heat(tmp_path, pictures):
    card = judged.card(ASKED, judged.answers(ASKED, 0.7))
    assert "data:image" not in written(tmp_path / "a.html", card)
    html = written(tmp_path / "b.html", card, images=pictures)
    assert html.count("data:image/png;base64,") == 24
    assert "Grad-CAM" not in html


def test_the_page_says_at_its_top_that_a_gate_was_missed_and_why_nothing_is_forecast(tmp_path):
    card = judged.card(ASKED, judged.answers(ASKED, 0.7))
    gate = {"name": "time", "wanted": "at most 60 s", "came": "61 s", "passed": True, "remedy": "fewer views"}
    html = written(tmp_path / "a.html", card | {"gates": [gate]})
    assert "gate missed" not in html
    assert "No forecast" not in html
    for name, words in (
        ("rejected-submission.zip", "Not named submission.zip"),
        ("submission.zip", "Kept by --force"),
    ):
        card["submission"]["file"] = name
        html = written(tmp_path / "b.html", card | {"gates": [gate | {"passed": False}]})
        assert f"{words}: 1 gate missed." in html
        assert "time: wanted at most 60 s, got 61 s." in html
        assert "What to do: fewer views." in html
    card = judged.card(ASKED, judged.answers(ASKED, 0.7), seen=955)
    html = written(tmp_path / "c.html", card)
    assert "trained on 955 of the cells" in html
    assert "No forecast of the server's score: the zip was trained on 955" in html
    for facts, told in (({"seen": None}, True), ({"seen": None, "run": "r1"}, False), ({"seen": 0}, False)):
        html = written(tmp_path / "e.html", judged.card(ASKED, judged.answers(ASKED, 0.7), **facts))
        assert ("Which cells this zip was trained on is not known here." in html) == told
    few = judged.conditions({"held-out": ("none",), "basic": ("blur",)})
    assert "was not judged on the suite stacked" in written(
        tmp_path / "d.html", judged.card(few, judged.answers(few, 0.7))
    )


def attention() -> dict:
    known = {"images": 30, "share": 0.4, "low": 0.38, "high": 0.43}
    unknown = {"images": 0, "share": None, "low": None, "high": None}
    part = {
        "images": 120,
        "answers": 120,
        "blank": 0,
        "all": {"right": known, "wrong": unknown},
        "classes": [{"name": name, "right": known, "wrong": unknown} for name in judged.CLASSES],
    }
    clear = {"share": 0.123, "low": 0.05, "high": 0.2}
    sets = {
        "held-out": part | {"wrong_minus_right": clear},
        "stacked": part | {"wrong_minus_right": dict.fromkeys(clear)},
    }
    example = {"suite": "held-out", "key": "", "place": 4, "row": 4, "label": 0, "called": 0, "share": 0.987}
    wrong = {**example, "called": 1, "row": 5}
    return {"sets": sets, "examples": [example, wrong, {**example, "suite": "stacked", "label": 2}]}


def test_the_page_says_where_the_network_looks_and_shows_it(tmp_path, pictures):
    card = judged.card(ASKED, judged.answers(ASKED, 0.7))
    assert "Where the network looks" not in written(tmp_path / "a.html", card, images=pictures, explain=explain)
    card["attention"] = attention()
    html = written(tmp_path / "b.html", card, images=pictures, explain=explain)
    assert "wrong answers more at the edges than right ones: +12.3 points (+5.0 to +20.0)" in html
    assert "too few right or wrong answers to compare" in html
    assert html.count("98.7\N{NO-BREAK SPACE}% at the edges") == 2  # those of stacked have no image here
    assert html.count("data:image/png;base64,") == 2 * 24 + 2 * 2
    assert drawing.data_address(pictures[5]) in html
    without = written(tmp_path / "c.html", card)
    assert "points (+5.0" in without
    assert "data:image" not in without


def test_a_card_of_an_earlier_version_has_a_page(tmp_path):
    card = judged.card(ASKED, judged.answers(ASKED, 0.7))
    del card["attention"]
    assert "Where the network looks" not in written(tmp_path / "a.html", card)


def test_a_failures_page_says_the_step_the_reason_and_the_remedy(tmp_path):
    outcome = {"status": "failed", "step": "prediction", "reason": "It <fell> over.", "remedy": "Hold it."}
    outcome["findings"] = [Finding("x", "error", "No <model>.", "Add it.", "a.py", 3)]
    html = written(tmp_path / "card.html", judged.card([], {}, outcome=outcome))
    assert "in the prediction step: It &lt;fell&gt; over." in html
    assert "What to change: Hold it." in html
    assert "No &lt;model&gt;." in html
    assert "a.py:3" in html


def test_what_a_team_writes_cannot_become_code(tmp_path):
    bad = "<script>alert(1)</script>"
    html = written(tmp_path / "card.html", judged.card(ASKED, judged.answers(ASKED, 0.7), team=bad, file=bad, run=bad))
    assert "<script" not in html


def test_a_page_against_a_baseline_shows_the_ratios(tmp_path):
    given = judged.answers(ASKED, 0.7)
    card = judged.card(ASKED, given)
    card["baseline"] = {
        "name": "older",
        "suites": {"basic": {"mean_corruption_error": 0.87, "relative_corruption_error": None}},
        "not_compared": {"stacked": "the baseline was not judged on it"},
    }
    html = written(tmp_path / "card.html", card)
    assert "0.87 / –" in html
    assert 'title="the baseline was not judged on it"' in html


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_dot_at_the_end_of_its_track_is_whole(value):
    bar = str(drawing.interval_bar(value, value, value, width=100))
    x, radius = (float(re.search(rf'<circle[^>]* {name}="([\d.]+)"', bar)[1]) for name in ("cx", "r"))
    assert radius <= x <= 100 - radius


def test_heat_covers_most_where_it_is_highest():
    image = np.full((24, 24, 3), 200, np.uint8)
    cold, hot = (drawing.heat_over(image, np.full((3, 3), heat))[0, 0] for heat in (0.0, 1.0))
    assert np.abs(cold - 0.85 * 200).max() <= 2  # inferno begins black, at a cover of 0.15
    assert np.abs(hot - (0.2 * 200 + 0.8 * np.array([252, 255, 164]))).max() <= 2
    left_to_right = drawing.heat_over(image, np.tile([0.0, 1.0], (2, 1)))
    assert np.array_equal(left_to_right[5, 0], cold)
    assert np.array_equal(left_to_right[5, -1], hot)
    assert np.array_equal(drawing.heat_over(image, np.full((3, 3), np.nan))[0, 0], cold)


def test_a_pictures_data_address_decodes_to_the_picture(pictures):
    data = base64.b64decode(drawing.data_address(pictures[0]).partition(",")[2])
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(back, pictures[0])


def test_a_curves_title_is_escaped():
    drawn = drawing.severity_curve('a "b" <c>', [(0, 1.0, 0.9, 1.0), (1, 0.5, 0.4, 0.6)], [(0, 1.0), (1, 0.6)])
    assert "<c>" not in drawn
    assert drawn.count("<circle") == 2


def test_sizes_are_in_units_that_show_them():
    assert [size(count) for count in (1200, 99_999, 12_300_000)] == ["1.2 kB", "100.0 kB", "12.3 MB"]
    assert [memory(mib).split() for mib in (87.6, 999.4, 1151)] == [["88", "MiB"], ["999", "MiB"], ["1.1", "GiB"]]


def test_chromium_renders_the_page_without_a_request_or_an_error(tmp_path, pictures):
    card = judged.card(ASKED, judged.answers(ASKED, 0.7))
    write_html(card, tmp_path / "card.html", images=pictures, explain=explain)
    shot = tmp_path / "card.png"
    browser.run(tmp_path, (tmp_path / "card.html").as_uri(), f"--screenshot={shot}", "--window-size=1200,1600")
    picture = cv2.imread(str(shot))
    assert picture.shape[:2] == (1600, 1200)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500
    assert browser.dom(tmp_path, (tmp_path / "card.html").as_uri()).count("<img") == 48


def test_a_page_that_asks_the_network_is_noticed(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://podium.invalid/a.png"><script>nothing()</script>')
    _, console, asked = browser.run(tmp_path, page.as_uri(), "--dump-dom")
    assert [line for line in asked if "podium.invalid/a.png" in line]
    assert "nothing is not defined" in console[0]
    assert browser.outside(page.read_text()) == ["http://podium.invalid/a.png"]
