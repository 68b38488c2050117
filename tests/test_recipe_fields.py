"""--set: fields of a recipe as people write them, and one sentence where they cannot be read."""

import dataclasses

import pytest
from cell_files import sentence

from build.errors import UserError
from build.recipe import Recipe
from build.recipe_fields import read_settings


def test_values_are_read_as_their_fields_have_them():
    texts = (
        "lr=3e-4",
        "epochs = 7",
        "flip=False",
        "border=wrap",
        "randaugment_pool=rotate, solarize",
        "balance_counts=9,8",
        "resolutions=64:.4, 96:.6",
        "curriculum=.5:.4,1:.6",
    )
    assert read_settings(texts) == {
        "learning_rate": 3e-4,
        "epochs": 7,
        "flip": False,
        "border": "wrap",
        "randaugment_pool": ("rotate", "solarize"),
        "balance_counts": (9, 8),
        "resolutions": ((64, 0.4), (96, 0.6)),
        "curriculum": ((0.5, 0.4), (1.0, 0.6)),
    }
    assert read_settings(["randaugment_pool="]) == {"randaugment_pool": ()}
    assert read_settings([]) == {}


def test_every_field_is_read_back_as_the_default_that_it_has():
    texts = []
    for field in dataclasses.fields(Recipe):
        value = field.default if field.default is not dataclasses.MISSING else "mine"
        parts = value if isinstance(value, tuple) else (value,)
        text = ",".join(":".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in parts)
        texts.append(f"{field.name}={text}")
    assert Recipe(**read_settings(texts)) == Recipe(name="mine")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("crop", "Expected NAME=VALUE, such as crop=0.7, got 'crop'"),
        ("sharpness=2", "--set names sharpness, which is no field of a recipe"),
        ("epochs=2.5", "epochs is a whole number, got '2.5'"),
        ("crop=nan", "crop is a number, got 'nan'"),
        ("minutes=inf", "minutes is a number, got 'inf'"),
        ("flip=maybe", "flip is true or false, got 'maybe'"),
        ("border=", "border is a word, got ''"),
        ("resolutions=64", "resolutions is SIDE:SHARE, such as 64:0.4,96:0.6, got '64'"),
        ("curriculum=1", "curriculum is FACTOR:SHARE, such as 0.5:0.4,1:0.6, got '1'"),
        ("resolutions=64:all", "resolutions is a number, got 'all'"),
        ("balance_counts=5,many", "balance_counts is a whole number, got 'many'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, phrase):
    with pytest.raises(UserError) as caught:
        read_settings([text])
    assert phrase in sentence(caught)


def test_a_field_named_twice_is_refused_also_by_its_short_name():
    with pytest.raises(UserError) as caught:
        read_settings(["lr=1e-3", "learning_rate=1e-4"])
    assert "--set names learning_rate twice" in sentence(caught)
