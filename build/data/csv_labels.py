"""A CSV of an image's file and its class a line, the images beside it or in a folder beside it.

file,label
cells/0001.png,Basophil
"""

import contextlib
import csv
import io
from pathlib import Path

from build.data import names, pictures
from build.data.cells import Cells
from build.errors import UserError
from build.files import explained

DELIMITERS = ",;\t"


def read(path: Path, *, cache: Path) -> Cells:
    """Read the images that the CSV names, in its order; those of another size are cut and resized (pictures.py).

    Names of files are relative to the CSV or to the one folder beside it that has them all, with or without a suffix. A first line
    that names no file, and no class of another line, is the header. Raises UserError for a line without two columns, a file that is
    not there, labels that match no class, and files that cannot be decoded whole.
    """
    lines = _lines(path)
    root = _root(path, [name for name, _ in lines])
    given = sorted({label for _, label in lines})
    classes, notes = names.match(given, str(path))
    index = dict(zip(given, classes, strict=True))
    files = [(_file(root, name), index[label]) for name, label in lines]
    return pictures.keep(files, notes, source=str(path), root=path.parent, cache=cache)


def _lines(path: Path) -> list[tuple[str, str]]:
    """File and label of every line but the header."""
    try:
        with explained(path, "read"):
            text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error}); save it again as one.") from error
    for number, row in rows:
        if len(row) != 2 or not all(row):
            raise UserError(
                f"Line {number} of {path} is {delimiter.join(row)!r}; expected two columns, an image's file and its class, like "
                "cells/0001.png,Basophil; remove all others."
            )
    classes = {label for _, (_, label) in rows[1:]}
    if rows and rows[0][1][1] not in classes and not any(_file(root, rows[0][1][0]) for root in _roots(path)):
        rows = rows[1:]
    if not rows:
        raise UserError(
            f"{path} names no images; expected lines of an image's file and its class, like cells/0001.png,Basophil."
        )
    return [(name, label) for _, (name, label) in rows]


def _roots(path: Path) -> list[Path]:
    """Where the files may be: beside the CSV, or in a folder beside it."""
    with explained(path.parent, "read"):
        beside = sorted(one for one in path.parent.iterdir() if one.is_dir() and not one.name.startswith("."))
    return [path.parent, *beside]


def _root(path: Path, files: list[str]) -> Path:
    """The folder that the names are relative to: the CSV's own, or the only one beside it that has all files; UserError else."""
    roots = _roots(path)
    whole = [root for root in roots if all(_file(root, name) for name in files)]
    if len(whole) > 1 and whole[0] != path.parent:
        raise UserError(
            f"The images that {path} names are in {whole[0]} and in {whole[1]}; write the folder before each name, like "
            f"{whole[1].name}/{files[0]}."
        )
    if whole:
        return whole[0]
    root = next((root for root in roots if _file(root, files[0])), path.parent)
    missing = next(name for name in files if not _file(root, name))
    raise UserError(
        f"{path} names {missing}, and {root} holds no image of that name; expected names relative to it, of files like "
        f"{', '.join(sorted(pictures.SUFFIXES))}."
    )


def _file(root: Path, name: str) -> Path | None:
    """The picture that a name means: of that name, or with a suffix behind it (an identifier)."""
    if Path(name).is_absolute():
        return None
    found: list[Path] = []
    endings = sorted(pictures.SUFFIXES)
    for suffix in ("", *endings, *map(str.upper, endings)):
        path = root / f"{name}{suffix}"
        with contextlib.suppress(OSError):  # a folder that may not be looked into, a name that no file can have
            if path.suffix.lower() in pictures.SUFFIXES and path.is_file():
                if not suffix:
                    return path
                if not any(path.samefile(one) for one in found):  # of a file system that ignores case it is one
                    found.append(path)
    if len(found) > 1:
        raise UserError(f"{name} may be {found[0]} or {found[1]}; write the suffix behind each name.")
    return found[0] if found else None
