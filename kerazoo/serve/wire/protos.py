"""The messages on the wire and in files, from the `.proto` files beside this one.

TF Serving's own modules (`tensorflow_serving.apis.predict_pb2`) import `tensorflow`, which costs seconds and gigabytes
that a server over ONNX or LiteRT has no use for. These messages are the same ones, in a pool of their own, so that both
can live in one process.
"""

from __future__ import annotations

import functools
import importlib.resources
from typing import Any

from google.protobuf import any_pb2, descriptor_pool, message_factory, wrappers_pb2

from kerazoo.serve.wire import declarations

FILES = ("tensorflow.proto", "serving.proto", "config.proto")


def _declared() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for published in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(published.DESCRIPTOR.serialized_pb)
    here = importlib.resources.files(__package__)
    for name in FILES:
        declared = declarations.parse(here.joinpath(name).read_text(encoding="utf-8"), name)
        pool.AddSerializedFile(declared.SerializeToString())
    return pool


_POOL = _declared()


@functools.cache
def message(name: str) -> Any:
    """The class of a message by its full name, as `tensorflow.serving.PredictRequest`."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


@functools.cache
def api(name: str) -> Any:
    """A message of TF Serving's API by its short name, as `PredictRequest`."""
    return message(f"tensorflow.serving.{name}")


@functools.cache
def core(name: str) -> Any:
    """A message of TensorFlow itself by its short name, as `TensorProto`."""
    return message(f"tensorflow.{name}")
