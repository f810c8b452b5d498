"""TensorFlow 1 checkpoints, as TF-Slim published its models: one `.ckpt` file, or `.index` and `.data-00000-of-00001`.

Both are read where they lie or out of the `.tar.gz`, `.tgz` or `.zip` they are published in, without TensorFlow and
without unpacking anything to the disk. A `.ckpt` is a sorted table (`_sstable`) of `SavedTensorSlices`, the first with
an empty key and telling names, shapes and types of all tensors (`tensorflow/core/util/saved_tensor_slice.proto`). An
`.index` is such a table too, of positions in the data files (`tensorflow/core/protobuf/tensor_bundle.proto`).

Bounds: those of `_sstable`, `_archive`, `protobuf` and `_arrays`; the numbers of all tensors take no more bytes of a
data file than it has.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.protobuf import BYTES, VARINT, fields, signed, varint, varints
from kerazoo.weights import _sstable
from kerazoo.weights._archive import GZIP, ZIP, contents, names
from kerazoo.weights._arrays import BRAIN, MOST, Arrays, array, count

ABOUT = "TensorFlow checkpoint .ckpt or .index, also in a .tar.gz"

INDEX = ".index"
DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
MAIN = re.compile(r"\.index$|\.ckpt(-\d+)?$")
"""Ends of the names of files that a checkpoint can be read from, or from that and its data files."""

STRING = 7
KINDS = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "u1",
    14: BRAIN,
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
"""`DataType` -> kind of numbers; `STRING` and whatever else is no number is not here."""

FLOATS, DOUBLES = 5, 6
CONTENT = 4
INTEGERS = {7, 10, 11}
"""Fields of a `TensorProto`; the last are the numbers of int32 and smaller, int64, and bool."""

Open = Callable[[str], memoryview]
"""The content of a file beside the one that is read."""


def recognises(path: Path, head: bytes) -> bool:
    if head.startswith((GZIP, ZIP)):
        return any(MAIN.search(name) for name in names(path))
    if DATA.search(path.name):
        # These are bare numbers, which nothing but their name tells.
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_sstable.MAGIC)))
        return file.read() == _sstable.MAGIC


def read(path: Path) -> dict[str, np.ndarray]:
    """Variables by name in the checkpoint's order, as stored; what holds texts is left out.

    Args:
        path: An archive, a `.ckpt` file, or either of `.index` and `.data-...`; the other must lie beside it.
    """
    with path.open("rb") as file:
        packed = file.read(4).startswith((GZIP, ZIP))
    if not packed:
        name = path.name if not DATA.search(path.name) else DATA.sub(INDEX, path.name)
        return _checkpoint(name, lambda name: _beside(path, name)).some()
    held = dict(contents(path, lambda name: bool(MAIN.search(name) or DATA.search(name))))
    found = [name for name in held if MAIN.search(name)]
    if len(found) != 1:
        raise UsageError(
            f"The archive holds {len(found)} checkpoints ({', '.join(found[:3])}); unpack it and take one."
        )

    def member(name: str) -> memoryview:
        if name not in held:
            raise UsageError(f"The archive lacks {name}, which holds the checkpoint's numbers.")
        return memoryview(held[name])

    return _checkpoint(found[0], member).some()


def _beside(path: Path, name: str) -> memoryview:
    place = path.with_name(name)
    if not place.is_file():
        raise UsageError(f"{name} belongs to this checkpoint and must lie beside it; there is no such file.")
    return memoryview(place.read_bytes())


def _checkpoint(name: str, open_: Open) -> Arrays:
    entries = _sstable.entries(open_(name))
    key, first = next(entries, (b"", memoryview(b"")))
    if key or not first:
        raise UsageError("The file is a sorted table, but no checkpoint.")
    # The first field is a number in the one, and a message in the other.
    if varint(first, 0)[0] & 7 == VARINT:
        return _bundle(name.removesuffix(INDEX), first, entries, open_)
    return _slices(first, entries)


# The older container: tables of contents and tensors in one file.


def _slices(first: memoryview, entries: Iterator[tuple[bytes, memoryview]]) -> Arrays:
    stored: dict[str, memoryview] = {}
    for _, value in entries:
        for _, _, piece in fields(value, {2: BYTES}):
            parts = {number: part for number, _, part in fields(piece, {1: BYTES, 3: BYTES})}
            name = _text(parts.get(1))
            if len(stored) == MOST:
                raise WeightsDamaged(f"it holds more than {MOST} tensors")
            if name in stored:
                raise UsageError(f"The checkpoint keeps {name} in several pieces; save it without partitions.")
            stored[name] = parts.get(3, memoryview(b""))
    arrays = Arrays()
    for _, _, meta in fields(first, {1: BYTES}):
        for _, _, tensor in fields(meta, {1: BYTES}):
            found = _numbers(tensor, {1: BYTES, 2: BYTES, 3: VARINT})
            name, kind = _text(found.get(1)), found.get(3, 0)
            if kind == STRING:
                continue
            if name not in stored:
                raise WeightsDamaged(f"the numbers of {name} are not in it")
            arrays.add(name, _tensor(name, stored.pop(name), kind, _shape(found.get(2))))
    return arrays


def _tensor(name: str, data: memoryview, kind: int, shape: list[int]) -> np.ndarray:
    form = _kind(name, kind)
    wanted = dict.fromkeys((CONTENT, FLOATS, DOUBLES, *INTEGERS), BYTES)
    parts: dict[int, list[memoryview]] = {}
    for number, _, part in fields(data, wanted):
        parts.setdefault(number, []).append(part)
    if len(parts) > 1 or (FLOATS in parts and form != "<f4") or (DOUBLES in parts and form != "<f8"):
        raise WeightsDamaged(f"the numbers of {name} are of another type than it says")
    if INTEGERS & parts.keys():
        size = count(name, shape)
        found = (value for part in next(iter(parts.values())) for value in varints(part))
        values = list(itertools.islice(found, size + 1))
        return array(name, np.array(values, form).tobytes(), form, shape)
    pieces = next(iter(parts.values()), [])
    return array(name, pieces[0] if len(pieces) == 1 else b"".join(pieces), form, shape)


# The newer one: an index, and numbers in files of their own.


def _bundle(prefix: str, first: memoryview, entries: Iterator[tuple[bytes, memoryview]], open_: Open) -> Arrays:
    header = _numbers(first, {1: VARINT, 2: VARINT})
    if header.get(2):
        raise UsageError("The checkpoint was written on a big-endian machine; only little-endian ones can be read.")
    files: dict[int, memoryview] = {}
    arrays = Arrays()
    used: dict[int, int] = {}
    for key, value in entries:
        name = key.decode()
        entry = _numbers(value, {1: VARINT, 2: BYTES, 3: VARINT, 4: VARINT, 5: VARINT, 7: BYTES})
        if entry.get(1) == STRING:
            continue
        if 7 in entry:
            raise UsageError(f"The checkpoint keeps {name} in several pieces; save it without partitions.")
        form, shape = _kind(name, entry.get(1, 0)), _shape(entry.get(2))
        shard, start, size = (entry.get(number, 0) for number in (3, 4, 5))
        if size != count(name, shape) * np.dtype(form).itemsize or shard >= header.get(1, 0):
            raise WeightsDamaged(f"{name} of shape {tuple(shape)} should take {size} bytes of data file {shard}")
        if shard not in files:
            files[shard] = open_(f"{prefix}.data-{shard:05}-of-{header[1]:05}")
        used[shard] = used.get(shard, 0) + size
        if start + size > len(files[shard]) or used[shard] > len(files[shard]):
            raise WeightsDamaged(f"{name} lies behind the end of its data file")
        arrays.add(name, array(name, files[shard][start : start + size], form, shape))
    return arrays


def _numbers(data: memoryview, wanted: Mapping[int, int]) -> dict[int, Any]:
    """The last value of every wanted field: numbers, and views of bytes."""
    return {number: value if wanted[number] == VARINT else part for number, value, part in fields(data, wanted)}


def _kind(name: str, number: int) -> str:
    if number not in KINDS:
        raise UsageError(f"The checkpoint's {name[:80]} is of type {number} of TensorFlow, which weights have not.")
    return KINDS[number]


def _shape(data: memoryview | None) -> list[int]:
    shape = []
    for _, _, dim in fields(data if data is not None else memoryview(b""), {2: BYTES}):
        shape.append(signed(_numbers(dim, {1: VARINT}).get(1, 0)))
    return shape


def _text(data: memoryview | None) -> str:
    return bytes(data if data is not None else b"").decode()
