"""A scorecard from conditions and predictions: counts, errors against a baseline, worst images, failures, files."""

import json

import judged
import numpy as np
import pytest

from build.errors import UserError
from build.score import scorecard
from build.score.outcome import Outcome
from build.score.scorecard import assemble, read_json, worst_images, write_json

ASKED = judged.conditions()


def test_the_suites_hold_the_mean_over_their_conditions_and_intervals_that_hold_it():
    given = judged.answers(ASKED, {"held-out": 0.95, "basic": 0.7, "stacked": 0.6})
    card = judged.card(ASKED, given)
    for name, suite in card["suites"].items():
        members = [one for one in ASKED if one.suite == name]
        shares = [float((given[one.key] == one.labels).mean()) for one in members]
        assert suite["accuracy"] == pytest.approx(np.mean(shares))
        assert [row["accuracy"] for row in suite["conditions"]] == pytest.approx(shares)
        assert suite["n"] == sum(len(one.labels) for one in members)
        assert 0 <= suite["low"] < suite["accuracy"] < suite["high"] <= 1
    assert card["suites"]["basic"]["images"] <= 120 < card["suites"]["basic"]["n"]
    assert card["perturbed_accuracy"] == card["suites"]["basic"]["accuracy"]
    assert card["held_out"] == card["suites"]["held-out"]["metrics"]
    assert card["forecast"]["low"] < card["forecast"]["score"] < card["forecast"]["high"]


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_a_submission_that_gets_all_right_or_all_wrong_has_a_card(accuracy):
    card = judged.card(ASKED, judged.answers(ASKED, accuracy))
    assert {suite["accuracy"] for suite in card["suites"].values()} == {accuracy}
    assert len(card["worst"]) == (0 if accuracy else 24)


def test_corruption_errors_by_hand():
    rows = [
        {"corruption": name, "accuracy": accuracy, "clean": 0.95}
        for name, accuracy in (("blur", 0.8), ("blur", 0.6), ("noise", 0.9), ("noise", 0.9))
    ]
    errors = scorecard.corruption_errors(rows)
    assert errors["blur"] == pytest.approx({"error": 0.3, "clean": 0.05, "degradation": 0.25})
    assert errors["noise"] == pytest.approx({"error": 0.1, "clean": 0.05, "degradation": 0.05})
    baseline = {"blur": {"error": 0.6, "degradation": 0.5}, "noise": {"error": 0.4, "degradation": 0.2}}
    assert scorecard.against(errors, baseline, "error") == pytest.approx((0.3 / 0.6 + 0.1 / 0.4) / 2)
    assert scorecard.against(errors, baseline, "degradation") == pytest.approx((0.25 / 0.5 + 0.05 / 0.2) / 2)
    assert scorecard.against(errors, {"blur": baseline["blur"]}, "error") is None
    assert scorecard.against(errors, baseline | {"noise": {"error": 0.0, "degradation": 0.0}}, "error") is None
    unknown = scorecard.corruption_errors([row | {"clean": None} for row in rows])
    assert unknown["blur"] == {"error": pytest.approx(0.3), "clean": None, "degradation": None}


def test_what_a_corruption_costs_is_counted_on_its_own_images():
    """Two corruptions that change nothing, the one of easy images, the other of hard ones."""
    given = judged.answers(ASKED, 1.0)
    hard = set(range(0, 400, 3))
    wrong = {c.key: np.where(np.isin(c.rows, list(hard)), (c.labels + 1) % 3, c.labels) for c in ASKED}
    suites = judged.card(ASKED, wrong)["suites"]
    assert given.keys() == wrong.keys()
    found = [entry for name, suite in suites.items() if name != "held-out" for entry in suite["corruptions"].values()]
    assert len({round(entry["error"], 3) for entry in found}) > 1
    assert all(entry["degradation"] == pytest.approx(0) for entry in found)


def test_a_card_against_itself_has_ratios_of_one_and_other_images_are_not_compared():
    given = judged.answers(ASKED, 0.7)
    first = judged.card(ASKED, given)
    common = {"classes": judged.CLASSES, "outcome": Outcome(), "submission": {}, "seed": 0}
    again = assemble(ASKED, given, **common, baseline=first, baseline_name="first")
    assert again["baseline"]["name"] == "first"
    assert set(again["baseline"]["suites"]) == {"basic", "stacked"}
    assert all(row["mean_corruption_error"] == pytest.approx(1) for row in again["baseline"]["suites"].values())
    others = judged.conditions(definition="other")
    other = assemble(others, judged.answers(others, 0.7), **common, baseline=first)
    assert other["baseline"]["suites"] == {}
    assert "other images" in other["baseline"]["not_compared"]["basic"]


def test_suites_that_the_recipe_trained_with_are_marked():
    card = judged.card(ASKED, judged.answers(ASKED, 0.8))  # AugMix: rotation and equalize, no blur or noise
    assert card["suites"]["stacked"]["seen"] == ["chains"]
    assert card["suites"]["basic"]["seen"] == []
    assert card["suites"]["stacked"]["conditions"][0]["seen"] == ["rotation", "equalize"]
    assert card["suites"]["basic"]["left_out"] == ["brightness", "contrast", "jpeg", "occlusion"]


def test_the_worst_images_are_those_wrong_as_they_are_then_by_their_share():
    asked = judged.conditions({"held-out": ("none",), "basic": ("blur",)}, images=40, rows=20)
    given = {one.key: one.labels.copy() for one in asked}
    given["held-out.none.0"][7] = (given["held-out.none.0"][7] + 1) % 3
    always, twice = asked[1].rows[3], asked[1].rows[5]
    for one in asked[1:]:
        given[one.key][3] = (one.labels[3] + 2) % 3
    for one in asked[1:3]:
        given[one.key][5] = (one.labels[5] + 1) % 3
    worst = worst_images(asked, given)
    first = [7] if always != 7 else []
    assert [entry["row"] for entry in worst] == [*first, always, twice]
    assert worst[0]["held_out_wrong"]
    by_row = {entry["row"]: entry for entry in worst}
    assert (by_row[always]["wrong"], by_row[always]["asked"]) == (5, 6)
    assert by_row[always]["called"] == (asked[0].labels[always] + 2) % 3
    assert by_row[twice]["wrong"] == 2


def test_answers_may_lie_in_files(tmp_path):
    given = judged.answers(ASKED, 0.8)
    for key, called in given.items():
        np.save(tmp_path / f"{key}.npy", called)
    files = {key: tmp_path / f"{key}.npy" for key in given}
    from_files, from_arrays = judged.card(ASKED, files), judged.card(ASKED, given)
    assert from_files["suites"] == from_arrays["suites"]


def test_a_failure_is_a_card_without_suites():
    outcome = {"status": "failed", "step": "prediction", "reason": "It fell over."}
    card = judged.card(ASKED, {}, outcome=outcome)
    assert card["suites"] == {}
    assert card["worst"] == []
    assert card["forecast"] is None
    assert card["outcome"]["reason"] == "It fell over."


def test_a_scored_submission_must_have_answered_everything():
    given = judged.answers(ASKED, 0.8)
    del given["basic.blur.3"]
    with pytest.raises(UserError, match=r"left 1 conditions unanswered, the first is basic\.blur\.3"):
        judged.card(ASKED, given)


def test_time_is_that_of_predict_where_it_was_measured():
    measured = {"condition_seconds": {"a": 2.0, "b": 1.0}, "images": {"a": 500, "b": 500}, "seconds": {"prediction": 9}}
    assert scorecard.seconds_per_1000(Outcome(**measured), 1000) == pytest.approx(3)
    assert scorecard.seconds_per_1000(Outcome(seconds={"prediction": 9.0}), 2000) == pytest.approx(4.5)
    assert scorecard.seconds_per_1000(Outcome(), 1000) is None


def test_a_card_is_written_and_read_again_whole(tmp_path):
    card = judged.card(ASKED, judged.answers(ASKED, 0.8))
    write_json(card, tmp_path / "card.json")
    assert read_json(tmp_path / "card.json") == json.loads(json.dumps(card, default=str))
    text = (tmp_path / "card.json").read_text()
    for damaged, sentence in (
        (text[:-30], "cannot be read"),
        ("[1]", "no scorecard"),
        ('{"format": 1, "suites": {"basic": {"definition": "d"}}}', "no scorecard"),
        (text.replace('"format": 1', '"format": 99', 1), "no scorecard of format 1"),
    ):
        (tmp_path / "card.json").write_text(damaged)
        with pytest.raises(UserError, match=sentence):
            read_json(tmp_path / "card.json")
    with pytest.raises(UserError, match="There is no scorecard"):
        read_json(tmp_path / "absent.json")
