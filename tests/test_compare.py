"""Two entries on the same images: McNemar, bootstrap, chances of ranking first, plain advice."""

import dataclasses

import judged
import numpy as np
import pytest
from scipy.stats import binomtest, norm

from build.errors import UserError
from build.score.leaderboard import compare as module
from build.score.leaderboard.choose import choose
from build.score.leaderboard.compare import Suite, align, chances_of_first, compare
from build.score.leaderboard.predictions import Predictions, load_predictions, save_predictions
from build.score.metrics import bootstrap

ASKED = judged.conditions(images=400, rows=120)


@pytest.fixture
def stored(tmp_path):
    """Answers as the store keeps them: through the file and back."""

    def keep(given, asked=ASKED) -> Predictions:
        save_predictions(tmp_path / "answers.npz", asked, given)
        return load_predictions(tmp_path / "answers.npz")

    return keep


def wrong_at(images: set[int], asked=ASKED) -> dict[str, np.ndarray]:
    """Answers that are wrong about those images in every condition, right otherwise."""
    return {one.key: np.where(np.isin(one.rows, list(images)), (one.labels + 1) % 3, one.labels) for one in asked}


def test_mcnemar_counts_the_answers_that_only_one_got_right(stored, rng):
    first, second = stored(wrong_at({1, 2, 3})), stored(wrong_at({3, *range(10, 22)}))
    result = compare(first, second, names=("a", "b"), rng=rng, draws=50)
    held_out = result.suites[0]
    assert held_out.suite == "held-out"
    assert (held_out.only_first, held_out.only_second) == (12, 2)
    assert held_out.p == pytest.approx(binomtest(2, 14, 0.5).pvalue)
    assert held_out.difference == pytest.approx((397 - 387) / 400)
    assert held_out.low < held_out.difference < held_out.high
    assert result.suites[1].p is None  # an image is asked about ten times: the test's answers would not be independent
    assert "McNemar p = 0.013 (12 against 2)" in "\n".join(result.lines())


def test_the_bootstrap_draws_images_not_answers(rng):
    image = np.repeat(np.arange(100), 10)
    by_image = np.repeat(rng.normal(0, 1, 100), 10)
    low, high = bootstrap(image, by_image, rng=rng)
    expected = 1.96 * by_image[::10].std() / np.sqrt(100)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.15)
    low, high = bootstrap(np.arange(1000), by_image, rng=rng)
    assert (high - low) / 2 == pytest.approx(expected / np.sqrt(10), rel=0.15)


def test_the_bootstrap_weighs_an_image_by_its_answers(rng):
    image = np.repeat([0, 1, 2], [1, 5, 50])
    assert bootstrap(image, np.ones(56), rng=rng) == pytest.approx((1, 1))


def test_the_bootstrap_interval_covers_the_truth(rng):
    inside = 0
    for _ in range(120):
        gain = rng.normal(0.02, 0.3, 80)
        low, high = bootstrap(np.arange(80), gain, rng=rng, draws=400)
        inside += low <= 0.02 <= high
    assert 0.88 * 120 <= inside <= 119


def test_a_clearly_better_entry_is_to_be_submitted(stored, rng):
    good, bad = stored(judged.answers(ASKED, 0.9, seed=1)), stored(judged.answers(ASKED, 0.6, seed=2))
    result = compare(bad, good, names=("bad", "good"), rng=rng, draws=300)
    assert result.chances[1] > 0.99
    assert result.advice.startswith("Submit good: it ranks first in 100%")


def test_entries_that_differ_in_a_few_answers_are_told_to_be_alike(stored, rng):
    same = judged.answers(ASKED, 0.8, seed=1)
    other = {key: called.copy() for key, called in same.items()}
    for key, image in (("basic.blur.1", 0), ("stacked.chains.2", 5)):
        other[key][image] = (other[key][image] + 1) % 3
    result = compare(stored(same), stored(other), names=("a", "b"), rng=rng, draws=300, hidden=1000)
    assert result.advice.startswith("No difference that 1,000 images could show")
    assert "save the slot" in result.advice
    assert 0.2 < result.chances[0] < 0.8


def test_a_gap_that_the_hidden_set_would_show_and_ours_cannot_is_told_so():
    suites = [Suite("basic", np.arange(500), np.stack([np.arange(500) < 403, np.arange(500) < 400], axis=1))]
    advice = module.advise(("a", "b"), suites, np.array([0.7, 0.3]), 5000)
    assert advice.startswith(
        "The test images here are too few to tell: +0.6 points, which 5,000 images would show (from 0.2 on)"
    )
    assert "judge both with more --rows" in advice
    assert module.advise(("a", "b"), suites, np.array([0.7, 0.3]), 500).startswith("No difference that 500 images")
    clean = [dataclasses.replace(suites[0], name="held-out")]  # which has all of its images already
    assert "judge both on perturbed suites too (--suites)" in module.advise(
        ("a", "b"), clean, np.array([0.7, 0.3]), 5000
    )


def test_entries_with_the_same_answers_have_no_difference_at_all(stored, rng):
    given = stored(judged.answers(ASKED, 0.8))
    result = compare(given, given, names=("a", "b"), rng=rng, draws=50)
    assert result.advice == "No difference at all: a and b give the same answers; submit either."
    assert result.chances == (0.5, 0.5)
    assert all(one.p in (None, 1.0) for one in result.suites)


def test_suites_count_alike_and_where_they_disagree_it_is_said():
    """a is better by 10 points on a small suite, b by 10 on one of ten times its answers."""
    suites = []
    for name, n, better in (("stacked", 200, 0), ("geometry", 2000, 1)):
        right = np.stack([np.arange(n) < 0.8 * n] * 2, axis=1)
        right[: n // 10, 1 - better] = False
        suites.append(Suite(name, np.arange(n), right))
    advice = module.advise(("a", "b"), suites, np.array([0.5, 0.5]), 5000)
    told = "a against b is +10.0 on stacked, -10.0 on geometry (points)"
    assert advice.startswith(f"The suites disagree: {told}")
    assert module.advise(("a", "b"), suites, np.array([0.15, 0.85]), 5000).startswith(f"The suites disagree: {told}")
    sure = module.advise(("a", "b"), suites, np.array([0.03, 0.97]), 5000)
    assert sure.startswith("Submit b: ")
    assert sure.endswith(f"The suites disagree, though: {told}.")


def test_suites_do_not_disagree_by_the_noise_of_our_own_images():
    """Twelve of 64 answers differ on either suite, a little more often for one entry than for the other."""
    suites = []
    for name, ahead in (("stacked", 7), ("geometry", 5)):
        right = np.ones((64, 2), bool)
        right[:ahead, 1], right[ahead:12, 0] = False, False
        suites.append(Suite(name, np.arange(64), right))
    assert "disagree" not in module.advise(("a", "b"), suites, np.array([0.5, 0.5]), 50_000)


def test_a_probable_gain_is_said_to_be_probable(rng):
    """Chances between the two limits, whatever the entries."""
    suites = [Suite("basic", np.arange(500), np.stack([np.arange(500) < 400, np.arange(500) < 415], axis=1))]
    advice = module.advise(("a", "b"), suites, np.array([0.15, 0.85]), 1000)
    assert advice.startswith("b is probably better (85%), not surely")
    assert module.advise(("a", "b"), suites, np.array([0.03, 0.97]), 1000).startswith("Submit b")
    scored = {"b": 0.87}
    advice = module.advise(("a", "b"), suites, np.array([0.15, 0.85]), 1000, scored)
    assert advice.startswith("b is probably better (85%), not surely: b scored 0.87 already, so save the slot")
    assert module.advise(("a", "b"), suites, np.array([0.97, 0.03]), 1000, scored).startswith("Submit a")


def test_the_images_that_would_tell_are_those_of_two_standard_errors():
    right = np.zeros((1000, 2), bool)
    right[:100, 0] = right[100:180, 1] = True  # 10 % against 8 %, disagreeing on 18 %
    advice = module.advise(("a", "b"), [Suite("basic", np.arange(1000), right)], np.array([0.6, 0.4]), 1000)
    needed = int(np.ceil(4 * (0.18 - 0.02**2) / 0.02**2))
    assert f"about {needed:,} images would be needed" in advice
    assert "+2.0 points" in advice


def test_the_chance_of_ranking_first_is_that_of_drawn_sets(rng):
    """Independent answers at 80 and 78 %, one suite: the chance is known from the normal approximation."""
    right = np.stack([rng.random(20_000) < 0.80, rng.random(20_000) < 0.78], axis=1)
    shares = right.mean(axis=0)
    chances = chances_of_first([Suite("stacked", np.arange(20_000), right)], rng=rng, hidden=1000, draws=1500)
    spread = np.sqrt((shares * (1 - shares)).sum() / 1000 + (shares * (1 - shares)).sum() / 20_000)
    assert chances.sum() == pytest.approx(1)
    assert chances[0] == pytest.approx(norm.cdf((shares[0] - shares[1]) / spread), abs=0.05)


def test_the_chance_counts_images_not_answers(rng):
    """21 images against 19, 50 answers each: as 40 images go that says little, as 2,000 answers would go a lot."""
    image = np.repeat(np.arange(40), 50)
    right = np.stack([image < 21, image >= 21], axis=1)
    assert 0.52 < chances_of_first([Suite("stacked", image, right)], rng=rng, draws=1500)[0] < 0.75


def test_images_as_they_are_take_no_part_in_the_chances_where_there_are_perturbed_ones(rng):
    clean = Suite("held-out", np.arange(100), np.tile([True, False], (100, 1)))
    perturbed = Suite("basic", np.arange(100), np.tile([False, True], (100, 1)))
    assert chances_of_first([clean, perturbed], rng=rng, draws=20).tolist() == [0, 1]
    assert chances_of_first([clean], rng=rng, draws=20).tolist() == [1, 0]


def test_only_conditions_of_one_definition_are_paired(stored):
    mine = stored(judged.answers(ASKED, 0.8))
    others = judged.conditions(images=400, rows=120, definition="other")
    theirs = stored(judged.answers(others, 0.8), others)
    with pytest.raises(UserError, match="a and b were not judged on the same images"):
        align((mine, theirs), ("a", "b"))
    fewer = [one for one in ASKED if one.suite != "stacked"]
    assert [one.name for one in align((mine, stored(judged.answers(fewer, 0.8), fewer)), ("a", "b"))] == [
        "held-out",
        "basic",
    ]


def test_among_several_the_two_likeliest_are_compared_and_strangers_are_named(stored, rng):
    others = judged.conditions(images=400, rows=120, definition="other")
    answered = {
        "worst": stored(judged.answers(ASKED, 0.5, seed=1)),
        "best": stored(judged.answers(ASKED, 0.9, seed=2)),
        "stranger": stored(judged.answers(others, 0.99), others),
        "second": stored(judged.answers(ASKED, 0.8, seed=3)),
    }
    said = choose(answered, rng=rng)
    assert said[0] == "stranger was judged on other images than worst and is not compared."
    assert said[1].startswith(
        "Chance of ranking first on a resampled hidden set of 5,000 images: best 100%, second 0%, worst 0%"
    )
    assert said[2] == "best against second, on the same images:"
    assert said[-1].startswith("Submit best")
    alone = choose({name: answered[name] for name in ("worst", "stranger")}, rng=rng)
    assert alone[-1].startswith("Judge both zips with the same data")


def test_an_entry_judged_on_fewer_suites_does_not_decide_among_the_others(stored, rng):
    """The first is better where images are perturbed, the second where they are not; the third has clean images only."""
    clean = [one for one in ASKED if one.suite == "held-out"]
    answered = {
        "robust": stored(judged.answers(ASKED, {"held-out": 0.7, "basic": 0.93, "stacked": 0.93}, seed=1)),
        "brittle": stored(judged.answers(ASKED, {"held-out": 0.99, "basic": 0.34, "stacked": 0.34}, seed=2)),
        "quick": stored(judged.answers(clean, 0.9, seed=3), clean),
    }
    said = choose(answered, rng=rng)
    assert said[0] == "quick was judged on other images of basic, stacked than robust and is not compared."
    assert said[1] == "robust against brittle, on the same images:"
    assert said[-2].endswith("robust 100%, brittle 0% (by basic, stacked)")
    assert said[-1].startswith("Submit robust")
    del answered["brittle"]
    assert choose(answered, rng=rng)[-2].endswith("(by held-out)")  # all that there is to compare, and said to be
