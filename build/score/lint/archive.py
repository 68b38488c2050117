"""The archive itself: where model.py lies, what does not belong, what the worker would do with it."""

import stat
import zipfile
from collections import Counter

from build.score import metadata
from build.score.misnamed import misplaced
from build.score.outcome import Finding
from build.score.unpack import clean_parts, extracted, shown

JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
HOME = (
    ".git",
    ".nox",
    ".venv",
    "venv",
    "node_modules",
    ".idea",
    ".vscode",
    "__pycache__",
    ".ipynb_checkpoints",
    "build",
    "tests",
    "runs",
)
DATA = (".npz", ".ipynb", ".csv", ".jpg", ".jpeg", ".png", ".tfrecord")
COPIED_MB = 50
"""Above this size the worker's copy of a submission without metadata is worth a note."""
SHADOWED = frozenset(
    {"numpy", "tensorflow", "keras", "random", "types", "typing", "json", "copy", "enum", "string", "math", "logging"}
)


def look(archive: zipfile.ZipFile) -> list[Finding]:
    """Findings on an archive that can be unpacked as far as its directory tells."""
    members = archive.infolist()
    names = ["/".join(clean_parts(member.filename)) for member in members]
    files = {name for name, member in zip(names, members, strict=True) if not member.is_dir()}
    findings = [*_root(files), *_junk(files), *_paths(members), *_metadata(archive, files, members)]
    for name, count in sorted(Counter(names).items()):
        if count > 1 and name in files:
            sentence = f"{shown(name)} is in the zip {count} times; the last one counts."
            findings.append(
                Finding("duplicate", "warning", sentence, "Make the zip anew instead of adding to it.", name)
            )
    for name in sorted(files):
        if "/" not in name and name.endswith(".py") and name[:-3] in SHADOWED:
            sentence = f"{name} hides Python's or the framework's own {name[:-3]}."
            findings.append(Finding("shadowing", "warning", sentence, "Rename the file.", name))
    return findings


def _root(files: set[str]) -> list[Finding]:
    """Whether model.py is where the ingestion program looks."""
    if "model.py" in files:
        return []
    sentence, remedy, file = misplaced(files)
    return [Finding("wrapper-folder" if "/" in file else "no-model", "error", sentence, remedy, file)]


def _junk(files: set[str]) -> list[Finding]:
    findings = []
    for marks, rule, sentence, remedy in (
        (
            JUNK,
            "junk",
            "{} comes from the operating system and is unpacked on the server too.",
            "Zip with `zip -X` or Python's zipfile.",
        ),
        (
            HOME,
            "stays-home",
            "{} belongs to the project, not to the submission.",
            "Leave it out; stage what ships by name.",
        ),
    ):
        for mark in marks:
            found = sorted(name for name in files if mark in name.split("/"))
            if found:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                findings.append(Finding(rule, "warning", sentence.format(found[0] + more), remedy, found[0]))
    data = sorted(name for name in files if name.lower().endswith(DATA) and "weights" not in name.lower())
    if data:
        sentence = f"{len(data)} files look like data or notebooks ({data[0]})."
        findings.append(Finding("data", "note", sentence, "Leave them out unless model.py reads them.", data[0]))
    return findings


def _paths(members: list[zipfile.ZipInfo]) -> list[Finding]:
    findings = []
    for member in members:
        name, short = member.filename, shown(member.filename)
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or (len(name) > 1 and name[1] == ":"):
            landed = shown("/".join(clean_parts(name)))
            sentence = f"{short!r} points out of the archive; the worker unpacks it as {landed!r}."
            findings.append(Finding("escaping-path", "warning", sentence, "Make the zip from within the folder.", name))
        if "\\" in name:
            sentence = f"{short!r} is named with backslashes; on the server it is one file of that name, in no folder."
            findings.append(Finding("backslash", "error", sentence, "Make the zip with forward slashes.", name))
        if stat.S_ISLNK(member.external_attr >> 16):
            sentence = f"{short} is a symbolic link; on the server it becomes a text file that holds the link's target."
            findings.append(Finding("symlink", "error", sentence, "Put the file itself into the zip.", name))
    return findings


def _metadata(archive: zipfile.ZipFile, files: set[str], members: list[zipfile.ZipInfo]) -> list[Finding]:
    """What the worker's metadata rule makes of this zip."""
    name = next((name for name in metadata.NAMES if name in files), "")
    if not name:
        size = sum(member.file_size for member in members)
        if size < COPIED_MB * 1e6:
            return []
        sentence = f"Without metadata the worker copies all {size / 1e6:.0f} MB into the prediction output and uploads them again."
        remedy = (
            "Leave it so. An empty file called metadata at the root of the zip saves it where the competition predicts in its "
            "prediction step; elsewhere it makes the zip fail."
        )
        return [Finding("copied-weights", "note", sentence, remedy)]
    last = next(member for member in reversed(extracted(archive)) if "/".join(clean_parts(member.filename)) == name)
    with archive.open(last) as file:
        found = metadata.of_bytes(file.read(metadata.MOST_BYTES), "program", name)
    if found.action == "crash":
        sentence = f"The worker stops at {name} ({found.message})."
        return [Finding("unreadable-metadata", "error", sentence, "Remove it, or write `command: ...` into it.", name)]
    if found.action == "skip":
        sentence = f"By {name} nothing of the zip gets into the prediction output: a scoring step that wants model.py there finds none."
        return [
            Finding(
                "keeps-weights",
                "note",
                sentence,
                "Remove it unless the competition predicts in its prediction step.",
                name,
            )
        ]
    sentence = f"{name} asks for a command, which the worker runs beside the ingestion program."
    return [Finding("own-command", "warning", sentence, "Remove it unless you mean it.", name)]
