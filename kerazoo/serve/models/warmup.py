"""Warm-up: recorded requests that a version answers before anyone else may ask it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
from google.protobuf.message import DecodeError

from kerazoo.serve.models import inference
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.wire import protos, tensors
from kerazoo.serve.wire.status import Status, invalid

FILE = Path("assets.extra", "tf_serving_warmup_requests")
MOST = 1000


def replay(servable: Servable, folder: Path, times: int = 1) -> int:
    """Answers the requests recorded in a version folder; how many there were.

    Args:
        times: How often each is asked.

    Raises:
        Status: A record cannot be read or answered, or there are too many.
    """
    path = folder / FILE
    if not path.is_file():
        return 0
    count = 0
    for record in records(path):
        count += 1
        if count > MOST:
            raise invalid(f"Number of warmup records exceeds the maximum ({MOST}) at {path}")
        try:
            logged = protos.api("PredictionLog").FromString(record)
        except DecodeError:
            raise invalid(f"Failed to parse warmup record: {count - 1} from {path}. Please verify the data") from None
        for _ in range(max(times, 1)):
            _ask(servable, logged)
    return count


def _ask(servable: Servable, logged: Any) -> None:
    kind = logged.WhichOneof("log_type")
    if kind == "predict_log":
        request = logged.predict_log.request
        inputs = {alias: tensors.to_array(proto, alias) for alias, proto in request.inputs.items()}
        inference.predict(servable, request.model_spec.signature_name, inputs, request.output_filter)
    elif kind in ("classify_log", "regress_log"):
        request = getattr(logged, kind).request
        ask = inference.classify if kind == "classify_log" else inference.regress
        ask(servable, request.model_spec.signature_name, inference.serialized(request.input))
    elif kind == "multi_inference_log":
        request = logged.multi_inference_log.request
        tasks = [(task.model_spec.signature_name, task.method_name) for task in request.tasks]
        inference.several(servable, tasks, inference.serialized(request.input))
    else:
        number = logged.DESCRIPTOR.fields_by_name[kind].number if kind else 0
        raise Status("UNIMPLEMENTED", f"Unsupported log_type for warmup: {number}")


def records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: length, its checksum, the record, its checksum.

    Raises:
        Status: The file ends within a record, or says that one is longer than the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while head := file.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size + 1
            if length > size or crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
                raise Status("DATA_LOSS", f"corrupted record at {file.tell() - len(head)} in {path}")
            body = file.read(length + 4)
            if len(body) != length + 4 or crc(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
                raise Status("DATA_LOSS", f"truncated or corrupted record at {file.tell() - len(body)} in {path}")
            yield body[:-4]


def record(data: bytes) -> bytes:
    """One record as it stands in a TFRecord file."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", crc(head)) + data + struct.pack("<I", crc(data))


def crc(data: bytes) -> int:
    """TFRecord's masked CRC-32C."""
    value = google_crc32c.value(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF
