"""TF Serving's published messages, without importing TensorFlow.

`tensorflow_serving.apis.predict_pb2` imports `tensorflow`, which costs seconds and hundreds of megabytes that a server
over ONNX or LiteRT has no use for. The descriptors in those files are the published contract all the same, so they are
read from the installed packages' sources, by their text, and put into a pool of their own.
"""

from __future__ import annotations

import codecs
import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from kerazoo.errors import PackageMissing

_SERIALIZED = re.compile(r"""AddSerializedFile\(b(['"])((?:\\.|(?!\1).)*)\1\)""", re.DOTALL)
"""The literal of bytes that holds a file's descriptor."""

_POOL = descriptor_pool.DescriptorPool()
_PACKAGES = {"tensorflow_serving": "tensorflow-serving-api", "tensorflow": "tensorflow", "google": "protobuf"}


@functools.cache
def _add(file: str) -> None:
    serialized = _published(file)
    for needed in descriptor_pb2.FileDescriptorProto.FromString(serialized).dependency:
        _add(needed)
    _POOL.AddSerializedFile(serialized)


def _published(file: str) -> bytes:
    """The serialized descriptor in the Python file that was generated from a `.proto`."""
    file = f"tensorflow/compiler/{file}" if file.startswith("xla/") else file
    package, _, inside = file.partition("/")
    paths = [folder / inside.replace(".proto", "_pb2.py") for folder in _folders(package)]
    path = next(filter(Path.exists, paths), paths[0])
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PackageMissing(f"{file} is not in the installed packages: {error.strerror}: {path}") from None
    # Python's own parser is not used: that of 3.11 fails now and then where several threads parse at once.
    found = _SERIALIZED.search(text)
    if found is not None:
        return codecs.escape_decode(found[2].encode("latin-1"))[0]
    raise PackageMissing(f"{path} holds no descriptor; reinstall {_PACKAGES[package]}.")


@functools.cache
def _folders(package: str) -> list[Path]:
    """Where a package lies; one without an `__init__` (`google`) may lie in several places.

    Raises:
        PackageMissing: It is not installed.
    """
    spec = importlib.util.find_spec(package)  # Finds the package without running it.
    if spec is None or not spec.submodule_search_locations:
        raise PackageMissing(f"The server needs {_PACKAGES[package]}: pip install {_PACKAGES[package]}")
    return [Path(folder) for folder in spec.submodule_search_locations]


@functools.cache
def message(file: str, name: str) -> Any:
    """The class of a message.

    Args:
        file: The `.proto` that declares it, as `tensorflow_serving/apis/predict.proto`.
        name: Its full name, as `tensorflow.serving.PredictRequest`.
    """
    _add(file)
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


@functools.cache
def api(name: str) -> Any:
    """A message of TF Serving's API by its short name, as `PredictRequest`."""
    return message(f"tensorflow_serving/{_API[name]}.proto", f"tensorflow.serving.{name}")


_API = {
    name: file
    for file, names in {
        "apis/classification": "ClassificationRequest ClassificationResponse ClassificationResult Classifications",
        "apis/regression": "RegressionRequest RegressionResponse RegressionResult",
        "apis/predict": "PredictRequest PredictResponse",
        "apis/inference": "MultiInferenceRequest MultiInferenceResponse InferenceResult",
        "apis/input": "Input ExampleList ExampleListWithContext",
        "apis/model": "ModelSpec",
        "apis/get_model_metadata": "GetModelMetadataRequest GetModelMetadataResponse SignatureDefMap",
        "apis/get_model_status": "GetModelStatusRequest GetModelStatusResponse ModelVersionStatus",
        "apis/model_management": "ReloadConfigRequest ReloadConfigResponse",
        "apis/prediction_log": "PredictionLog",
        "config/model_server_config": "ModelServerConfig ModelConfig ModelConfigList",
        "config/file_system_storage_path_source": "FileSystemStoragePathSourceConfig",
    }.items()
    for name in names.split()
}

_CORE = {
    "TensorProto": "framework/tensor",
    "TensorShapeProto": "framework/tensor_shape",
    "Example": "example/example",
    "SavedModel": "protobuf/saved_model",
    "SignatureDef": "protobuf/meta_graph",
    "MetaGraphDef": "protobuf/meta_graph",
}


@functools.cache
def core(name: str) -> Any:
    """A message of TensorFlow itself by its short name, as `TensorProto`."""
    return message(f"tensorflow/core/{_CORE[name]}.proto", f"tensorflow.{name}")


__all__ = ["api", "core", "message"]
