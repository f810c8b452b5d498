"""TF Serving's configuration files: protocol buffers as text, some of whose messages no package publishes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status, invalid

_FIELD = descriptor_pb2.FieldDescriptorProto
_PLAIN = {"string": _FIELD.TYPE_STRING, "bool": _FIELD.TYPE_BOOL, "int32": _FIELD.TYPE_INT32}
_WRAPPED = {"Int64Value", "StringValue", "BoolValue"}

_MESSAGES = {
    "SSLConfig": {"server_key": "string", "server_cert": "string", "custom_ca": "string", "client_verify": "bool"},
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "repeated int32",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
        "low_priority_max_batch_size": "Int64Value",
        "low_priority_batch_timeout_micros": "Int64Value",
        "low_priority_max_enqueued_batches": "Int64Value",
        "mixed_priority_batching_policy": "StringValue",
        "batch_padding_policy": "StringValue",
    },
}
"""Message -> its fields. In text only names count, so that the numbers can be ours."""


@functools.cache
def _declared() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="kerazoo/serving.proto", package="kerazoo", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            word = kind.removeprefix("repeated ")
            made = message.field.add(name=field, number=number)
            made.label = _FIELD.LABEL_REPEATED if word != kind else _FIELD.LABEL_OPTIONAL
            if word in _PLAIN:
                made.type = _PLAIN[word]
            else:
                made.type = _FIELD.TYPE_MESSAGE
                made.type_name = f".google.protobuf.{word}" if word in _WRAPPED else f".kerazoo.{word}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


def message(name: str) -> Any:
    """An empty message: one that is published, or one of those declared here."""
    if name in _MESSAGES:
        return message_factory.GetMessageClass(_declared().FindMessageTypeByName(f"kerazoo.{name}"))()
    return protos.api(name)()


def parse(text: str, name: str, where: str) -> Any:
    """The message of that name in a text.

    Raises:
        Status: It is not one; the message says where it ends to be one.
    """
    made = message(name)
    package = "" if name in _MESSAGES else "tensorflow.serving."
    try:
        return text_format.Parse(text, made)
    except text_format.ParseError as error:
        raise invalid(f"Invalid protobuf file: '{where}'\nError parsing text-format {package}{name}: {error}") from None


def read(path: str | Path, name: str) -> Any:
    """The message of that name in a file.

    Raises:
        Status: There is no such file, or it holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Status("NOT_FOUND", f"{path}; {getattr(error, 'strerror', None) or error}") from None
    return parse(text, name, str(path))


def models(path: str | Path) -> list[Any]:
    """The `ModelConfig` messages of a model server's configuration file; none of an empty one.

    Raises:
        Status: The file cannot be read, or configures something else.
    """
    found = read(path, "ModelServerConfig")
    if found.WhichOneof("config") == "custom_model_config":
        raise Status("UNIMPLEMENTED", f"{path} has a custom_model_config; list models in model_config_list.")
    return list(found.model_config_list.config)
