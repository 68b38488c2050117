"""metadata.yaml as the Codabench worker reads it: what a program folder asks to be run.

Source: codalab/codabench compute_worker.py, _run_program_directory, replace_legacy_metadata_command, and the two ways in which the
command became an argument list (2024-11: split at spaces; 2026-03: the container engine's client, which knows quotes).
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

ERAS = ("2024-11", "2026-03")
"""Workers that can be emulated: the one of the 2024/25 competition and the newest one read."""
NAMES = ("metadata.yaml", "metadata")
"""In the order in which the worker looks."""
MOST_BYTES = 1 << 16
_MOST_BRACKETS, _MOST_MERGES = 200, 8
"""YAML takes quadratic time for nested brackets and exponential for merges; no honest metadata has as many."""


@dataclass(frozen=True)
class Metadata:
    """What is to be done with a program folder."""

    action: str
    """"run", "copy" (into the output), "skip" (nothing runs, nothing is copied), "refuse" (SubmissionException) or "crash" (an
    exception that no worker catches)."""
    command: str = ""
    message: str = ""
    """What the worker says when it refuses or skips."""
    file: str = ""


def read(folder: Path | None, kind: str) -> Metadata:
    """What the worker does with `folder` as `kind` ("ingestion" or "program"). `folder` None: the job has no such program."""
    assert kind in ("ingestion", "program"), kind
    if folder is None or not folder.exists():
        return Metadata("skip", message="not found, no program to execute")
    name = next((name for name in NAMES if (folder / name).exists()), "")
    if not name:
        if kind == "program":
            return Metadata("copy", message="no metadata: the whole folder is copied into the output")
        return Metadata("refuse", message="Program directory missing 'metadata.yaml/metadata'")
    try:
        with (folder / name).open("rb") as file:
            return of_bytes(file.read(MOST_BYTES), kind, name)
    except OSError as error:
        return Metadata("crash", message=error.strerror, file=name)


def of_bytes(data: bytes, kind: str, name: str) -> Metadata:
    """What the worker does with a program whose metadata file, called `name`, holds `data`."""
    try:
        text = data.decode()
        if text.count("[") + text.count("{") > _MOST_BRACKETS or text.count("<<") > _MOST_MERGES:
            raise ValueError("too many brackets or merges")
        found = yaml.safe_load(text)
        command = found.get("command") if isinstance(found, dict) else None
    except yaml.YAMLError:
        command = None
    except UnicodeDecodeError:
        return Metadata("crash", message="its bytes are no text", file=name)
    except (RecursionError, ValueError) as error:  # the worker expects neither
        return Metadata("crash", message=str(error) or "it is nested too deeply", file=name)
    if command and isinstance(command, str):
        return Metadata("run", command=command, file=name)
    if command:
        return Metadata("crash", message="its command is no text", file=name)
    if kind == "ingestion":
        return Metadata("refuse", message="Program directory missing 'command' in metadata", file=name)
    return Metadata("skip", message="no command in metadata, continuing anyway", file=name)


def substitute(command: str, *, kind: str, is_scoring: bool, ingestion_only_during_scoring: bool = False) -> str:
    """`command` with the worker's variables replaced, in the worker's order (so "$input_data" becomes "/app/input_data_data")."""
    replacements = (
        ("$input", "/app/input_data" if kind == "ingestion" else "/app/input"),
        ("$output", "/app/output"),
        ("$program", "/app/ingestion_program" if ingestion_only_during_scoring and is_scoring else "/app/program"),
        ("$ingestion_program", "/app/program"),
        ("$hidden", "/app/input/ref"),
        ("$shared", "/app/shared"),
        ("$submission_program", "/app/ingested_program"),
        ("$tmp", "/app/output"),
        ("$predictions", "/app/input/res" if is_scoring else "/app/output"),
    )
    for variable, path in replacements:
        command = command.replace(variable, path)
    return command


def split(command: str, era: str) -> tuple[str, ...]:
    """The argument list of `command`. There is no shell in either era: no pipes, no globs, no `&&`. ValueError on open quotes."""
    return tuple(command.split(" ")) if era == "2024-11" else tuple(shlex.split(command))
