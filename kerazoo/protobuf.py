"""Protocol buffers as they lie in a file: fields, each a number, a kind and a value, without a schema.

Format: protobuf.dev, "Encoding". Values stay where they are: what is long comes as a view into the file.

Bounds: `MOST_FIELDS` in one message, numbers of `LONGEST_VARINT` bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from kerazoo.errors import WeightsDamaged

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
HIGHEST_FIELD = (1 << 29) - 1
LONGEST_VARINT = 10
MOST_FIELDS = 100_000
"""In one message; networks have some thousand layers, and an empty one takes two bytes but much more memory."""


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """An unsigned number and the position behind it."""
    value = 0
    for index, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value & (1 << 64) - 1, at + index + 1
    raise WeightsDamaged("a number has no end")


def varints(data: memoryview) -> Iterator[int]:
    """Packed signed numbers."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield signed(value)


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _field(data: memoryview, at: int) -> tuple[int, int, int, int]:
    """Number and kind of the field at a position, where its value begins and ends, which may be behind the data."""
    tag, at = varint(data, at)
    number, kind = tag >> 3, tag & 7
    if not 0 < number <= HIGHEST_FIELD:
        raise WeightsDamaged(f"no field has the number {number}")
    if kind == BYTES:
        length, at = varint(data, at)
        return number, kind, at, at + length
    if kind == VARINT:
        return number, kind, at, varint(data, at)[1]
    if kind in (FIXED64, FIXED32):
        return number, kind, at, at + (8 if kind == FIXED64 else 4)
    raise WeightsDamaged(f"field {number} is of no kind that is in use")


def fields(data: memoryview, wanted: Mapping[int, int]) -> Iterator[tuple[int, int, memoryview]]:
    """The wanted fields of a message: number, value of a varint (else 0), bytes of the value.

    Args:
        wanted: Field number -> kind. Other fields are passed over.

    Raises:
        WeightsDamaged: The message ends within a field, a wanted one is of another kind, or there are too many.
    """
    at = found = 0
    while at < len(data):
        found += 1
        if found > MOST_FIELDS:
            raise WeightsDamaged(f"a message has more than {MOST_FIELDS} fields")
        number, kind, start, end = _field(data, at)
        if end > len(data):
            raise WeightsDamaged(f"field {number} is longer than what holds it")
        at = end
        if number in wanted:
            if kind != wanted[number]:
                raise WeightsDamaged(f"field {number} is of another kind than it should be")
            yield number, varint(data, start)[0] if kind == VARINT else 0, data[start:end]


def opening(head: memoryview, kinds: Mapping[int, int], until: Collection[int]) -> tuple[int, memoryview] | None:
    """The first field `until`, and its value as far as it is in `head`, the beginning of what may be a message.

    Returns:
        `None` where a field before it is none of `kinds`, or `head` ends first: it is no such message.
    """
    at = 0
    try:
        while at < len(head):
            number, kind, start, end = _field(head, at)
            if kinds.get(number) != kind:
                return None
            if number in until:
                return number, head[start:end]
            at = end
    except WeightsDamaged:
        pass
    return None
