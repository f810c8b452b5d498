"""gRPC: PredictionService and ModelService with TF Serving's published messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from kerazoo.serve import budget
from kerazoo.serve.models import inference
from kerazoo.serve.models.inference import Classes
from kerazoo.serve.models.servable import Handle, Spec
from kerazoo.serve.service import Service
from kerazoo.serve.wire import measure, protos, tensors
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status, invalid

log = logging.getLogger("kerazoo.serve")

LONGEST_MESSAGE = 1024
CUT = "...TRUNCATED"


def spec_of(message: Any) -> Spec:
    """The `Spec` of a `ModelSpec`.

    Raises:
        Status: It names no model.
    """
    if not message.name:
        raise invalid("ModelSpec has no name specified.")
    choice = message.WhichOneof("version_choice")
    return Spec(
        message.name,
        message.version.value if choice == "version" else None,
        message.version_label if choice == "version_label" else None,
    )


def _spec(request: Any) -> Spec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return spec_of(request.model_spec)


def _fill_spec(message: Any, name: str, version: int, signature: str = "") -> None:
    message.name, message.version.value, message.signature_name = name, version, signature


def predict(service: Service, request: Any, deadline: float | None = None) -> Any:
    """Predict."""
    signature = request.model_spec.signature_name or inference.DEFAULT

    def ask(handle: Handle) -> tuple[Any, float]:
        asked = inference.prepared(
            handle.servable, signature, request.inputs, request.output_filter, service.rules, tensors.to_array
        )
        budget.check()
        began = time.perf_counter()
        outputs = handle.servable.run(*asked)
        seconds = time.perf_counter() - began
        budget.spend(2 * sum(array.nbytes for array in outputs.values()))  # The message, and its bytes.
        response = protos.api("PredictResponse")()
        _fill_spec(response.model_spec, handle.name, handle.version, signature)
        for alias, array in outputs.items():
            tensors.to_proto(array, service.as_content, response.outputs[alias])
        return response, seconds

    return service.answered(_spec(request), "Predict", "GRPC", ask)


def classify(service: Service, request: Any, deadline: float | None = None) -> Any:
    """Classify."""
    return _examined(service, request, "Classify", inference.classify, "ClassificationResponse", _classes)


def regress(service: Service, request: Any, deadline: float | None = None) -> Any:
    """Regress."""
    return _examined(service, request, "Regress", inference.regress, "RegressionResponse", _values)


def _examined(service: Service, request: Any, api: str, ask: Any, response_class: str, fill: Any) -> Any:
    """What a signature says of tf.Examples, in the response's own form."""
    signature = request.model_spec.signature_name or inference.DEFAULT

    def examine(handle: Handle) -> tuple[Any, float]:
        examples = inference.serialized(request.input)
        began = time.perf_counter()
        found = ask(handle.servable, signature, examples, service.rules)
        seconds = time.perf_counter() - began
        _count(service, handle.name, len(examples))
        response = protos.api(response_class)()
        _fill_spec(response.model_spec, handle.name, handle.version, signature)
        fill(response.result, found)
        return response, seconds

    return service.answered(_spec(request), api, "GRPC", examine)


def multi_inference(service: Service, request: Any, deadline: float | None = None) -> Any:
    """MultiInference: several signatures of one model on the same examples."""
    first = request.tasks[0].model_spec if request.tasks else protos.api("ModelSpec")()
    with service.models.hold(spec_of(first)) as handle:
        names = [task.model_spec.name for task in request.tasks]
        if not all(names):
            raise invalid("Found ModelSpec with an empty model name.")
        if len(set(names)) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        tasks = [(task.model_spec.signature_name or inference.DEFAULT, task.method_name) for task in request.tasks]
        examples = inference.serialized(request.input)
        results = inference.several(handle.servable, tasks, examples, service.rules)
        _count(service, handle.name, len(examples))
        response = protos.api("MultiInferenceResponse")()
        for (signature, _), found in zip(tasks, results, strict=True):
            row = response.results.add()
            _fill_spec(row.model_spec, handle.name, handle.version, signature)
            if isinstance(found, Classes):
                _classes(row.classification_result, found)
            else:
                _values(row.regression_result, found)
        return response


def _count(service: Service, name: str, examples: int) -> None:
    service.metrics.examples.add(name, by=examples)
    service.metrics.example_counts.observe(name, value=examples)


def _classes(result: Any, found: Classes) -> None:
    for pairs in found.pairs():
        classifications = result.classifications.add()
        for label, score in pairs:
            classifications.classes.add(label=label.decode("utf-8", "replace"), score=score)


def _values(result: Any, found: np.ndarray) -> None:
    result.SetInParent()
    for value in found.tolist():
        result.regressions.add(value=value)


def model_metadata(service: Service, request: Any, deadline: float | None = None) -> Any:
    """GetModelMetadata."""
    spec = _spec(request)
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid(f"Metadata field {field} is not supported")
    with service.models.hold(spec) as handle:
        signatures = protos.api("SignatureDefMap")()
        for key, described in handle.servable.signatures.items():
            signatures.signature_def[key].CopyFrom(described)
        response = protos.api("GetModelMetadataResponse")()
        response.model_spec.name, response.model_spec.version.value = handle.name, handle.version
        response.metadata["signature_def"].Pack(signatures)
        return response


def model_status(service: Service, request: Any, deadline: float | None = None) -> Any:
    """GetModelStatus: a label is not looked at, as TF Serving does not."""
    spec = _spec(request)
    response = protos.api("GetModelStatusResponse")()
    numbers = protos.api("ModelVersionStatus").State
    for number, state, error in service.models.states(spec.name, spec.version):
        row = response.model_version_status.add(version=number, state=numbers.Value(state))
        row.status.SetInParent()
        if error is not None:
            row.status.error_code, row.status.error_message = error.number, error.message
    return response


def reload_config(service: Service, request: Any, deadline: float | None = None) -> Any:
    """HandleReloadConfigRequest: the given list of models takes the place of the one before."""
    service.access.check_reload()
    response = protos.api("ReloadConfigResponse")()
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    service.models.configure(request.config.model_config_list.config, deadline)
    response.status.SetInParent()
    return response


Method = Callable[[Service, Any, float | None], Any]
SERVICES: Mapping[str, Mapping[str, tuple[Method, str]]] = {
    "PredictionService": {
        "Predict": (predict, "PredictRequest"),
        "Classify": (classify, "ClassificationRequest"),
        "Regress": (regress, "RegressionRequest"),
        "MultiInference": (multi_inference, "MultiInferenceRequest"),
        "GetModelMetadata": (model_metadata, "GetModelMetadataRequest"),
    },
    "ModelService": {
        "GetModelStatus": (model_status, "GetModelStatusRequest"),
        "HandleReloadConfigRequest": (reload_config, "ReloadConfigRequest"),
    },
}


@dataclass(frozen=True)
class Answering:
    """One method of one server, from a serialized request to a serialized response."""

    service: Service
    method: Method
    request_class: Any

    def parse(self, request: bytes) -> Any:
        """The request's message.

        Raises:
            Status: The bytes are none, or it would need more memory than there is.
        """
        budget.spend(measure.needed(request, self.request_class, budget.limits().fields))
        try:
            return self.request_class.FromString(request)
        except DecodeError as error:
            raise Status("INTERNAL", f"Failed to parse the request: {error}") from None

    def answer(self, request: Any, deadline: float | None = None) -> bytes:
        """The response to a message.

        Raises:
            Status: Whatever goes wrong.
        """
        try:
            if self.counted:
                name = request.model_spec.name
                answered = self.service.counted(name, lambda: self.method(self.service, request, None))
            else:
                answered = self.method(self.service, request, deadline)
            return answered.SerializeToString()
        except Exception as error:
            failed = status_.of(error)
            if failed.code == "INTERNAL" and not isinstance(error, Status):
                log.exception("%s failed", getattr(self.method, "__name__", self.method))
            raise failed from None

    def __call__(self, request: bytes, deadline: float | None = None) -> bytes:
        """`parse` and `answer`."""
        return self.answer(self.parse(request), deadline)

    @property
    def counted(self) -> bool:
        return self.method in (predict, classify, regress)

    @property
    def reloads(self) -> bool:
        return self.method is reload_config


def answering(service: Service) -> dict[str, dict[str, Answering]]:
    """Service -> method -> what answers it."""
    return {
        f"tensorflow.serving.{name}": {
            method: Answering(service, function, protos.api(request)) for method, (function, request) in methods.items()
        }
        for name, methods in SERVICES.items()
    }


def cut(message: str) -> str:
    """A message that fits into gRPC's trailers, marked where it was longer."""
    data = message.encode()
    if len(data) <= LONGEST_MESSAGE:
        return message
    return data[:LONGEST_MESSAGE].decode(errors="ignore") + CUT
