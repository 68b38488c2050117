"""The two scales of a study, and the studies themselves: every row is a recipe that the kit can train."""

import dataclasses

import numpy as np
import pytest

from build.augment.balance import plan
from build.augment.settings import check
from build.errors import UserError
from build.recipe import Recipe
from build.recipes import find as recipe_named
from build.study import protocol, reported
from build.study.catalogue import STUDIES, find

ROWS = [(study.name, row) for study in STUDIES.values() for row in study.rows]


@pytest.mark.parametrize(("study", "row"), ROWS, ids=[f"{study}-{row.label}" for study, row in ROWS])
def test_every_row_is_a_valid_recipe_at_both_scales(study, row):
    for scale in protocol.SCALES:
        recipe = protocol.at_scale(row.recipe, scale)
        check(recipe)
        assert Recipe.from_json(recipe.to_json()) == recipe
        assert recipe.minutes == 0
    assert protocol.at_scale(row.recipe, "report") == row.recipe


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
@pytest.mark.parametrize("scale", protocol.SCALES)
def test_no_two_rows_of_a_study_are_the_same_training(study, scale):
    recipes = [protocol.at_scale(row.recipe, scale, epochs=40) for row in study.rows]
    assert len(set(recipes)) == len(recipes)
    assert len({row.label for row in study.rows}) == len(recipes)


def test_at_the_small_scale_only_networks_whose_weights_are_at_hand_keep_them():
    for _, row in ROWS:
        recipe = protocol.at_scale(row.recipe, "small")
        kept = "drawn" if row.recipe.weights == "drawn" else "none"  # those are part of the repository
        assert recipe.weights == ("imagenet" if recipe.network == "efficientnet-lite" else kept)
        assert recipe.epochs == protocol.SMALL_EPOCHS
        assert protocol.at_scale(row.recipe, "small", epochs=3).epochs == 3


def test_what_is_trained_from_scratch_gets_a_learning_rate_for_that_and_an_adam_stays_one():
    rates = {row.label: protocol.at_scale(row.recipe, "small").learning_rate for row in find("optimizer").rows}
    assert rates == {"Lion": 3e-4, "AdamW": 2e-3, "Adam": 2e-3}
    decays = {row.label: protocol.at_scale(row.recipe, "small").weight_decay for row in find("optimizer").rows}
    assert decays["Adam"] == 0
    assert decays["Lion"] > decays["AdamW"] > 0
    own = recipe_named("report-custom-cnn")
    assert protocol.at_scale(own, "small").learning_rate == own.learning_rate


def test_what_a_row_varies_survives_the_small_scale():
    """A scale that overrides what a study compares would compare nothing."""
    for study in STUDIES.values():
        if study.name in ("models", "distillation"):
            continue  # rows of several networks
        base, *others = [row.recipe for row in study.rows]
        for recipe in others:
            varied = {
                field.name
                for field in dataclasses.fields(Recipe)
                if getattr(recipe, field.name) != getattr(base, field.name)
            }
            small, small_base = (protocol.at_scale(one, "small") for one in (recipe, base))
            for name in varied:
                assert getattr(small, name) != getattr(small_base, name), (study.name, name)


def test_the_scale_follows_the_hardware_unless_it_is_named():
    assert protocol.choose("auto", gpu=True) == "report"
    assert protocol.choose("auto", gpu=False) == "small"
    assert protocol.choose("report", gpu=False) == "report"
    with pytest.raises(UserError, match="'large'"):
        protocol.choose("large", gpu=False)


def test_the_reports_table_2_is_beside_its_models():
    told = [row.reported for row in find("models").rows]
    table = (reported.CUSTOM_CNN, reported.MOBILENET_V3, reported.CONVNEXT)
    assert all(row in told for row in table)
    assert [(row.accuracy, row.hidden) for row in table] == [(0.81, 0.354), (0.9766, 0.65), (0.9824, 0.77)]


def test_the_defects_are_made_on_as_many_copies_as_the_report_had():
    counts = (680, 1743, 867, 1618, 679, 794, 1864, 1314)  # its table 1
    labels = np.repeat(np.arange(8), counts)
    for row in find("defects").rows:
        share = plan(labels, row.recipe, rng=np.random.default_rng(0)).copy.mean()
        assert share == pytest.approx(1600 / 8769, abs=0.01)


def test_an_unknown_study_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match=r"'model'.*models, balance"):
        find("model")


def test_rows_that_studies_share_are_one_training():
    shared = {
        "models": "ConvNeXt",
        "balance": "weighted AugMix and class weights",
        "optimizer": "Lion",
        "framing": "whole image",
    }
    recipes = {
        protocol.at_scale(row.recipe, "small")
        for name, label in shared.items()
        for row in find(name).rows
        if row.label == label
    }
    assert len(recipes) == 1
