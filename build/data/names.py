"""Match the names that people give to folders or labels with the classes of the contract.

No table of abbreviations: "ig", "IG", "immature_granulocytes", "Basophils", "baso" and "plt" are found by rules that
also hold for the classes of another competition.
"""

import itertools
import re
import unicodedata
from collections.abc import Sequence

from build.errors import UserError
from submission import contract

NO_CLASS = {
    *("image", "images", "img", "imgs", "picture", "pictures", "data", "dataset"),
    *("train", "training", "val", "valid", "validation", "test", "label", "labels", "mask", "masks"),
}
"""What folders are called that hold all classes: no abbreviation of one (i, m, g are letters of immature granulocytes)."""


def _composed(name: str) -> str:
    """A letter and its accent as one character: macOS names files with two."""
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _initials(name: str) -> str:
    words = re.findall(r"[^\W_]+", name.casefold())
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def _abbreviates(short: str, name: str) -> bool:
    """Whether the letters of `short` occur in `name` in order, the first one at its start."""
    letters = iter(name)
    return 2 <= len(short) < len(name) and name[:1] == short[:1] and all(letter in letters for letter in short)


RULES = (
    lambda given, name: given == name,
    lambda given, name: _plain(given) == _plain(name),
    lambda given, name: _plain(given).removesuffix("s") == _plain(name).removesuffix("s"),
    lambda given, name: given.isdecimal() and [int(given)] == [int(digits) for digits in re.findall(r"\d+", name)],
    lambda given, name: _plain(given) == _initials(name),
    lambda given, name: len(_plain(given)) >= 2 and _plain(name).startswith(_plain(given).removesuffix("s")),
    lambda given, name: _abbreviates(_plain(given), _plain(name)),
)
"""From strict to loose: the same name, its letters, plural, its only number, initials, its start, some of its letters in order."""
STRICT = 3
"""So many of them name the class itself; what is looser may be a word of its own."""


def class_of(given: str) -> int | None:
    """Class index that `given` names, with or without a number before it (02_Basophil), by the first rule that fits
    exactly one class; None where none does."""
    return _found(given)[0]


def _found(given: str) -> tuple[int | None, bool]:
    """As class_of, and whether only some letters in order told it."""
    given, classes = _composed(given), [_composed(name) for name in contract.CLASSES]
    for text in dict.fromkeys((given, re.sub(r"^\d+[\W_]+(?=[^\W_])", "", given))):
        for number, rule in enumerate(RULES if _plain(text) not in NO_CLASS else RULES[:STRICT], 1):
            hits = [index for index, name in enumerate(classes) if rule(text, name)]
            if len(hits) == 1:
                return hits[0], number == len(RULES)
    return None, False


def _numbered(given: Sequence[str]) -> bool:
    """Whether nothing but a number tells the names apart: 0 to 7, class_1 to class_8."""
    digits = all(re.search(r"\d", name) for name in given)
    return digits and len({re.sub(r"\d+", "", _plain(name)) for name in given}) == 1


def _by_number(name: str) -> tuple[list[int], str]:
    """Sort key: class_2 before class_10."""
    return [int(digits) for digits in re.findall(r"\d+", name)], name


def match(given: Sequence[str], where: str) -> tuple[list[int], list[str]]:
    """Class index of each given name, and notes for the user.

    Where names match no class but are numbers, as many as classes, they are taken in the order of the contract, if that
    contradicts no name that does match, and a note says so. Words are not: in another language their order is another
    one. Raises UserError otherwise.
    """
    told = [_found(name) for name in given]
    found = [index for index, _ in told]
    twice = [
        (a, b)
        for (a, i), (b, j) in itertools.combinations(zip(given, found, strict=True), 2)
        if i is not None and i == j
    ]
    if twice:
        a, b = twice[0]
        raise UserError(
            f"'{a}' and '{b}' in {where} both name the class {contract.CLASSES[class_of(a)]}; merge or rename one."
        )
    if None not in found:
        guessed = [
            f"{name} = {contract.CLASSES[index]}" for name, (index, loose) in zip(given, told, strict=True) if loose
        ]
        return found, [f"names in {where} are taken for abbreviations: {', '.join(guessed)}"] if guessed else []
    unknown = ", ".join(name for name, index in zip(given, found, strict=True) if index is None)
    in_order = {name: index for index, name in enumerate(sorted(given, key=_by_number))}
    contradicted = any(index not in (None, in_order[name]) for name, index in zip(given, found, strict=True))
    if len(given) != len(contract.CLASSES) or contradicted or not _numbered(given):
        raise UserError(
            f"No class is named like {unknown} in {where}; expected {len(contract.CLASSES)} names "
            f"like {', '.join(contract.CLASSES)}."
        )
    pairs = ", ".join(f"{name} = {contract.CLASSES[index]}" for name, index in in_order.items())
    return [in_order[name] for name in given], [
        f"names in {where} match no class, so they are taken in the order of their numbers: {pairs}"
    ]
