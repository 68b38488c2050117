"""Weights: files that a newer framework wrote, and files that are no weights at all."""

import io
import json
import zipfile

from build.score.environment import ServerEnvironment, version
from build.score.outcome import Finding

SUFFIXES = (".keras", ".h5", ".hdf5", ".npz", ".npy", ".tflite", ".pb", ".pt", ".pth", ".pkl", ".onnx")
LFS = b"version https://git-lfs.github.com/spec/"
MOST_CONFIG = 20 * 2**20


def look(archive: zipfile.ZipFile, environment: ServerEnvironment) -> list[Finding]:
    """Findings on every weight file."""
    findings = []
    for member in archive.infolist():
        name = member.filename
        if member.is_dir() or not name.lower().endswith(SUFFIXES):
            continue
        if not member.file_size:
            findings.append(Finding("empty-weights", "error", f"{name} is empty.", "Save the weights again.", name))
            continue
        with archive.open(member) as file:
            head = file.read(len(LFS))
        if head == LFS:
            sentence = f"{name} is a Git LFS pointer, not the weights."
            findings.append(Finding("lfs-pointer", "error", sentence, "Run `git lfs pull` before packaging.", name))
        elif name.lower().endswith(".keras"):
            findings += _keras(name, archive.read(member), environment)
    return findings


def _keras(name: str, contents: bytes, environment: ServerEnvironment) -> list[Finding]:
    """What a .keras archive says of itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(contents)) as inner:
            written = json.loads(inner.read("metadata.json")).get("keras_version", "")
            config = inner.read("config.json")[:MOST_CONFIG].decode(errors="replace")
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, RuntimeError, OSError) as error:
        sentence = f"{name} is not a readable .keras file ({type(error).__name__})."
        return [Finding("bad-keras", "error", sentence, "Save it again with model.save.", name)]
    findings = []
    server = environment.certain.get("keras", "")
    if server and written and version(written) > version(server):
        fails = environment.keras_files_fail_from
        sure = bool(fails) and version(written) >= version(fails)
        sentence = f"{name} was written by Keras {written}; the server's Keras {server} {'cannot' if sure else 'may not'} load it."
        remedy = f"Save it with Keras {server}, or ship weights only and build the network in code."
        findings.append(Finding("newer-keras", "error" if sure else "warning", sentence, remedy, name))
    for package in environment.absent:
        if f'"module": "{package}' in config:
            sentence = f"{name} holds layers of {package}, which the server does not have."
            findings.append(Finding("absent-import", "error", sentence, environment.absent[package], name))
    if '"class_name": "Lambda"' in config:
        sentence = f"{name} holds a Lambda layer, which Keras refuses to load unless safe_mode is off."
        findings.append(Finding("lambda-layer", "warning", sentence, "Replace it by a layer of keras.layers.", name))
    return findings
