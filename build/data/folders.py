"""A folder with one folder of images a class (pictures.py: which files)."""

import re
from collections import Counter
from pathlib import Path

from build.data import names, pictures
from build.data.cells import Cells
from build.errors import UserError
from build.files import explained
from submission import contract

SHOWN = 5
"""Kinds of left-out files that the note names."""


def read(folder: Path, *, cache: Path) -> Cells:
    """Read FOLDER/CLASS/*.jpg; images of another size are cut to the contract's aspect ratio and resized.

    Hidden files and files of other kinds are left out. Notes count the latter and the resized images. Rows are ordered
    by class, then by file name with numbers in numeric order. Raises UserError for an empty folder, names that match no
    class, and folders and files that cannot be read or decoded whole.
    """
    if folder.resolve() == cache.resolve():
        raise UserError(
            f"{folder} is where the kit keeps what it prepares; move the folders of images to another one, such as cells/."
        )
    with explained(folder, "read"):
        given = sorted(
            entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
        )
    if not given and (files := sorted(folder.glob("*.npz"))):
        raise UserError(f"{folder} is a folder; give the file in it: {files[0]}.")
    if not given and (files := sorted(folder.glob("*.csv"))):
        raise UserError(
            f"{folder} holds no folders of classes; if {files[0]} has the labels of its images, give that file."
        )
    if not given:
        raise UserError(
            f"{folder} holds no folders; expected one folder of images a class, like {contract.CLASSES[0]}/."
        )
    try:
        classes, notes = names.match(given, str(folder))
    except UserError as error:
        if not (files := sorted(folder.glob("*.csv"))):
            raise
        raise UserError(
            f"{str(error).rstrip('.')}; if {files[0]} has the labels of the images, give that file."
        ) from error
    files, left_out = [], Counter()
    for index, name in sorted(zip(classes, given, strict=True)):
        images, others = _entries(folder / name)
        files += [(path, index) for path in images]
        left_out.update(others)
    if left_out:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in left_out.most_common(SHOWN))
        notes.append(
            f"{left_out.total()} entries of the class folders were left out, as they are no files like "
            f"{', '.join(sorted(pictures.SUFFIXES))}: {kinds}{', ...' if len(left_out) > SHOWN else ''}"
        )
    if not files:
        raise UserError(
            f"The folders in {folder} hold no images; expected files like {', '.join(sorted(pictures.SUFFIXES))}."
        )
    return pictures.keep(files, notes, source=str(folder), root=folder, cache=cache)


def _entries(folder: Path) -> tuple[list[Path], list[str]]:
    """The images in order, and the kind of everything else that is not hidden: a suffix, or the name where it has none."""
    images, others = [], []
    with explained(folder, "read"):
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            if path.suffix.lower() in pictures.SUFFIXES and path.is_file():
                images.append(path)
            else:
                others.append(f"{path.name}/" if path.is_dir() else path.suffix.lower() or path.name)
    return sorted(images, key=_numeric), sorted(others)


def _numeric(path: Path) -> tuple:
    """Sort key: cell_2 before cell_10; the name itself decides between 02 and 2."""
    parts = re.split(r"(\d+)", path.name)
    return ([(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name)
