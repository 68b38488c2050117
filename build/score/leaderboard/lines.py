"""A JSON object on one line with its checksum: what a killed writer or a bad disk did to it shows."""

import json
import zlib
from collections.abc import Mapping


def check(body: Mapping) -> str:
    """CRC-32 of a line's content, in hex."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{zlib.crc32(text.encode()):08x}"


def encode(body: Mapping) -> bytes:
    """One line with its checksum."""
    return json.dumps({"check": check(body), **body}, allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> dict | None:
    """The content of a line, or None where it is damaged."""
    try:
        body = json.loads(line)
        if not isinstance(body, dict):
            return None
        stated = body.pop("check", None)
        return body if stated == check(body) else None  # check refuses NaN with a ValueError
    except (ValueError, RecursionError):
        return None
