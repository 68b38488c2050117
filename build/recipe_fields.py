"""Fields of a recipe as people write them: `train --set crop=0.7`, and the values within `sweep --search`.

    changes = read_settings(("crop=0.7", "randaugment_pool=rotate,solarize"))      {"crop": 0.7, "randaugment_pool": ("rotate", "solarize")}
    recipe = dataclasses.replace(recipe, **changes)

Fields of build/recipe.py by their names; lr is short for learning_rate. Whether a value is in its range is checked where it is used
(build/augment/settings.py, build/train/settings.py). No framework is imported.
"""

import dataclasses
import math
from collections.abc import Sequence

from build.errors import UserError
from build.recipe import Recipe

SHORT = {"lr": "learning_rate"}
IN_WORDS = {float: "a number", int: "a whole number", str: "a word", bool: "true or false"}
LISTS = {tuple[str, ...]: str, tuple[int, ...]: int}
"""Fields that hold several values, written with commas between."""
PAIRS = {
    tuple[tuple[int, float], ...]: (int, "SIDE:SHARE, such as 64:0.4,96:0.6"),
    tuple[tuple[float, float], ...]: (float, "FACTOR:SHARE, such as 0.5:0.4,1:0.6"),
}
"""Fields that hold what changes over the epochs: what comes before the colon, and how they are written."""
Value = float | int | str | bool


def read_settings(texts: Sequence[str]) -> dict[str, Value | tuple]:
    """NAME=VALUE a text -> changes of a recipe; UserError with one sentence where a name or a value is none."""
    changes: dict[str, Value | tuple] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"Expected NAME=VALUE, such as crop=0.7, got {text!r}.")
        field = find_field(name.strip(), asked_by="--set")
        if field.name in changes:
            raise UserError(f"--set names {field.name} twice; name every field once.")
        changes[field.name] = _read(field, value.strip())
    return changes


def find_field(name: str, *, asked_by: str) -> dataclasses.Field:
    """The field of that name or its short one; asked_by: the option, for the sentence where there is none."""
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    field = fields.get(SHORT.get(name, name))
    if field is None:
        raise UserError(f"{asked_by} names {name}, which is no field of a recipe (build/recipe.py lists them).")
    return field


def read_value(field: dataclasses.Field, text: str, kind: type | None = None) -> Value:
    """One value of a field; kind: of its type where the field holds several. UserError where it does not fit."""
    kind = kind or field.type
    try:
        value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        if value != value or value in (math.inf, -math.inf) or value == "":
            raise ValueError(text)
    except (ValueError, KeyError):
        raise UserError(f"Recipe field {field.name} is {IN_WORDS[kind]}, got {text!r}.") from None
    return value


def _read(field: dataclasses.Field, text: str) -> Value | tuple:
    if field.type in IN_WORDS:
        return read_value(field, text)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if field.type in PAIRS:
        return tuple(_read_pair(field, part) for part in parts)
    return tuple(read_value(field, part, LISTS[field.type]) for part in parts)


def _read_pair(field: dataclasses.Field, text: str) -> tuple[float, float]:
    kind, written = PAIRS[field.type]
    value, colon, share = text.partition(":")
    if not colon:
        raise UserError(f"Recipe field {field.name} is {written}, got {text!r}.")
    return read_value(field, value.strip(), kind), read_value(field, share.strip(), float)
