"""Weights: files that a newer framework wrote, and files that are no weights at all."""

import ast
import fnmatch
import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass

import h5py

from build.score.environment import ServerEnvironment, version
from build.score.outcome import Finding
from build.score.unpack import STREAM_ERRORS, extracted

SUFFIXES = (".keras", ".h5", ".hdf5", ".npz", ".npy", ".tflite", ".pb", ".pt", ".pth", ".pkl", ".onnx")
LFS = b"version https://git-lfs.github.com/spec/"
MOST_CONFIG = 20 * 2**20
NUMPY_2 = re.compile(rb"numpy\._core\.(\w+)")
STAND_INS = frozenset((b"multiarray", b"_multiarray_umath", b"umath", b"_internal", b"_dtype", b"_dtype_ctypes"))
HEAD = 2**16
"""Bytes within which a pickle names the modules that it needs first."""


@dataclass(frozen=True)
class Names:
    """What the source says of files: a file that it does not name is most likely not read, so that a newer one does no harm."""

    source: str
    patterns: frozenset[str]
    """Last part of every text in the source, an f-string's values as *: names and stems of files, and patterns of glob."""

    @classmethod
    def of(cls, modules: Iterable[tuple[ast.Module, str]]) -> "Names":
        """Of (tree, text) of every module."""
        texts, patterns = [], set()
        for tree, text in modules:
            texts.append(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr | ast.Constant):
                    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                    said = [str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts]
                    patterns.add(re.split(r"[/\\]", "".join(said))[-1])
        return cls("\n".join(texts), frozenset(patterns) - {"*", ""})

    def __contains__(self, member: str) -> bool:
        name = member.rpartition("/")[2]
        stem = name.rpartition(".")[0]
        # A whole word: w.keras is no part of tensorflow.keras.
        whole = re.search(rf"(?<![\w-]){re.escape(name)}", self.source) is not None
        # A suffix by itself is what a loop over the folder looks for.
        ends = (one for one in self.patterns if one[0] == "." and name.endswith(one))
        return whole or stem in self.patterns or any(ends) or any(fnmatch.fnmatch(name, one) for one in self.patterns)


def look(archive: zipfile.ZipFile, environment: ServerEnvironment, named: Names) -> list[Finding]:
    """Findings on every weight file. `named`: the files that the source names; another one gets a warning where these get an error."""
    findings = []
    for member in extracted(archive):
        name = member.filename
        if member.is_dir() or not name.lower().endswith(SUFFIXES):
            continue
        if not member.file_size:
            findings.append(Finding("empty-weights", "error", f"{name} is empty.", "Save the weights again.", name))
            continue
        with archive.open(member) as file:
            head = file.read(HEAD)
        if head.startswith(LFS):
            sentence = f"{name} is a Git LFS pointer, not the weights."
            findings.append(Finding("lfs-pointer", "error", sentence, "Run `git lfs pull` before packaging.", name))
        elif _pickled_by_a_newer_numpy(head, version(environment.certain.get("numpy", "2"))):
            sentence = (
                f"{name} is pickled by numpy 2, which the server's numpy {environment.certain['numpy']} cannot read."
            )
            remedy = "Save plain arrays, without objects in them."
            findings.append(Finding("newer-numpy", "error" if name in named else "warning", sentence, remedy, name))
        elif name.lower().endswith(".keras"):
            findings += _keras(archive, member, environment, name in named)
        elif name.lower().endswith((".h5", ".hdf5")):
            findings += _newer(name, _written_by(archive, member), environment, name in named)
    return findings


def _written_by(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """The version of Keras that saved a whole model as HDF5; empty for weights alone, which any version reads, and for other files."""
    try:
        with archive.open(member) as file, h5py.File(file, "r") as held:
            return str(held.attrs.get("keras_version", "")) if "model_config" in held.attrs else ""
    except (KeyError, ValueError, RuntimeError, OSError, *STREAM_ERRORS):
        return ""


def _newer(name: str, written: str, environment: ServerEnvironment, loads: bool) -> list[Finding]:
    """What to say of a whole model that Keras `written` (empty where that is not known) saved."""
    server = environment.certain.get("keras", "")
    if not (server and written and version(written) > version(server)):
        return []
    fails = environment.keras_files_fail_from
    sure = loads and bool(fails) and version(written) >= version(fails)
    sentence = (
        f"{name} was written by Keras {written}; the server's Keras {server} {'cannot' if sure else 'may not'} load it."
    )
    remedy = f"Save it with Keras {server}, or ship weights only and build the network in code."
    return [Finding("newer-keras", "error" if sure else "warning", sentence, remedy, name)]


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
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, environment: ServerEnvironment, loads: bool
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
    findings = _newer(name, written, environment, loads)
    for package in environment.absent:
        if f'"module": "{package}' in config:
            sentence = f"{name} holds layers of {package}, which the server does not have."
            findings.append(Finding("absent-import", "error", sentence, environment.absent[package], name))
    if '"class_name": "Lambda"' in config:
        sentence = f"{name} holds a Lambda layer, which Keras refuses to load unless safe_mode is off."
        findings.append(Finding("lambda-layer", "warning", sentence, "Replace it by a layer of keras.layers.", name))
    return findings
