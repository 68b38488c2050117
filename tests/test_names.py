"""Names that people give to classes: by rules from strict to loose, and in a note where they were guessed."""

import unicodedata

import pytest
from cell_files import K

from build.data import names
from build.errors import UserError
from submission import contract


def test_letters_in_their_order_name_a_class_and_that_is_said():
    indices, notes = names.match(["baso", "eo", "erb", "ig", "ly", "mo", "neut", "plt"], "set")
    assert indices == list(range(K))
    assert notes == ["names in set are taken for abbreviations: erb = Erythroblast, plt = Platelet"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("immature_granulocytes", 3),
        ("Immature granulocyte", 3),
        ("IG", 3),
        ("EOS", 1),
        ("lym", 4),
        ("e", None),
        ("er", 2),
        ("granulocyte", None),
        ("3", None),
        ("3_", None),
        ("02_erythroblasts", 2),
        ("7 Basophil", 0),
        ("images", None),
        ("img", None),
        ("02_images", None),
        ("", None),
    ],
)
def test_a_name_is_matched_by_the_strictest_rule_that_fits_one_class(given, expected):
    assert names.class_of(given) == expected


@pytest.mark.parametrize(
    ("classes", "given", "expected"),
    [
        (("a", "A"), ["A", "a"], [1, 0]),
        (("-", "+"), ["+", "-"], [1, 0]),
        (("Species 1", "Species 10", "Species 2"), ["1", "10", "2"], [0, 1, 2]),
        (("Species 1", "Species 10", "Species 2"), ["02", "species 10", "1"], [2, 1, 0]),
    ],
)
def test_classes_that_differ_by_a_sign_or_a_number_are_told_apart(monkeypatch, classes, given, expected):
    monkeypatch.setattr(contract, "CLASSES", classes)
    assert names.match(given, "set") == (expected, [])


def test_signs_that_name_no_class_are_not_taken_for_numbers(monkeypatch):
    monkeypatch.setattr(contract, "CLASSES", ("bad", "good"))
    with pytest.raises(UserError, match="No class is named like"):
        names.match(["-", "+"], "set")


def test_numbered_names_are_ordered_by_number():
    given = [f"class_{number}" for number in range(3, 11)]
    indices, notes = names.match(given[::-1], "set")
    assert indices == list(range(K))[::-1]
    assert "class_10 = Platelet" in notes[0]


def test_an_accent_is_the_same_whether_it_is_a_character_of_its_own_or_not(monkeypatch):
    monkeypatch.setattr(contract, "CLASSES", ("Gr\u00f6\u00dfe", "Neutrophile", "Neutrophil\u00e9"))
    given = [unicodedata.normalize("NFD", name) for name in contract.CLASSES]
    assert given != list(contract.CLASSES)
    assert names.match(given, "set") == ([0, 1, 2], [])
