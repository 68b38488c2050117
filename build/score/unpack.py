"""Unpacks a zip as Python's `extractall` does on the worker, within limits and never outside the target folder."""

import errno
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from build.errors import UserError

MOST_BYTES = 8 * 2**30
"""Unpacked size at which the judge stops; the server has no limit but its disk."""
MOST_MEMBERS = 100_000
MOST_RATIO = 200
"""Unpacked size / zipped size above which a large archive is taken for a bomb (float weights rarely exceed 10)."""
BOMB_BYTES = 100 * 2**20
"""Smaller archives may have any ratio."""
STREAM_ERRORS = (
    RuntimeError,  # includes NotImplementedError
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    MemoryError,  # an LZMA dictionary may ask for gigabytes
    *((zipfile.lzma.LZMAError,) if zipfile.lzma else ()),
)
"""What a damaged stream makes zipfile raise beside BadZipFile."""


@dataclass(frozen=True)
class Refusal:
    """Why an archive cannot be unpacked."""

    rule: str
    sentence: str
    remedy: str
    server: str
    """"failed" (the worker reports it), "stuck" (its exception is caught by nobody) or "disk" (it would be unpacked)."""
    file: str = ""


def _make_again(sentence: str, rule: str, server: str = "failed", file: str = "") -> Refusal:
    return Refusal(rule, sentence, "Make the archive again with `zip` or Python's zipfile.", server, file)


def open_archive(path: Path) -> zipfile.ZipFile | Refusal:
    """The opened archive, or why it is none."""
    if not path.stat().st_size:
        return _make_again("The file is empty.", "empty-file")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, *STREAM_ERRORS, OSError) as error:
        return _make_again(f"This is not a readable zip archive ({_first_line(error)}).", "not-a-zip")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def refusal(archive: zipfile.ZipFile) -> Refusal | None:
    """Why the archive must not or cannot be unpacked, judged from its directory alone; None where nothing speaks against it."""
    members = archive.infolist()
    if not any(not member.is_dir() for member in members):
        return Refusal("no-files", "The archive holds no files.", "Put model.py and its weights into it.", "scoring")
    if len(members) > MOST_MEMBERS:
        sentence = f"The archive has {len(members)} members; the judge stops at {MOST_MEMBERS}."
        return Refusal("too-many-members", sentence, "Leave out what the submission does not need.", "disk")
    for member in members:
        if member.flag_bits & 0x1:
            sentence = f"{member.filename} is encrypted."
            return Refusal("encrypted", sentence, "Make the zip without a password.", "stuck", member.filename)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            sentence = (
                f"{member.filename} is compressed by method {member.compress_type}, which Python's zipfile cannot read."
            )
            return Refusal(
                "unknown-compression",
                sentence,
                "Compress with deflate, the default of `zip`.",
                "stuck",
                member.filename,
            )
    unpacked = sum(member.file_size for member in members)
    packed = max(1, sum(member.compress_size for member in members))
    if unpacked > MOST_BYTES:
        sentence = f"The archive unpacks to {unpacked / 1e9:.1f} GB; the judge stops at {MOST_BYTES / 1e9:.1f} GB."
        return Refusal("zip-bomb", sentence, "Store smaller weights, for example as float16.", "disk")
    if unpacked > BOMB_BYTES and unpacked / packed > MOST_RATIO:
        sentence = (
            f"The archive unpacks to {unpacked / packed:.0f} times its size ({unpacked / 1e6:.0f} MB): a zip bomb."
        )
        return Refusal("zip-bomb", sentence, "Leave out the file that is nearly all zeros.", "disk")
    return None


def extract(archive: zipfile.ZipFile, folder: Path) -> Refusal | None:
    """Unpack into `folder` (made; may exist). The first member that cannot be read or written ends it.

    As on the worker, `..` and a leading `/` are dropped from names, and a link becomes a file that holds its target.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for member in archive.infolist():
        target = folder.joinpath(*clean_parts(member.filename))
        try:
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                found = _copy(archive, member, file)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise UserError(f"There is no room to unpack the archive in {folder}; free some disk space.") from error
            reason = getattr(error, "strerror", None) or _first_line(error)
            remedy = "Rename the member: no name over 255 bytes, none that is both a file and a folder."
            return Refusal(
                "bad-name", f"{member.filename[:80]!r} cannot be written ({reason}).", remedy, "stuck", member.filename
            )
        if found is not None:
            return found
    return None


def clean_parts(name: str) -> list[str]:
    """The parts of a member's name that `extractall` keeps."""
    return [part for part in name.split("/") if part not in ("", ".", "..")]


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: BinaryIO) -> Refusal | None:
    """Decompress one member into `file`; its checksum is verified on the way."""
    name = member.filename
    try:
        source = archive.open(member)
    except (zipfile.BadZipFile, *STREAM_ERRORS, OSError) as error:
        return _make_again(f"{name} is damaged ({_first_line(error)}).", "bad-crc", file=name)
    with source:
        while True:
            try:
                block = source.read(1 << 20)
            except zipfile.BadZipFile as error:
                return _make_again(f"{name} is damaged ({_first_line(error)}).", "bad-crc", file=name)
            except (*STREAM_ERRORS, OSError) as error:  # bz2 reports a damaged stream as OSError
                return _make_again(
                    f"{name} cannot be decompressed ({_first_line(error)}).", "bad-stream", "stuck", name
                )
            if not block:
                return None
            file.write(block)


def unpack(path: Path, folder: Path) -> Refusal | None:
    """Unpack the zip at `path` into `folder`; on a refusal the folder is left empty."""
    archive = open_archive(path)
    if isinstance(archive, Refusal):
        return archive
    with archive:
        found = refusal(archive) or extract(archive, folder)
    if found is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    return found
