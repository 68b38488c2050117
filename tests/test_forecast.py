"""The forecast of the server's score: its errors on the public pairs, its interval, what it learns from own records."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t

from build.score.leaderboard.forecast import CONFIDENCE, OTHERS, WEIGHT, Forecaster, public_point, report
from build.score.leaderboard.reported import CLEAN, PAIRS, REPORTED, Pair
from build.score.metrics import Z, wilson


def suites(stacked: float, **others: float) -> dict[str, float]:
    return {"stacked": stacked, **{name.replace("_", "-"): value for name, value in others.items()}}


def test_the_error_that_is_printed_is_that_of_pairs_left_out_one_by_one():
    misses = []
    for index, pair in enumerate(PAIRS):
        model = Forecaster(pairs=[other for i, other in enumerate(PAIRS) if i != index])
        point = public_point(pair)
        if point.source not in model.sources:
            point = type(point)(point.x, point.y, "own", point.differences)
        misses.append(abs(expit(model._predict(point)[0]) - pair.server))
    errors = Forecaster().leave_one_out()
    assert errors["mean_absolute_error"] == pytest.approx(np.mean(misses))
    assert f"a left-out pair is missed by {100 * np.mean(misses):.1f} points" in report(Forecaster())[0]
    assert f"{len(PAIRS)} public pairs" in report(Forecaster())[0]


def test_perturbed_images_forecast_better_than_clean_ones():
    errors = Forecaster().leave_one_out()
    assert errors["identity"] == pytest.approx(np.mean([abs(pair.perturbed - pair.server) for pair in PAIRS]))
    assert errors["mean_absolute_error"] < errors["identity"]
    assert errors["mean_absolute_error"] < errors["new_source"] < errors["clean"]
    assert errors["covered"] >= 0.6 * errors["pairs"]


def test_a_higher_suite_gives_a_higher_forecast_within_its_interval():
    model = Forecaster()
    told = [model.predict(suites(accuracy)) for accuracy in (0.1, 0.4, 0.6, 0.8, 0.9, 0.99)]
    assert [one["score"] for one in told] == sorted(one["score"] for one in told)
    for one in told:
        assert 0 < one["low"] < one["score"] < one["high"] < 1
        assert one["confidence"] == CONFIDENCE
        assert "An inference about a set that nobody here has seen" in one["sentence"]


def test_the_fewer_images_an_accuracy_rests_on_the_wider_its_forecast():
    model = Forecaster()
    told = [model.predict(suites(0.9), wilson(0.9 * n, n)) for n in (10, 100, 1000, 10**6)]
    widths = [one["high"] - one["low"] for one in told]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1.25 * widths[-1]
    alone = model.predict(suites(0.9))
    assert widths[-1] == pytest.approx(alone["high"] - alone["low"], rel=1e-3)
    assert {one["score"] for one in told} == {alone["score"]}  # how many images there were moves it nowhere


def test_what_the_interval_gains_is_what_the_forecast_moves_within_the_accuracy_s_own():
    """A tenth of the accuracy's standard error up and down moves the forecast by a tenth of what that error adds."""
    model, bounds = Forecaster(), wilson(27, 30)
    error = (logit(bounds[1]) - logit(bounds[0])) / (2 * Z)
    up, down = (logit(model.predict(suites(float(expit(logit(0.9) + s * error / 10))))["score"]) for s in (1, -1))
    reach = {
        name: (logit(one["high"]) - logit(one["low"])) / 2
        for name, one in (("with", model.predict(suites(0.9), bounds)), ("without", model.predict(suites(0.9))))
    }
    added = np.sqrt(reach["with"] ** 2 - reach["without"] ** 2) / t.ppf(0.9, len(model.points) - 3)
    assert added == pytest.approx(5 * (up - down), rel=1e-3)


def test_a_suite_without_records_of_one_s_own_does_not_widen_the_interval():
    alone, more = (
        Forecaster().predict(suites(0.89, **others)) for others in ({}, {"held_out": 0.99, "laboratory": 0.95})
    )
    assert alone == more
    own = [(suites(0.8, held_out=0.95), 0.7), (suites(0.85, held_out=0.97), 0.75)]
    alone, more = (Forecaster(own).predict(suites(0.89, **others)) for others in ({}, {"held_out": 0.99}))
    assert more["high"] - more["low"] > alone["high"] - alone["low"]  # a weight that is not known for certain


def test_the_sentence_gives_the_error_of_the_position_that_one_is_in():
    errors = {name: f"{100 * value:.1f}" for name, value in Forecaster().leave_one_out().items()}
    told = Forecaster().predict(suites(0.8))["sentence"]
    assert (
        f"mean absolute error {errors['new_source']} points on public pairs, each forecast without its team's." in told
    )
    as_told = Forecaster().predict(suites(0.8))["score"]
    told = Forecaster([(suites(0.8), as_told)]).predict(suites(0.8))["sentence"]
    assert f"{errors['mean_absolute_error']} points on public pairs, each forecast without itself." in told


def test_a_record_that_the_forecast_missed_far_is_told():
    error, what = Forecaster([(suites(0.9), 0.6)]).error()
    assert error > 0.25
    assert what.startswith("your own records")
    assert Forecaster([(suites(0.9), 0.89)]).error()[0] >= Forecaster().leave_one_out()["mean_absolute_error"]


def test_below_all_public_pairs_the_forecast_follows_the_suite_and_says_that_it_guesses():
    lowest = min(pair.perturbed for pair in PAIRS)
    for accuracy, most in ((0.125, 0.25), (0.223, 0.38)):
        told = Forecaster().predict(suites(accuracy))
        assert told["score"] < most
        assert f"below all public pairs (from {lowest:.2f} on): a guess." in told["sentence"]
    assert "a guess" not in Forecaster().predict(suites(lowest))["sentence"]


def test_without_the_stacked_suite_there_is_no_forecast():
    assert Forecaster().predict({"held-out": 0.98, "basic": 0.9}) is None


def test_perfect_and_hopeless_suites_stay_finite():
    for accuracy in (0.0, 1.0):
        told = Forecaster([(suites(accuracy), accuracy)]).predict(suites(accuracy, basic=1.0, held_out=1.0))
        assert 0 < told["low"] < told["high"] < 1


def test_own_records_pull_the_forecast_and_narrow_its_interval():
    fresh = Forecaster().predict(suites(0.8))
    own = [(suites(accuracy), float(expit(logit(accuracy) - 0.9))) for accuracy in (0.7, 0.8, 0.85, 0.9)]
    one, four = Forecaster(own[:1]).predict(suites(0.8)), Forecaster(own).predict(suites(0.8))
    truth = own[1][1]
    assert abs(four["score"] - truth) < abs(one["score"] - truth) < abs(fresh["score"] - truth)
    assert four["high"] - four["low"] < fresh["high"] - fresh["low"]
    assert four["own_pairs"] == 4
    assert four["pairs"] == len(PAIRS) + 4
    assert "4 of your own" in four["sentence"]


def test_records_say_which_suite_the_hidden_set_resembles(rng):
    """Entries whose server score follows geometry beyond stacked, while microscopy goes its own way."""
    own = []
    for _ in range(25):
        stacked, geometry, microscopy = rng.normal(1.2, 0.5), rng.normal(1.2, 1), rng.normal(1.2, 1)
        server = stacked + 0.5 * (geometry - stacked) + rng.normal(0, 0.1)
        shares = {"geometry": expit(geometry), "microscopy": expit(microscopy)}
        own.append((suites(float(expit(stacked)), **shares), float(expit(server))))
    weights = {row["suite"]: row for row in Forecaster(own).weights()}
    assert set(weights) == set(OTHERS)
    assert weights["geometry"]["low"] > 0.1
    assert weights["geometry"]["weight"] == max(row["weight"] for row in weights.values())
    assert weights["microscopy"]["low"] < 0 < weights["microscopy"]["high"]
    assert weights["geometry"]["learned"] > 0.3
    assert abs(weights["basic"]["learned"]) < 1e-9  # no record has it
    sentence = report(Forecaster(own))[1]
    assert "From 25 recorded score(s) of your own" in sentence
    assert f"geometry {weights['geometry']['weight']:+.2f}" in sentence


def test_intervals_of_weights_have_the_tails_of_few_pairs():
    model = Forecaster([(suites(0.8, held_out=0.95), 0.7)])
    for row in model.weights():
        assert row["high"] - row["weight"] == pytest.approx(
            t.ppf(0.9, len(model.points) - 3) * (1 - row["learned"]) * WEIGHT
        )


def test_without_records_nothing_is_said_about_the_hidden_sets_make():
    assert "nothing is known about which suite resembles the hidden set" in report(Forecaster())[1]
    assert all(row["weight"] == 0 for row in Forecaster().weights())


def test_the_interval_covers_about_as_often_as_it_says(rng, monkeypatch):
    """Pairs drawn from the model's own world: six teams of two models, then a seventh team without records."""
    monkeypatch.setattr(Forecaster, "error", lambda self: (0.0, ""))  # of the sentence alone, and 24 fits a draw
    inside, count = 0, 150
    for _ in range(count):
        offsets, common = rng.normal(0, 0.4, 7), rng.normal(0, 0.3)
        pairs = []
        for team in range(6):
            for x in rng.normal(1.7, 0.8, 2):
                server = expit(x + common + offsets[team] + rng.normal(0, 0.3))
                pairs.append(Pair(f"team {team}", "", float(expit(x)), float(server), ""))
        x = rng.normal(1.7, 0.8)
        truth = float(expit(x + common + offsets[6] + rng.normal(0, 0.3)))
        told = Forecaster(pairs=pairs).predict({"stacked": float(expit(x))})
        inside += told["low"] <= truth <= told["high"]
    assert 0.7 * count < inside < 0.92 * count


def test_the_public_scores_are_shares_of_known_phases():
    assert {row.score for row in REPORTED if row.report} == {0.77, 0.65, 0.354}
    assert {0.9687, 0.9605, 0.94} <= {row.score for row in REPORTED}
    assert {row.phase for row in REPORTED} == {"dev", "final", ""}
    assert all(0 < value < 1 for row in PAIRS for value in (row.perturbed, row.server))
    assert all(0.9 < clean < 1 for clean, _ in CLEAN)


def test_a_suite_that_an_entry_was_not_judged_on_moves_its_forecast_nowhere():
    """Held-out cells are always far above stacked ones: that they were left out is no news about the hidden set."""
    full = suites(0.891, held_out=0.982, basic=0.941, microscopy=0.968)
    for server in (0.7, 0.95):
        model = Forecaster([(full, server)])
        expected = model.predict(full)["score"]
        assert model.predict(suites(0.891))["score"] == pytest.approx(expected)
        assert model.predict(suites(0.891, held_out=0.982))["score"] == pytest.approx(expected)
    assert model.predict(full | {"basic": 0.99})["score"] == pytest.approx(
        expected
    )  # one record says nothing of weights
