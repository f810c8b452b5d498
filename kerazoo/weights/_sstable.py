"""Sorted tables of keys and values, in which TensorFlow keeps checkpoints.

Format: LevelDB's `doc/table_format.md`. Blocks of entries, each without the beginning that its key shares with the one
before; behind each block a byte for its compression and a checksum; a last block says where the others lie, and the
file's last 48 bytes where that one lies. The checksums are left alone: Python needs about a minute for 200 MB.

Bounds: blocks lie one after the other; keys have `LONGEST_KEY` bytes and ascend; what a block is said to unpack to is
at most `RATIO` times its bytes, and all blocks together `EXPANSION` times the file and `SPARE`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kerazoo.errors import WeightsDamaged
from kerazoo.protobuf import varint
from kerazoo.weights._arrays import EXPANSION, SPARE

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
"""The last bytes of the file."""

FOOTER = 48
LONGEST_KEY = 4096
STORED, SNAPPY = 0, 1
RATIO = 64
"""Snappy's longest copy for the fewest bytes; a block that declares more is refused before memory is taken."""


def entries(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values in the order of the keys, no key twice."""
    if len(data) < FOOTER or bytes(data[-8:]) != MAGIC:
        raise WeightsDamaged("the table ends too early")
    footer = data[-FOOTER:]
    at = varint(footer, varint(footer, 0)[1])[1]
    done, left = 0, EXPANSION * len(data) + SPARE
    before = None
    for _, place in _entries(_block(data, footer[at:])[0]):
        block, start, end = _block(data, place)
        # A block that is named twice would make a small file a large one.
        if start < done:
            raise WeightsDamaged("two blocks lie at the same place")
        done, left = end, left - len(block)
        if left < 0:
            raise WeightsDamaged("it unpacks to more than so small a file can hold")
        for key, value in _entries(block):
            if before is not None and key <= before:
                raise WeightsDamaged("the keys are not in order")
            before = key
            yield key, value


def _block(data: memoryview, place: memoryview) -> tuple[memoryview, int, int]:
    """The block that a place (position and length) names, and where it begins and ends."""
    start, at = varint(place, 0)
    end = start + varint(place, at)[0]
    if end + 5 > len(data):
        raise WeightsDamaged("a block lies behind the end")
    if data[end] == STORED:
        return data[start:end], start, end
    if data[end] == SNAPPY:
        return memoryview(unpack(data[start:end])), start, end
    raise WeightsDamaged(f"a block is packed in an unknown way, {data[end]}")


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    if len(block) < 4:
        raise WeightsDamaged("a block is too short")
    # Behind the entries lies a list of positions for searching, with its length.
    last = len(block) - 4 - 4 * struct.unpack_from("<I", block, len(block) - 4)[0]
    if last < 0:
        raise WeightsDamaged("a block is too short")
    key, at = b"", 0
    while at < last:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        start = at + own
        if shared > len(key) or shared + own > LONGEST_KEY or start + length > last:
            raise WeightsDamaged("an entry is longer than its block")
        key = key[:shared] + bytes(block[at:start])
        at = start + length
        yield key, block[start:at]


def unpack(data: memoryview) -> bytearray:
    """Snappy's compression: pieces that are given, and copies of what has been unpacked so far."""
    size, at = varint(data, 0)
    if size > RATIO * len(data):
        raise WeightsDamaged(f"a block of {len(data)} bytes declares {size}")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        kind, length = tag & 3, (tag >> 2) + 1
        more = (max(0, length - 60) if kind == 0 else (1, 2, 4)[kind - 1]) + 1
        if at + more > len(data):
            raise WeightsDamaged("a packed block ends too early")
        number = int.from_bytes(data[at + 1 : at + more], "little")
        at += more
        if kind == 0:
            length = number + 1 if length > 60 else length
            out += data[at : at + length]
            at += length
        else:
            if kind == 1:
                length, number = (tag >> 2 & 7) + 4, number | (tag & 0xE0) << 3
            if not 0 < number <= len(out):
                raise WeightsDamaged("a packed block copies from before its beginning")
            piece = out[len(out) - number : len(out) - number + length]
            # A copy may reach into itself, which repeats it.
            out += (piece * (length // len(piece) + 1))[:length]
        if len(out) > size:
            break
    if len(out) != size:
        raise WeightsDamaged("a packed block has another length than it says")
    return out
