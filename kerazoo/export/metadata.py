"""LiteRT metadata, as Android's own libraries read it: what goes in, what comes out, and where the labels stand.

The tables of `metadata_schema.fbs` (TensorFlow Lite Support, file identifier M001), written field by field: the
schema's generated code comes with packages that do not install beside today's TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kerazoo.contract import Port, Signature
from kerazoo.export.flatbuffer import packed, unpacked

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"
"""The oldest parser that knows every field which is written here."""

LABELS = "labels.txt"
"""The associated file: a label a line, in the order of the output's last axis."""

_AXIS_LABELS = 2
_FEATURES, _IMAGE = 1, 2
_RGB, _GREY = 1, 2
_NORMALIZATION = 1


def build(name: str, description: str, version: str, signatures: Iterable[Signature], labels: Sequence[str]) -> bytes:
    """A `ModelMetadata`.

    Args:
        signatures: One a subgraph, in their order; tensors in the order of the ports.
        labels: What the last axis of the output stands for; empty where it has no names.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    graphs = [
        _table(
            builder,
            10,
            {
                2: _tables(builder, [_tensor(builder, port, ()) for port in signature.inputs]),
                3: _tables(builder, [_tensor(builder, port, labels) for port in signature.outputs]),
            },
        )
        for signature in signatures
    ]
    made = _table(
        builder,
        8,
        {
            0: builder.CreateString(name),
            1: builder.CreateString(description),
            2: builder.CreateString(version),
            3: _tables(builder, graphs),
            7: builder.CreateString(PARSER),
        },
    )
    builder.Finish(made, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: Any, port: Port, labels: Sequence[str]) -> int:
    """A `TensorMetadata`: a picture with its colours and its normalisation (the file itself does it), or numbers."""
    fields: dict[int, int] = {0: builder.CreateString(port.name)}
    sides = port.shape
    if port.media == "image" and len(sides) == 4:
        size = _small(builder, 2, {0: sides[2] or 0, 1: sides[1] or 0})
        colour = _RGB if sides[3] == 3 else _GREY
        picture = _table(builder, 2, {1: size}, {0: (builder.PrependInt8Slot, colour)})
        fields[3] = _table(builder, 2, {1: picture}, {0: (builder.PrependUint8Slot, _IMAGE)})
        zero, one = _floats(builder, [0.0]), _floats(builder, [1.0])
        options = _table(builder, 2, {0: zero, 1: one})
        unit = _table(builder, 2, {1: options}, {0: (builder.PrependUint8Slot, _NORMALIZATION)})
        fields[4] = _tables(builder, [unit])
        fields[5] = _table(builder, 2, {0: _floats(builder, [255.0]), 1: _floats(builder, [0.0])})
    else:
        features = _table(builder, 0, {})
        fields[3] = _table(builder, 2, {1: features}, {0: (builder.PrependUint8Slot, _FEATURES)})
    if labels and sides and sides[-1] == len(labels):
        called, what = builder.CreateString(LABELS), builder.CreateString("A label a line.")
        file = _table(builder, 5, {0: called, 1: what}, {2: (builder.PrependInt8Slot, _AXIS_LABELS)})
        fields[6] = _tables(builder, [file])
    return _table(builder, 7, fields)


def _table(
    builder: Any,
    slots: int,
    offsets: Mapping[int, int],
    scalars: Mapping[int, tuple[Callable[..., Any], int]] | None = None,
) -> int:
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, (prepend, value) in (scalars or {}).items():
        prepend(slot, value, 0)
    return builder.EndObject()


def _small(builder: Any, slots: int, values: Mapping[int, int]) -> int:
    return _table(builder, slots, {}, {slot: (builder.PrependUint32Slot, value) for slot, value in values.items()})


def _tables(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()


def into(data: bytes, made: bytes) -> bytes:
    """A LiteRT flatbuffer with metadata, in the place of any that it had."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = unpacked(data)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(made, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers) - 1
    others = [each for each in model.metadata or [] if each.name not in (NAME, NAME.encode())]
    model.metadata = [*others, entry]
    return packed(model, len(data) + 4096)


def of(data: bytes) -> bytes | None:
    """The metadata of a LiteRT flatbuffer; `None` where it has none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == NAME.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None
