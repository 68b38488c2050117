"""Which operations of a suite a recipe trained with, from the recipe's plain facts."""

import dataclasses

from build.augment.randaugment import POOL
from build.recipe import Recipe
from build.recipes import find
from build.score.corruptions import stacked
from build.score.suites import SUITES
from build.trained_operations import AUGMIX, POOL_NAMES, TRAINED_WITH, operations_trained_with, seen

NOTHING = {"augmenter": "podium", "balance": "none"}


def test_the_fields_asked_for_are_fields_of_a_recipe():
    known = {field.name for field in dataclasses.fields(Recipe)}
    assert {field for fields, _ in TRAINED_WITH for field in fields} <= known


def test_every_probability_of_a_recipe_is_asked_for():
    asked = {field for fields, _ in TRAINED_WITH for field in fields}
    probabilities = {field.name for field in dataclasses.fields(Recipe) if field.name.endswith("_probability")}
    assert probabilities - asked == {"mix_probability"}  # mixes of two images, which no suite does


def test_the_words_are_those_of_the_suites():
    words = {word for suite in SUITES.values() for one in suite.corruptions for word in one.operations}
    used = {word for _, operations in TRAINED_WITH for word in operations}
    assert used <= words | set(stacked.OPERATIONS)
    assert {POOL_NAMES.get(name, name) for name in POOL} - {"invert"} <= words


def test_an_operation_counts_only_where_its_probability_and_its_strength_are_above_zero():
    assert operations_trained_with(NOTHING) == ()
    assert operations_trained_with({**NOTHING, "geometry_probability": 0.5, "rotation": 20}) == ("rotation",)
    assert operations_trained_with({**NOTHING, "geometry_probability": 0.5, "rotation": 0}) == ()
    assert operations_trained_with({**NOTHING, "geometry_probability": 0, "rotation": 20}) == ()
    assert operations_trained_with({**NOTHING, "grid_probability": 0.1}) == ("grid mask", "occlusion")


def test_a_curriculum_that_never_augments_trains_with_nothing_but_the_consistency_loss_s_views():
    recipe = {**NOTHING, "geometry_probability": 0.5, "rotation": 20, "curriculum": [[0.0, 1.0]]}
    assert operations_trained_with(recipe) == ()
    assert operations_trained_with({**recipe, "curriculum": [[0.0, 0.5], [0.1, 0.5]]}) == ("rotation",)
    assert set(operations_trained_with({**recipe, "jsd_weight": 12})) == set(AUGMIX)


def test_copies_made_by_augmentation_count_as_augmix():
    assert operations_trained_with({"balance": "augment", "augmenter": "none"}) == operations_trained_with(
        {**NOTHING, "augmix_probability": 0.5}
    )
    assert "equalize" in operations_trained_with({"balance": "both", "augmenter": "none"})
    assert operations_trained_with({"balance": "weights", "augmenter": "none", "augmix_probability": 1}) == ()


def test_a_pool_of_its_own_replaces_randaugments_list():
    recipe = {**NOTHING, "randaugment_probability": 1, "randaugment_operations": 2}
    assert {"equalize", "sharpness", "rotation"} <= set(operations_trained_with(recipe))
    assert operations_trained_with({**recipe, "randaugment_pool": ("hue", "shear_x", "shear_y")}) == ("hue", "shear")


def test_the_kits_own_recipe_has_seen_what_it_trains_with():
    used = operations_trained_with(dataclasses.asdict(find("podium")))
    assert {"rotation", "jpeg", "occlusion", "equalize", "channel shuffle", "bubble", "stain", "hue"} <= set(used)
    assert not {"elastic", "perspective"} & set(used)


def test_a_recipe_that_is_not_known_leaves_the_mark_open():
    assert operations_trained_with(None) is None
    assert seen(("blur",), None) is None
    assert seen(("blur", "stain"), ("blur", "noise")) == ["blur"]
    assert seen(("stain",), ("blur",)) == []


def test_operations_that_a_recipe_names_are_added():
    assert operations_trained_with({**NOTHING, "operations": ("elastic",)}) == ("elastic",)
