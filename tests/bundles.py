"""Writers of tiny competition bundles and submissions, for the tests of the judge.

Their programs know no framework and no numpy, so that a whole rehearsal costs a fraction of a second. They take every path from
their command, so that each engine can run them.
"""

import io
import shutil
import zipfile
from pathlib import Path

import yaml

INGESTION = """
import os, sys
data, output, submission = sys.argv[1:4]
sys.path.insert(0, submission)
from model import Model
said = str(Model().predict(7))
with open(os.path.join(output, "said.txt"), "w") as file:
    file.write(said)
print("ingestion was here")
"""
"""Writes what the submission's Model says to 7."""
SCORING = """
import json, os, sys
data, output = sys.argv[1:3]
with open(os.path.join(data, "res", "said.txt")) as said, open(os.path.join(data, "ref", "truth.txt")) as truth:
    right = said.read() == truth.read()
with open(os.path.join(output, "scores.json"), "w") as file:
    json.dump({"accuracy": float(right)}, file)
print("scoring was here")
"""
"""accuracy 1.0 where the submission said what the reference says."""
MODEL = "class Model:\n    def predict(self, X):\n        return 6 * X\n"
"""The submission that is right."""

COLUMNS = [
    {"key": "accuracy", "title": "Accuracy", "index": 0, "sorting": "desc"},
    {"key": "duration", "title": "Duration", "index": 1, "sorting": "asc"},
]


def program(source: str, command: str, name: str, metadata: str = "metadata.yaml") -> dict[str, str]:
    """Files of a program folder: its source as `name`, its command in a metadata file."""
    return {name: source, metadata: f"command: {command}\n"}


def ingestion(source: str = INGESTION, arguments: str = "$input $output $submission_program") -> dict[str, str]:
    """Files of an ingestion program."""
    return program(source, f"python3 $ingestion_program/ingestion.py {arguments}", "ingestion.py")


def scoring(source: str = SCORING, arguments: str = "$input $output") -> dict[str, str]:
    """Files of a scoring program."""
    return program(source, f"python3 $program/scoring.py {arguments}", "scoring.py")


def scores(text: str) -> dict[str, str]:
    """Files of a scoring program that runs `text` with `output` and `input` (folders) and `json`, `os`, `sys` at hand."""
    return scoring(f"import json, os, sys\ninput, output = sys.argv[1:3]\n{text}\n")


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files into `folder` (made anew)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(files: dict[str, str | bytes]) -> bytes:
    """The bytes of a zip that holds `files`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def submission(path: Path, files: dict[str, str | bytes] | None = None) -> Path:
    """Write a submission's zip, by default of the model that is right."""
    path.write_bytes(zipped({"model.py": MODEL} if files is None else files))
    return path


def values(**changes: object) -> dict:
    """competition.yaml of a competition with one task and one phase; `changes` replace entries, None removes them."""
    kinds = ("scoring_program", "ingestion_program", "input_data", "reference_data")
    found = {
        "version": 2,
        "title": "Tiny",
        "image": "logo.png",
        "terms": "terms.md",
        "pages": [{"title": "Overview", "file": "overview.md"}],
        "tasks": [{"index": 0, "name": "only", **{kind: f"{kind}/" for kind in kinds}}],
        "phases": [
            {"index": 0, "name": "First", "start": "2024-11-08 00:00:00", "execution_time_limit": 60, "tasks": [0]}
        ],
        "leaderboards": [{"title": "Results", "key": "main", "submission_rule": "Force_Last", "columns": COLUMNS}],
    }
    return {key: value for key, value in (found | changes).items() if value is not None}


def bundle(
    folder: Path,
    *,
    programs: dict[str, dict[str, str]] | None = None,
    text: str | None = None,
    **changes: object,
) -> Path:
    """Write a whole bundle into `folder`.

    `programs` replaces the files of a folder ("ingestion_program", "scoring_program", "input_data", "reference_data", or a new one).
    `text` is competition.yaml as it stands; else it is made of `values(**changes)`.
    """
    folders = {
        "ingestion_program": ingestion(),
        "scoring_program": scoring(),
        "input_data": {"numbers.txt": "7"},
        "reference_data": {"truth.txt": "42"},
    } | (programs or {})
    files: dict[str, str | bytes] = {"logo.png": b"png", "terms.md": "Terms", "overview.md": "Overview"}
    files["competition.yaml"] = text if text is not None else yaml.safe_dump(values(**changes), sort_keys=False)
    for name, content in folders.items():
        files |= {f"{name}/{inner}": data for inner, data in content.items()}
    return write(folder, files)
