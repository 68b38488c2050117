"""Settings of a recipe that can never pass are refused before a training, by the field's name and with what it may be."""

import dataclasses

import pytest

from build.augment import settings as augmentation
from build.errors import UserError
from build.recipes import RECIPES, find
from build.train.settings import check

PODIUM = find("podium")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_passes(name):
    check(RECIPES[name], 0)
    augmentation.check(RECIPES[name])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("time_limit", 0, "must be above 0, got 0"),
        ("hidden_images", -1, "must be above 0, got -1"),
        ("maximum_zip_mb", -1.0, "must be above 0"),
        ("maximum_seconds_per_1000", 0.0, "must be above 0"),
        ("name", "my recipe", "a name without spaces"),
    ],
)
def test_what_packaging_could_never_pass_is_said_before_the_training(field, value, says):
    with pytest.raises(UserError, match=says) as caught:
        check(dataclasses.replace(PODIUM, **{field: value}), 0)
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("resolutions", wrong)
        for wrong in ((), ((96, 0.5),), ((96, 0.7), (64, 0.7)), ((0, 1.0),), ((96, 1.5), (64, -0.5)))
    ]
    + [("curriculum", wrong) for wrong in ((), ((1.0, 0.5),), ((1.5, 1.0),), ((-0.1, 1.0),))],
    ids=str,
)
def test_what_changes_over_the_epochs_is_checked_before_anything_is_built(field, wrong):
    with pytest.raises(UserError, match=rf"{field} is .* add up to 1") as caught:
        check(dataclasses.replace(PODIUM, **{field: wrong}), 0)
    assert "\n" not in str(caught.value)


def test_quarter_turns_of_oblong_images_are_refused_before_the_training(monkeypatch):
    check(dataclasses.replace(PODIUM, views=8), 0)
    monkeypatch.setattr("build.train.settings.IMAGE_SHAPE", (64, 80, 3))
    check(dataclasses.replace(PODIUM, views=4), 0)
    with pytest.raises(UserError, match="views is 8, and quarter turns need square images, not 64 x 80 pixels"):
        check(dataclasses.replace(PODIUM, views=8), 0)


def test_a_pool_that_keras_cv_would_not_look_at_is_refused():
    with pytest.raises(UserError, match="randaugment_pool is for augmenter podium, keras_cv has a list of its own"):
        augmentation.check(dataclasses.replace(PODIUM, augmenter="keras_cv", randaugment_pool=("rotate",)))


@pytest.mark.parametrize(("field", "value"), [("zoom", 25.0), ("translation", 20.0), ("stain", 30.0), ("zoom", 1e300)])
def test_a_percentage_is_no_share(field, value):
    with pytest.raises(UserError, match=f"{field} must be from 0 to .* it is a share, not a percentage"):
        augmentation.check(dataclasses.replace(PODIUM, **{field: value}))
