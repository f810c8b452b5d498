"""LiteRT's flatbuffer, taken apart and put together again."""

from __future__ import annotations

from typing import Any


def unpacked(data: bytes) -> Any:
    """The `ModelT` of a file; buffers that lie behind the flatbuffer, as some tools write them, are taken in."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def packed(model: Any, size: int = 1 << 20) -> bytes:
    """The bytes of a `ModelT`."""
    import flatbuffers

    builder = flatbuffers.Builder(size)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
