"""Unpacks a zip as Python's `extractall` does on the worker, within limits and never outside the target folder."""

import os
import shlex
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from build.errors import UserError
from build.files import check_readable

MOST_BYTES = 8 * 2**30
"""Unpacked size at which the judge stops; the server has no limit but its disk."""
MOST_MEMBERS = 20_000
MOST_DEPTH = 32
"""Folders within folders at which the judge stops; Python's own tree functions recurse."""
LONGEST_NAME = 255
"""Bytes of a file's name on Linux."""
LONGEST_PATH = 2048
"""Bytes of a member's whole name; Linux allows 4095, the path of the folder included."""
MOST_RATIO = 200
"""Unpacked size / zipped size above which a large archive is taken for a bomb (float weights rarely exceed 10)."""
BOMB_BYTES = 100 * 2**20
"""Smaller archives may have any ratio."""
SHOWN_NAME = 80
ENCRYPTED, PATCHED = 0x1 | 0x40, 0x20
"""Flag bits of a member that zipfile refuses."""
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
    """"failed" (the worker reports it), "stuck" (its exception is caught by nobody), "disk" (it would be unpacked), "scoring"
    (it is unpacked, and the scoring step fails) or "judge" (only the judge stops here)."""
    file: str = ""


def check_zip(path: Path) -> None:
    """UserError where there is no zip at `path`, or one that only its owner may read: nothing is known of it."""
    if path.is_dir():
        raise UserError(
            f"{path} is a folder; zip what is in it, model.py at the zip's root: (cd {shlex.quote(str(path))} && "
            'python3 -m zipfile -c "$OLDPWD/mine.zip" *).'
        )
    if not path.is_file():
        raise UserError(f"There is no zip at {path}; make one with `nox -s package`, or name another file.")
    check_readable(path)


def _make_again(sentence: str, rule: str, server: str = "failed", file: str = "") -> Refusal:
    return Refusal(rule, sentence, "Make the archive again with `zip` or Python's zipfile.", server, file)


def extracted(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that `extractall` reads, in the order in which their files come to stay: of several with one name only the last."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        found.pop(member.filename, None)
        found[member.filename] = member
    return list(found.values())


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


def refusal(archive: zipfile.ZipFile, *, trusted: bool = False) -> Refusal | None:
    """Why the archive must not or cannot be unpacked, judged from its directory alone; None where nothing speaks against it."""
    members = extracted(archive)
    if any(not member.filename for member in members):  # before is_dir, which some Pythons cannot answer then
        return Refusal("bad-name", "A member of the archive has no name.", "Make the zip anew.", "stuck")
    if not any(not member.is_dir() for member in members):
        return Refusal("no-files", "The archive holds no files.", "Put model.py and its weights into it.", "scoring")
    if len(members) > MOST_MEMBERS and not trusted:
        sentence = f"The archive has {len(members)} members; the judge stops at {MOST_MEMBERS}."
        return Refusal("too-many-members", sentence, "Leave out what the submission does not need.", "judge")
    for member in members:
        if member.is_dir():
            continue  # made without a look at what is stored with it
        if member.flag_bits & ENCRYPTED:
            sentence = f"{shown(member.filename)} is encrypted."
            return Refusal("encrypted", sentence, "Make the zip without a password.", "stuck", member.filename)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            sentence = f"{shown(member.filename)} is compressed by method {member.compress_type}, which Python's zipfile cannot read."
            return Refusal(
                "unknown-compression",
                sentence,
                "Compress with deflate, the default of `zip`.",
                "stuck",
                member.filename,
            )
        if member.flag_bits & PATCHED:
            sentence = f"{shown(member.filename)} is stored as a patch, which Python's zipfile cannot read."
            return _make_again(sentence, "unknown-compression", "stuck", member.filename)
    unpacked = sum(member.file_size for member in members)
    # Members may overlap, or claim more than there is: the file's own size is the truth.
    packed = max(1, min(sum(member.compress_size for member in members), _size(archive)))
    if trusted:
        return _bad_name(members)
    if unpacked > MOST_BYTES:
        sentence = f"The archive unpacks to {unpacked / 1e9:.1f} GB; the judge stops at {MOST_BYTES / 1e9:.1f} GB."
        return Refusal("zip-bomb", sentence, "Store smaller weights, for example as float16.", "disk")
    if unpacked > BOMB_BYTES and unpacked / packed > MOST_RATIO:
        sentence = (
            f"The archive unpacks to {unpacked / packed:.0f} times its size ({unpacked / 1e6:.0f} MB): a zip bomb."
        )
        return Refusal("zip-bomb", sentence, "Leave out the file that is nearly all zeros.", "disk")
    return _bad_name(members)


def _size(archive: zipfile.ZipFile) -> int:
    """Bytes of the archive's file."""
    place = archive.fp.tell()
    size = archive.fp.seek(0, 2)
    archive.fp.seek(place)
    return size


def shown(name: str) -> str:
    """A member's name as a sentence can hold it."""
    return name if len(name) <= SHOWN_NAME else name[:SHOWN_NAME] + "..."


def _bad_name(members: list[zipfile.ZipInfo]) -> Refusal | None:
    """The first member whose name no file on Linux can have, or that needs a file where a folder is; in order of unpacking."""
    files, folders = set(), {()}
    for member in members:
        parts = tuple(clean_parts(member.filename))
        reason, server = "", "stuck"
        longest = max((len(os.fsencode(part)) for part in parts), default=0)
        if longest > LONGEST_NAME:
            reason = f"a name of {longest} bytes, the most is {LONGEST_NAME}"
        elif (length := len(os.fsencode("/".join(parts)))) > LONGEST_PATH:
            reason, server = f"a path of {length} bytes, the judge stops at {LONGEST_PATH}", "judge"
        elif len(parts) > MOST_DEPTH:
            reason, server = f"{len(parts)} folders deep, the judge stops at {MOST_DEPTH}", "judge"
        else:
            outer = {parts[:count] for count in range(1, len(parts) + member.is_dir())}
            clash = (files & outer) or ({parts} & folders if not member.is_dir() else set())
            if clash:
                name = "/".join(clash.pop())
                reason = f"{name} is a file and a folder" if name else "it is the folder itself"
            folders |= outer
            if not member.is_dir():
                files.add(parts)
        if reason:
            sentence = f"{shown(member.filename)} cannot be written ({reason})."
            return Refusal("bad-name", sentence, "Rename the member.", server, member.filename)
    return None


def extract(archive: zipfile.ZipFile, folder: Path) -> Refusal | None:
    """Unpack into `folder` (made; may exist). The first member that cannot be read or written ends it.

    As on the worker, `..` and a leading `/` are dropped from names, and a link becomes a file that holds its target.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for member in extracted(archive):
        target = folder.joinpath(*clean_parts(member.filename))
        try:
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                found = _copy(archive, member, file)
        except OSError as error:  # of this machine's file system; what any would refuse is no longer here
            raise UserError(
                f"The archive cannot be unpacked in {folder} ({error.strerror}); take another folder."
            ) from error
        if found is not None:
            return found
    return None


def clean_parts(name: str) -> list[str]:
    """The parts of a member's name that `extractall` keeps."""
    return [part for part in name.split("/") if part not in ("", ".", "..")]


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: BinaryIO | None) -> Refusal | None:
    """Decompress one member into `file` (None: nowhere); its checksum is verified on the way."""
    name = shown(member.filename)
    try:
        source = archive.open(member)
    except zipfile.BadZipFile as error:
        return _make_again(f"{name} is damaged ({_first_line(error)}).", "bad-crc", file=member.filename)
    except (*STREAM_ERRORS, OSError) as error:
        return _make_again(f"{name} cannot be read ({_first_line(error)}).", "bad-stream", "stuck", member.filename)
    with source:
        while True:
            try:
                block = source.read(1 << 20)
            except zipfile.BadZipFile as error:
                return _make_again(f"{name} is damaged ({_first_line(error)}).", "bad-crc", file=member.filename)
            except (*STREAM_ERRORS, OSError) as error:  # bz2 reports a damaged stream as OSError
                return _make_again(
                    f"{name} cannot be decompressed ({_first_line(error)}).", "bad-stream", "stuck", member.filename
                )
            if not block:
                return None
            if file is not None:
                file.write(block)


def damage(archive: zipfile.ZipFile) -> Refusal | None:
    """The first member whose contents cannot be read back, or have another checksum; nothing is written."""
    members = (member for member in extracted(archive) if not member.is_dir())
    return next((found for member in members if (found := _copy(archive, member, None))), None)


def unpack(path: Path, folder: Path, *, trusted: bool = False) -> Refusal | None:
    """Unpack the zip at `path` into `folder`; on a refusal the folder is left empty. trusted: of any size, as an organiser's bundle."""
    archive = open_archive(path)
    if isinstance(archive, Refusal):
        return archive
    with archive:
        found = refusal(archive, trusted=trusted) or extract(archive, folder)
    if found is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    return found
