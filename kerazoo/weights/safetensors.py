"""Hugging Face's safetensors: the length of a JSON table in 8 bytes, the table, the tensors one after the other.

Read here and not by the `safetensors` package: its NumPy loader knows no bfloat16, and it would be one more compiled
package for what is a table of positions.

Bounds: a table of `LONGEST_TABLE` bytes; each byte behind it belongs to one tensor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights._arrays import BRAIN, Arrays, array

ABOUT = "safetensors"

FORMAT_LIMIT = 100_000_000
LONGEST_TABLE = 4 << 20
"""Bytes; a tensor needs about a hundred. Less than the format's own limit, as JSON takes 25 times the memory."""

METADATA = "__metadata__"
KINDS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BRAIN,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "u1",
}


def recognises(path: Path, head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= FORMAT_LIMIT


def read(path: Path) -> dict[str, np.ndarray]:
    """Tensors by name in the table's order, floats of any width as float32."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LONGEST_TABLE:
            raise WeightsDamaged(f"its table should take {length} bytes, more than any network needs")
        text = file.read(length)
        if len(text) < length:
            raise WeightsDamaged(f"its table should take {length} bytes, more than there are")
        table = json.loads(text, object_pairs_hook=_without_doubles)
        data = memoryview(file.read())
    table.pop(METADATA, None)
    places = {name: _place(name, row) for name, row in table.items()}
    _check_places(places, len(data))
    arrays = Arrays()
    for name, (first, end) in places.items():
        kind = KINDS.get(table[name]["dtype"])
        if kind is None:
            raise UsageError(f"The file's {name[:80]} is of type {table[name]['dtype']!s:.20}, which weights have not.")
        arrays.add(name, array(name, data[first:end], kind, table[name]["shape"]))
    return arrays.some()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise WeightsDamaged("its table has two entries of the same name")
    return made


def _place(name: str, row: Any) -> tuple[int, int]:
    """Where a tensor begins and ends, behind the table."""
    fits = isinstance(row, dict) and row.keys() == {"dtype", "shape", "data_offsets"} and isinstance(row["dtype"], str)
    lists = [row["shape"], row["data_offsets"]] if fits else []
    if not fits or any(not isinstance(value, list) or {type(n) for n in value} - {int} for value in lists):
        raise WeightsDamaged(f"its table does not say what {name[:80]} is")
    if len(row["data_offsets"]) != 2:
        raise WeightsDamaged(f"its table does not say where {name[:80]} lies")
    return row["data_offsets"][0], row["data_offsets"][1]


def _check_places(places: dict[str, tuple[int, int]], size: int) -> None:
    """Every byte behind the table belongs to one tensor: nothing is shared, hidden between them, or missing."""
    at = 0
    for name, (first, end) in sorted(places.items(), key=lambda item: item[1]):
        if first != at or end < first:
            raise WeightsDamaged(f"{name[:80]} lies at {first} to {end}, where {at} comes next")
        at = end
    if at != size:
        raise WeightsDamaged(f"its tensors take {at} bytes, but {size} follow the table")
