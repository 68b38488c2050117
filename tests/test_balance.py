import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from build.augment.balance import WAYS, plan
from build.errors import UserError
from build.recipes import RECIPES, find

PODIUM = find("podium")
COUNTS = np.array([10, 25, 40, 7])


def recipe(**fields):
    return dataclasses.replace(PODIUM, **fields)


def labels_of(counts, rng=None) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return labels if rng is None else rng.permutation(labels)


def seen(made, labels) -> list[int]:
    return np.bincount(labels[made.rows], minlength=made.counts_before.size).tolist()


def test_no_balance_shows_every_image_once_and_weighs_all_alike(rng):
    labels = labels_of(COUNTS, rng)
    made = plan(labels, recipe(balance="none"), rng=rng)
    assert np.array_equal(np.sort(made.rows), np.arange(82))
    assert not made.copy.any()
    assert made.class_weight.tolist() == [1, 1, 1, 1]


def test_weights_are_the_inverse_frequency_with_mean_one_over_the_images(rng):
    labels = labels_of(COUNTS, rng)
    made = plan(labels, recipe(balance="weights"), rng=rng)
    assert np.array_equal(made.rows, np.arange(82))
    # n / (K n_k), the "balanced" weights of scikit-learn.
    assert made.class_weight == pytest.approx(82 / (4 * COUNTS), rel=1e-6)
    assert made.class_weight[labels].mean() == pytest.approx(1, rel=1e-6)
    assert made.class_weight.dtype == np.float32


def test_copies_bring_each_class_to_its_share_of_the_largest(rng):
    labels = labels_of(COUNTS, rng)
    made = plan(labels, recipe(balance="augment", balance_share=0.6), rng=rng)
    assert seen(made, labels) == [24, 25, 40, 24] == made.counts_seen.tolist()
    assert made.counts_before.tolist() == COUNTS.tolist()
    assert np.array_equal(np.bincount(labels[made.rows[made.copy]], minlength=4), [14, 0, 0, 17])
    assert made.class_weight.tolist() == [1, 1, 1, 1]


def test_the_originals_come_once_each_and_only_what_follows_is_marked_as_a_copy(rng):
    labels = labels_of(COUNTS, rng)
    made = plan(labels, recipe(balance="augment", balance_share=1.0), rng=rng)
    assert np.array_equal(made.rows[~made.copy], np.arange(82))
    assert made.copy.sum() == 4 * 40 - 82


def test_augmix_of_the_copies_says_nothing_of_the_class_where_it_is_of_any():
    labels = labels_of([6000, 3000, 600])
    told, untold = (
        plan(labels, recipe(balance_share=1.0, copies_augmix=way), rng=np.random.default_rng(0))
        for way in ("copies", "any")
    )
    np.testing.assert_array_equal(told.rows, untold.rows)
    assert told.copy.sum() == untold.copy.sum()
    shares = [[one.copy[labels[one.rows] == k].mean() for k in range(3)] for one in (told, untold)]
    assert shares[0] == [0, 0.5, 0.9]
    assert np.ptp(shares[1]) < 0.05


def test_a_share_is_rounded_up_so_that_no_class_stays_below_it(rng):
    assert plan(labels_of([3, 10]), recipe(balance="augment", balance_share=0.75), rng=rng).counts_seen.tolist() == [
        8,
        10,
    ]


def test_counts_in_the_recipe_win_over_the_share_and_never_cut_a_class(rng):
    labels = labels_of(COUNTS, rng)
    made = plan(labels, recipe(balance="augment", balance_share=1.0, balance_counts=(30, 5, 40, 100)), rng=rng)
    assert seen(made, labels) == [30, 25, 40, 100]


def test_both_ways_weigh_only_what_imbalance_the_copies_left(rng):
    labels = labels_of(COUNTS, rng)
    made = plan(labels, recipe(balance="both", balance_share=0.5), rng=rng)
    assert made.counts_seen.tolist() == [20, 25, 40, 20]
    assert made.class_weight == pytest.approx(105 / (4 * np.array([20, 25, 40, 20])), rel=1e-6)
    level = plan(labels, recipe(balance="both", balance_share=1.0), rng=rng)
    assert level.class_weight.tolist() == [1, 1, 1, 1]


def test_copies_are_spread_evenly_over_the_images_of_a_class(rng):
    labels = labels_of([7, 40], rng)
    made = plan(labels, recipe(balance="augment", balance_share=1.0), rng=rng)
    times = np.bincount(made.rows[made.copy], minlength=47)[labels == 0]
    assert times.sum() == 33
    assert set(times.tolist()) == {4, 5}


def test_the_same_generator_state_gives_the_same_plan_and_another_one_other_copies():
    labels = labels_of(COUNTS, np.random.default_rng(1))
    wish = recipe(balance="augment", balance_share=0.9)
    first, again, other = (plan(labels, wish, rng=np.random.default_rng(seed)).rows for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=9),
    way=st.sampled_from(WAYS),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_whatever_the_classes_every_image_is_seen_and_the_loss_keeps_its_scale(counts, way, share, seed):
    labels = labels_of(counts)
    made = plan(labels, recipe(balance=way, balance_share=share), rng=np.random.default_rng(seed))
    assert set(made.rows.tolist()) == set(range(len(labels)))
    assert seen(made, labels) == made.counts_seen.tolist()
    assert (made.counts_seen >= made.counts_before).all()
    assert made.counts_seen.max() == max(counts)
    assert (made.class_weight * made.counts_seen).sum() == pytest.approx(len(made.rows), rel=1e-5)
    if way in ("weights", "both"):
        # Every class has the same say in the loss.
        assert np.ptp(made.class_weight * made.counts_seen) < 1e-3 * len(made.rows)
    if way in ("augment", "both"):
        assert (made.counts_seen >= share * max(counts) - 1e-9).all()


def test_the_table_and_the_record_say_what_an_epoch_shows(rng):
    made = plan(labels_of(COUNTS, rng), recipe(balance="both", balance_share=0.5), rng=rng)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(made.table(("ant", "bee", "cat", "dog [cd4][/b]")))
    lines = {line.split("│")[1].strip(): line.split("│")[2:6] for line in capture.get().splitlines() if "│" in line}
    assert [cell.strip() for cell in lines["ant"]] == ["10", "10", "20", "1.312"]
    assert [cell.strip() for cell in lines["cat"]] == ["40", "0", "40", "0.656"]
    assert lines["dog [cd4][/b]"]  # no markup
    assert [cell.strip() for cell in lines["all"]] == ["82", "23", "105", "1.000"]
    facts = made.facts()
    assert facts["counts_before"] == [10, 25, 40, 7]
    assert facts["counts_seen"] == [20, 25, 40, 20]
    assert facts["class_weight"] == pytest.approx([1.3125, 1.05, 0.65625, 1.3125])


@pytest.mark.parametrize(
    ("labels", "fields", "classes", "words"),
    [
        ([0, 1], {"balance": "sometimes"}, None, "none, weights, augment, both"),
        ([0, 1], {"copies_augmix": "all"}, None, "copies_augmix is copies or any, got 'all'"),
        ([0, 1], {"balance_share": 1.5}, None, "balance_share must be from 0 to 1"),
        ([0, 1], {"balance_share": float("nan")}, None, "balance_share must be from 0 to 1"),
        ([], {}, 3, "no training images"),
        ([0, 2, 2], {}, None, "Class 1 has no training image"),
        ([0, 1], {}, 3, "Class 2 has no training image"),
        ([0, 1, 5], {}, 2, "labels in 0..1, got 5"),
        ([0, -1, 1], {}, 2, "labels in 0..1, got -1"),
        ([0, 1], {"balance_counts": (4, 4, 4)}, None, "one number a class, 2, got 3"),
    ],
)
def test_what_cannot_be_balanced_is_one_clear_sentence(labels, fields, classes, words, rng):
    with pytest.raises(UserError, match=words):
        plan(np.array(labels, np.int64), recipe(**fields), rng=rng, classes=classes)


def test_every_recipe_of_the_kit_gives_a_plan_on_the_competitions_imbalance(rng):
    counts = [850, 2180, 1085, 2023, 849, 993, 2330, 1641]
    for one in RECIPES.values():
        made = plan(labels_of(counts), one, rng=rng, classes=8)
        share = made.counts_seen.min() / made.counts_seen.max()
        assert share == pytest.approx(one.balance_share if one.balance in ("augment", "both") else 849 / 2330, abs=1e-3)
