"""Caffe's `.caffemodel`: the layers of a network with their numbers, without Caffe.

Format: `NetParameter` of `caffe.proto` as a protocol buffer. Only layers' names, types and numbers are followed. Older
files have their layers in another field (`V1LayerParameter`) and four lengths in every shape.

Bounds: those of `protobuf` for the layers of a network and the arrays of a layer, and of `_arrays`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.protobuf import BYTES, VARINT, fields, opening, signed, varints
from kerazoo.weights._arrays import HIGHEST_RANK, Arrays, array

ABOUT = "Caffe .caffemodel"

PEEK = 1 << 16
"""Bytes in which the first layer must begin; names and shapes of inputs come before it."""

LAYER, OLD_LAYER = 100, 2
NET_FIELDS = {1: BYTES, OLD_LAYER: BYTES, 3: BYTES, 4: VARINT, 5: VARINT, 6: BYTES, 7: VARINT, 8: BYTES, LAYER: BYTES}
SHAPE, DATA, DOUBLES = 7, 5, 8
OLD_SHAPE = (1, 2, 3, 4)
FIRST = ("weight", "bias")


@dataclass(frozen=True)
class _Form:
    """Where a layer keeps what."""

    name: int
    type: int
    kind: int
    """Of the field `type`."""
    blobs: int
    before: tuple[int, ...]
    """Texts that stand before the name."""
    dense: bytes | int
    """The type of fully connected layers."""


FORMS = {
    LAYER: _Form(name=1, type=2, kind=BYTES, blobs=7, before=(), dense=b"InnerProduct"),
    OLD_LAYER: _Form(name=4, type=5, kind=VARINT, blobs=6, before=(2, 3), dense=14),
}
OLDEST = 1
"""Field of a layer in the first layout (`V0LayerParameter`), in which all of it lies."""


def recognises(path: Path, head: bytes) -> bool:
    """The format has no signature: fields that a network may begin with, then a layer that begins with its name."""
    with path.open("rb") as file:
        found = opening(memoryview(file.read(PEEK)), NET_FIELDS, FORMS)
    if found is None:
        return False
    form = FORMS[found[0]]
    # The oldest layers are the one field 1, which is the name in the newest.
    named = opening(found[1], dict.fromkeys((OLDEST, form.name, *form.before), BYTES), {OLDEST, form.name})
    if named is None:
        return False
    text = bytes(named[1]).decode(errors="replace")
    return named[0] != form.name or (bool(text) and "\ufffd" not in text and text.isprintable())


def read(path: Path) -> dict[str, np.ndarray]:
    """`layer.weight` as stored, OIHW or (out, in), and flat `layer.bias`; further ones are `layer.2`, `layer.3`, ..."""
    arrays = Arrays()
    for number, _, layer in fields(memoryview(path.read_bytes()), dict.fromkeys(FORMS, BYTES)):
        form = FORMS[number]
        name, type_, blobs = "", None, []
        wanted = {OLDEST: BYTES, form.name: BYTES, form.type: form.kind, form.blobs: BYTES}
        for field, value, part in fields(layer, wanted):
            if field == form.name:
                name = bytes(part).decode()
            elif field == form.type:
                type_ = bytes(part) if form.kind == BYTES else value
            elif field == form.blobs:
                blobs.append(part)
            else:
                raise UsageError("The file is in Caffe's first layout; its tool upgrade_net_proto_binary renews it.")
        for index, blob in enumerate(blobs):
            key = f"{name}.{FIRST[index] if index < len(FIRST) else index}"
            arrays.add(key, _array(key, blob, index, type_ == form.dense))
    return arrays.some()


def _array(name: str, blob: memoryview, index: int, dense: bool) -> np.ndarray:
    pieces: dict[int, list[memoryview]] = {DATA: [], DOUBLES: []}
    shape: list[int] | None = None
    old: dict[int, int] = {}
    wanted = {SHAPE: BYTES, DATA: BYTES, DOUBLES: BYTES} | dict.fromkeys(OLD_SHAPE, VARINT)
    for field, value, part in fields(blob, wanted):
        if field == SHAPE:
            lengths = (length for _, _, packed in fields(part, {1: BYTES}) for length in varints(packed))
            shape = list(itertools.islice(lengths, HIGHEST_RANK + 1))
        elif field in pieces:
            pieces[field].append(part)
        else:
            old[field] = signed(value)
    kind = "<f8" if pieces[DOUBLES] else "<f4"
    data = pieces[DOUBLES] or pieces[DATA]
    if pieces[DOUBLES] and pieces[DATA]:
        raise WeightsDamaged(f"{name} has its numbers twice")
    if shape is None:
        shape = [old.get(field, 0) for field in OLD_SHAPE] if old else []
    found = array(name, data[0] if len(data) == 1 else b"".join(data), kind, shape)
    if index == 1:
        return found.reshape(-1)
    while index == 0 and dense and found.ndim > 2 and found.shape[0] == 1:
        found = found[0]
    return found
