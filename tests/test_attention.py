"""How much of the attention lies at the edges: known maps give known shares, intervals are of images."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from build import attention
from build.attention import Looked, by_image, difference, interval, measure, outside, outside_share, summary
from build.score.suites import Condition

CLASSES = ("red", "green")


def condition(path: Path, labels, rows=None, suite: str = "held-out", severity: int = 0) -> Condition:
    labels = np.asarray(labels, np.int64)
    rows = np.arange(len(labels)) if rows is None else np.asarray(rows, np.int64)
    return Condition(suite, "none" if suite == "held-out" else "spin", severity, path, labels, rows)


@pytest.mark.parametrize("shape", [(1, 1), (6, 6), (7, 7), (24, 24), (6, 9)])
def test_half_of_a_map_s_area_is_outside_the_disc(shape):
    assert outside(shape).mean() == pytest.approx(0.5, abs=1e-3)
    share = outside_share(np.full((3, *shape), 0.3, np.float32))
    assert share == pytest.approx(0.5, abs=1e-3)


def test_mass_in_a_corner_is_outside_and_mass_in_the_middle_is_not():
    heat = np.zeros((4, 6, 6), np.float32)
    heat[0, 0, 0] = 0.2
    heat[1, 2:4, 2:4] = 0.7
    heat[2] = heat[0] * 5 + heat[1] / 0.7 / 4  # half here, half there
    share = outside_share(heat)
    assert share[:3] == pytest.approx([1.0, 0.0, 0.5])
    assert math.isnan(share[3])


def test_the_disc_s_edge_is_where_the_area_says():
    weights = outside((96, 96))
    radius = 96 / math.sqrt(2 * math.pi)
    across = np.hypot(*(np.indices((96, 96)) - 47.5))
    assert (weights[across < radius - 1] == 0).all()
    assert (weights[across > radius + 1] == 1).all()


def test_an_image_that_is_asked_about_more_often_counts_once():
    assert by_image(np.array([4, 7, 4, 7, 7]), np.array([0.0, 0.3, 1.0, 0.6, 0.9])) == pytest.approx([0.5, 0.6])
    several = Looked(
        condition(Path("a"), [0] * 5, rows=[4, 7, 4, 7, 7]),
        np.arange(5),
        np.zeros(5, np.int64),
        np.array([0.0, 0.3, 1.0, 0.6, 0.9]),
    )
    right = summary([several], CLASSES, seed=0)["all"]["right"]
    assert right["images"] == 2
    assert right["share"] == pytest.approx(0.55)
    assert right["low"] == pytest.approx(0.5)
    assert right["high"] == pytest.approx(0.6)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = interval(rng.normal(0.4, 0.1, 60), rng=rng)
        covered += low <= 0.4 <= high
    assert 175 <= covered <= 199  # 95 % of 200 is 190; a percentile bootstrap of 60 values is a little narrow


def test_intervals_are_reproducible_and_absent_below_two_images():
    values = np.random.default_rng(0).random(30)
    assert interval(values, rng=np.random.default_rng(3)) == interval(values, rng=np.random.default_rng(3))
    assert interval(values, rng=np.random.default_rng(3)) != interval(values, rng=np.random.default_rng(4))
    assert interval(values[:1], rng=np.random.default_rng(3)) == (None, None)
    rows, wrong = np.arange(30), np.arange(30) < 9
    few = difference(rows, 0 * rows, values, wrong, rng=np.random.default_rng(3))
    assert few == {"share": None, "low": None, "high": None}


def test_an_image_that_is_right_and_wrong_counts_against_itself(tmp_path):
    """Where it looks differs from image to image by much more than by .02 between its wrong and its right answer."""
    rng = np.random.default_rng(0)
    labels, own, odd = np.zeros(150, np.int64), rng.uniform(0.2, 0.8, 150), np.arange(150) % 2
    parts = [
        Looked(
            condition(tmp_path / "x.npy", labels, suite="stacked", severity=severity),
            np.arange(150),
            called,
            own + 0.02 * called + rng.normal(0, 0.01, 150),
        )
        for severity, called in ((1, odd), (5, 1 - odd))
    ]
    found = summary(parts, CLASSES, seed=0)["wrong_minus_right"]
    assert found["share"] == pytest.approx(0.02, abs=0.005)
    assert 0.01 < found["low"] < found["share"] < found["high"] < 0.03


@pytest.fixture
def looked(tmp_path, rng):
    """Images whose first pixel says what a made-up network calls them and whose second where it looks."""
    labels = np.arange(80) % 2
    images = np.zeros((80, 8, 8, 3), np.uint8)
    wrong = np.arange(80) % 5 == 0
    images[:, 0, 0, 0] = np.where(wrong, 1 - labels, labels)
    images[:, 0, 1, 0] = wrong  # at the edge, where it is wrong
    images[:, 0, 2, 0] = np.arange(80)
    path = tmp_path / "images.npy"
    np.save(path, images)

    def look(given):
        assert given.dtype == np.uint8
        heat = np.zeros((len(given), 6, 6), np.float32)
        heat[:, 2:4, 2:4] = 0.5 + 0.5 * rng.random((len(given), 1, 1))
        edge = given[:, 0, 1, 0] == 1
        heat[edge, 0, 0] = 4 * heat[edge, 2, 2] * (0.8 + 0.4 * rng.random(edge.sum()))
        return heat, given[:, 0, 0, 0].astype(np.int64)

    clean = condition(path, labels)
    return look, [clean, *(condition(path, labels, suite="stacked", severity=severity) for severity in (1, 2))]


def test_wrong_answers_that_look_at_the_edge_are_found_out(looked, capsys):
    look, conditions = looked
    found = measure(look, conditions, seed=0, classes=CLASSES)
    json.dumps(found, allow_nan=False)
    assert found["sets"].keys() == {"held-out", "stacked"}
    for part in found["sets"].values():
        assert (part["all"]["right"]["images"], part["all"]["wrong"]["images"]) == (64, 16)
        assert part["all"]["right"]["share"] == 0
        assert part["all"]["wrong"]["share"] == pytest.approx(0.5, abs=0.05)
        assert part["wrong_minus_right"]["low"] > 0.4
        assert sum(row["wrong"]["images"] for row in part["classes"]) == 16
    assert (found["sets"]["held-out"]["answers"], found["sets"]["stacked"]["answers"]) == (80, 160)
    attention.show(found)
    assert "held-out: wrong answers look more at the edges than right ones (+0." in capsys.readouterr().err
    for example in found["examples"]:
        assert (example["called"] != example["label"]) == (example["row"] % 5 == 0)
    assert len(found["examples"]) == 2 * 2 * 2 * attention.EXAMPLES


def test_a_limit_takes_images_evenly_from_every_condition(looked):
    look, conditions = looked
    seen = []

    def noted(images):
        seen.append(images[:, 0, 2, 0])
        return look(images)

    found = measure(noted, conditions, seed=0, limit=20, classes=CLASSES)
    assert seen[0].tolist() == np.linspace(0, 79, 20).round().tolist()
    assert found["sets"]["held-out"]["all"]["right"]["share"] == 0  # each answer is held against its own label
    assert found["sets"]["held-out"]["answers"] == 20
    assert found["sets"]["stacked"]["answers"] == 20
    assert found["sets"]["stacked"]["images"] == 10


def test_maps_without_evidence_are_counted_and_left_out(looked, tmp_path):
    look, conditions = looked

    def blind(images):
        heat, called = look(images)
        heat[::2] = 0
        return heat, called

    part = measure(blind, conditions[:1], seed=0, classes=CLASSES)["sets"]["held-out"]
    assert part["blank"] == 40
    assert part["all"]["right"]["images"] + part["all"]["wrong"]["images"] == 40


def test_no_wrong_answer_is_no_figure_rather_than_a_zero(looked, capsys):
    look, conditions = looked
    found = measure(lambda images: (look(images)[0], np.arange(80) % 2), conditions[:1], seed=0, classes=CLASSES)
    part = found["sets"]["held-out"]
    assert part["all"]["wrong"] == {"images": 0, "share": None, "low": None, "high": None}
    assert part["wrong_minus_right"]["share"] is None
    attention.show(found)
    assert "too few" in capsys.readouterr().err


def test_severe_perturbations_that_move_the_attention_are_no_difference_between_wrong_and_right(tmp_path):
    """Where it looks and how often it is wrong both grow with the severity, and have nothing to do with each other."""
    rng, inside, more = np.random.default_rng(7), 0, 0
    labels = np.zeros(400, np.int64)
    for world in range(40):
        own = rng.normal(0, 0.05, 400)
        called = [(rng.random(400) < 0.05 * severity).astype(np.int64) for severity in range(1, 6)]
        for effect in (0.0, 0.08):
            parts = [
                Looked(
                    condition(tmp_path / "x.npy", labels, suite="stacked", severity=severity),
                    np.arange(400),
                    wrong,
                    0.2 + 0.02 * severity + own + effect * wrong,
                )
                for severity, wrong in enumerate(called, 1)
            ]
            found = summary(parts, CLASSES, seed=world)["wrong_minus_right"]
            if effect:
                more += found["low"] > 0
                assert found["share"] == pytest.approx(0.08, abs=0.02)
            else:
                inside += found["low"] <= 0 <= found["high"]
    assert inside >= 34
    assert more == 40
