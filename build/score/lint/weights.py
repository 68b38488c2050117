"""Weights: files that a newer framework wrote, and files that are no weights at all."""

import json
import re
import zipfile

import h5py

from build.score.environment import ServerEnvironment, version
from build.score.lint.named import Names
from build.score.outcome import Finding
from build.score.unpack import STREAM_ERRORS, extracted

SUFFIXES = (
    ".keras", ".h5", ".hdf5", ".npz", ".npy", ".tflite", ".pb", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".onnx",
)  # fmt: skip
LFS = b"version https://git-lfs.github.com/spec/"
MOST_CONFIG = 20 * 2**20
PICKLE = re.compile(rb"\x80[\x02-\x05]")
"""How a pickle begins, whatever its file is called: its protocol, of those that any Python writes by itself."""
NUMPY_2 = re.compile(rb"numpy\._core\.(\w+)")
STAND_INS = frozenset((b"multiarray", b"_multiarray_umath", b"umath", b"_internal", b"_dtype", b"_dtype_ctypes"))
HEAD = 2**16
"""Bytes within which a pickle names the modules that it needs first."""


def look(archive: zipfile.ZipFile, environment: ServerEnvironment, named: Names) -> list[Finding]:
    """Findings on every weight file: what a newer version wrote is an error where the source may load it, by `named`, else a warning."""
    findings = []
    for member in extracted(archive):
        name = member.filename
        if member.is_dir():
            continue
        weights = name.lower().endswith(SUFFIXES)
        if weights and not member.file_size:
            findings.append(Finding("empty-weights", "error", f"{name} is empty.", "Save the weights again.", name))
            continue
        with archive.open(member) as file:
            head = file.read(2)
            if not (weights or PICKLE.match(head)):
                continue
            head += file.read(HEAD)
        if head.startswith(LFS):
            sentence = f"{name} is a Git LFS pointer, not the weights."
            findings.append(Finding("lfs-pointer", "error", sentence, "Run `git lfs pull` before packaging.", name))
        elif _pickled_by_a_newer_numpy(head, version(environment.certain.get("numpy", "2"))):
            sentence = (
                f"{name} is pickled by numpy 2, which the server's numpy {environment.certain['numpy']} cannot read."
            )
            remedy = "Save plain arrays, without objects in them."
            findings.append(Finding("newer-numpy", "error" if named.loads(name) else "warning", sentence, remedy, name))
        elif name.lower().endswith(".keras"):
            findings += _keras(archive, member, environment, named)
        elif name.lower().endswith((".h5", ".hdf5")):
            written, config = _whole_model(archive, member)
            findings += _newer(name, written, config, environment, named)
    return findings


def _whole_model(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, str]:
    """The Keras that saved a whole model as HDF5, and its config; both empty for weights alone, which any Keras reads, and other files."""
    try:
        with archive.open(member) as file, h5py.File(file, "r") as held:
            found = (held.attrs.get(key, "") for key in ("keras_version", "model_config"))
            written, config = (one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in found)
            return (written, config) if config else ("", "")
    except (KeyError, ValueError, RuntimeError, OSError, *STREAM_ERRORS):
        return "", ""


def _newer(name: str, written: str, config: str, environment: ServerEnvironment, named: Names) -> list[Finding]:
    """What to say of a whole model of this config that Keras `written` (empty where that is not known) saved."""
    server = environment.certain.get("keras", "")
    if not (server and written and version(written) > version(server)):
        return []
    loads = named.loads(name)
    fails = environment.keras_files_fail_from
    fails_anyway = bool(fails) and version(written) >= version(fails)
    if not fails_anyway and (layer := _refused(config, environment)):
        sentence = f"{name}, written by Keras {written}, holds {layer}; the server's Keras {server} cannot load that."
        remedy = f"Keep augmentation and resizing out of the model that is saved, save it with Keras {server}, or ship weights only."
        return [Finding("newer-keras", "error" if loads else "warning", sentence, remedy, name)]
    sure = loads and fails_anyway
    sentence = (
        f"{name} was written by Keras {written}; the server's Keras {server} {'cannot' if sure else 'may not'} load it."
    )
    remedy = f"Save it with Keras {server}, or ship weights only and build the network in code."
    return [Finding("newer-keras", "error" if sure else "warning", sentence, remedy, name)]


def _refused(config: str, environment: ServerEnvironment) -> str:
    """What a model's config holds that the server's Keras refuses: a layer that it lacks, or one with an argument that it lacks."""
    try:
        waiting = [json.loads(config)]
    except (ValueError, RecursionError):  # not a config, or cut off at MOST_CONFIG
        return ""
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict):
            layer, inner = held.get("class_name"), held.get("config")
            # Classes of a submission's own may have the same names.
            if isinstance(layer, str) and str(held.get("module") or "keras.layers") == "keras.layers":
                if f"keras.layers.{layer}" in environment.later:
                    return layer
                given = inner if isinstance(inner, dict) else {}
                for argument in environment.keras_layers_lack.get(layer, ()):
                    if argument in given:
                        return f"{layer} with {argument!r}"
        waiting += held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    return ""


def _pickled_by_a_newer_numpy(head: bytes, server: tuple[int, ...]) -> bool:
    """Whether the start of a file names modules of numpy 2 that the server's numpy has not.

    numpy 1.26 has stand-ins for those that arrays are pickled by, unless it is by pickle's protocol 5 (tried with 1.26.4).
    """
    if server >= (2,):
        return False
    return any(server < (1, 26) or found[1] not in STAND_INS for found in NUMPY_2.finditer(head))


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """The start of a member; the archive within a submission may be a bomb too."""
    with archive.open(name) as file:
        return file.read(MOST_CONFIG)


def _keras(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, environment: ServerEnvironment, named: Names
) -> list[Finding]:
    """What a .keras archive says of itself."""
    name = member.filename
    try:
        # Read through the outer archive: gigabytes of weights stay on disk.
        with archive.open(member) as file, zipfile.ZipFile(file) as inner:
            written = str(json.loads(_part(inner, "metadata.json")).get("keras_version", ""))
            config = _part(inner, "config.json").decode(errors="replace")
    except (zipfile.BadZipFile, KeyError, AttributeError, OSError, *STREAM_ERRORS) as error:
        sentence = f"{name} is not a readable .keras file ({type(error).__name__})."
        return [Finding("bad-keras", "error", sentence, "Save it again with model.save.", name)]
    findings = _newer(name, written, config, environment, named)
    for package in environment.absent:
        if re.search(rf'"module": "{re.escape(package)}[".]', config):
            sentence = f"{name} holds layers of {package}, which the server does not have."
            severity = "error" if named.loads(name) else "warning"
            findings.append(Finding("absent-import", severity, sentence, environment.absent[package], name))
    if '"class_name": "Lambda"' in config:
        sentence = f"{name} holds a Lambda layer, which Keras refuses to load unless safe_mode is off."
        findings.append(Finding("lambda-layer", "warning", sentence, "Replace it by a layer of keras.layers.", name))
    return findings
