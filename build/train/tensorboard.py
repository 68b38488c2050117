"""A run's history as TensorBoard reads it (`tensorboard --logdir runs`), written without TensorBoard or a framework.

An event file is a sequence of TFRecords (length, its checksum, content, its checksum; tensorflow/core/lib/io/record_writer.h)
of Event messages (tensorflow/core/util/event.proto). TensorFlow's own writers of scalars need the tensorboard package, which it
no longer brings, and the JAX backend has none.
"""

import struct
from pathlib import Path

from build.files import atomic

NAME = "events.out.tfevents.0000000000.podium"
POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5  # protobuf's wire types


def write(history: list[dict], folder: Path, began: float) -> None:
    """Write the event file of a whole history, one dict an epoch, anew: a resumed run has every epoch once.

    began: the first epoch's start in seconds since 1970; "seconds" of each epoch follow it.
    """
    records = [_field(1, DOUBLE, began) + _field(3, BYTES, b"brain.Event:2")]
    for row in history:
        began += row["seconds"]
        values = b"".join(
            _field(1, BYTES, _field(1, BYTES, name.encode()) + _field(2, FLOAT, value))
            for name, value in row.items()
            if isinstance(value, float)
        )
        records.append(_field(1, DOUBLE, began) + _field(2, VARINT, row["epoch"]) + _field(5, BYTES, values))
    with atomic(folder / NAME) as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + _checksum(length) + record + _checksum(record))


def _field(number: int, kind: int, value) -> bytes:
    key = _varint(number << 3 | kind)
    if kind == VARINT:
        return key + _varint(value)
    if kind == BYTES:
        return key + _varint(len(value)) + value
    return key + struct.pack("<d" if kind == DOUBLE else "<f", value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    """TFRecord's masked CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
