"""A server's model as a predictor: Kerazoo's server, or a real TF Serving that serves a bundle of Kerazoo's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from kerazoo import errors, http, registry, tasks
from kerazoo.contract import Answer, Port, Task, Tensors
from kerazoo.errors import KerazooError, UnknownModel, UsageError
from kerazoo.predictor import Predictor
from kerazoo.serve.wire import tensors

ABOUT = "/kerazoo/models"
"""Where Kerazoo's server says which models it has, and what they do; TF Serving has no such page."""

FILES = "/kerazoo/files"
"""Where it gives the files that travel beside a model's card, such as a vocabulary."""

MOST_BYTES = 512 << 20
"""Of an answer; a song's stems as base64 are some 100 MiB."""


def Client(url: str, model: str | None = None, *, token: str | None = None, timeout: float = 60.0) -> Predictor:
    """A predictor that asks a server.

    Args:
        url: `http://host:8501` or `https://...` for REST, `grpc://host:8500` for gRPC.
        model: Its name there; may be left out where a Kerazoo server has only one.
        token: Bearer token, where the server wants one.
        timeout: Seconds for one answer.

    Returns:
        A `kerazoo.Predictor`: its results are those of the same model on this machine.

    Raises:
        UsageError: The address is none, or the model must be named.
        UnknownModel: The server has no such model, or nobody knows what it does.
        KerazooError: The server does not answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "grpc") or not parts.hostname:
        raise UsageError(f"{url} is not the address of a server; write http://host:8501 or grpc://host:8500.")
    if parts.scheme == "grpc":
        if model is None:
            raise UsageError("Over gRPC the model must be named.")
        task = _known(model, "gRPC cannot say it; Kerazoo's server does at its address for REST, http://host:8501")
        return Predictor(model, task, "remote", _over_grpc(parts.netloc, model, task, token, timeout), plain=True)
    get = _Http(url, token, timeout)
    name, task = _about(get, model)
    return Predictor(name, task, "remote", _over_rest(get, name, task), plain=True)


def _about(get: _Http, model: str | None) -> tuple[str, Task]:
    """Name and task of the model: as the server says, or else as this machine's registry knows it."""
    status, body = get("GET", ABOUT)
    rows = _rows(body) if status == 200 else {}
    if model is None:
        if len(rows) != 1:
            raise UsageError(f"Name the model; the server has {', '.join(rows) or 'not said which it has'}.")
        model = next(iter(rows))
    if model in rows:
        if rows[model] is None:
            raise UsageError(f"{model} was not exported by Kerazoo, so its labels and its task are not known.")
        return model, _task(model, rows[model], get)
    if status == 200:
        raise UnknownModel(f"The server has no model {model!r}.{errors.near(model, rows)}")
    return model, _known(model, f"the server has no page {ABOUT}")


def _task(model: str, card: Any, get: _Http) -> Task:
    def read(name: str) -> bytes:
        status, body = get("GET", f"{FILES}?model={quote(model, safe='')}&name={quote(name, safe='')}")
        if status != 200:
            raise KerazooError(f"The server does not give the file {name} of {model!r} ({status}): {_start(body)}.")
        return body

    try:
        return tasks.from_card(card, read)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise KerazooError(f"The server's card of {model!r} cannot be read: {error!r}.") from None


def _rows(body: bytes) -> dict[str, Any]:
    """Name -> the card of its task, of the page `ABOUT`."""
    try:
        rows = {row["name"]: row["task"] for row in json.loads(body)["models"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        rows = {None: None}
    if not all(isinstance(name, str) for name in rows):
        raise KerazooError(f"The server's page {ABOUT} does not say what it serves; it answered {_start(body)}.")
    return rows


def _start(body: bytes) -> str:
    return repr(body[:60]) + ("..." if len(body) > 60 else "")


def _known(model: str, why: str) -> Task:
    """The task of a variant; `why` tells why the server was not asked."""
    try:
        several, _ = registry.tasks_of(registry.find(model))
        return next(iter(several.values()))
    except UnknownModel:
        raise UnknownModel(f"Nobody says what {model!r} does: no variant is called so, and {why}.") from None


@dataclass(frozen=True)
class _Http:
    """Requests to one server, from any number of threads."""

    url: str
    token: str | None
    timeout: float

    def __call__(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        limits = http.Limits(self.timeout, MOST_BYTES)
        try:
            return http.exchange(method, self.url.rstrip("/") + path, limits, headers=headers, body=body)
        except http.Failed as error:
            parts = urlsplit(self.url)
            address = parts.netloc.rpartition("@")[2]
            raise KerazooError(f"{parts.scheme}://{address} does not answer: {error}.") from None


def _over_rest(get: _Http, model: str, task: Task) -> Answer:
    path = f"/v1/models/{quote(model, safe='')}:predict"

    def answer(request: Tensors) -> Tensors:
        inputs = {port.name: _plain(port, request[port.name]) for port in task.request}
        status, body = get("POST", path, json.dumps({"inputs": inputs}).encode())
        try:
            answered = json.loads(body)
        except (ValueError, RecursionError):
            raise KerazooError(f"The server's answer ({status}) is not JSON: {_start(body)}.") from None
        if status != 200:
            told = answered.get("error") if isinstance(answered, dict) else None
            raise _error(status, told if isinstance(told, str) else _start(body))
        if not isinstance(answered, dict) or "outputs" not in answered:
            raise KerazooError(f"The server's answer has no outputs: {_start(body)}.")
        outputs = answered["outputs"]
        if len(task.response) == 1:
            outputs = {task.response[0].name: outputs}
        return _whole(task, outputs, _array)

    return answer


def _whole(task: Task, outputs: Any, read: Callable[[Port, Any], np.ndarray]) -> Tensors:
    """The answer's arrays, if it has all of them and each is of its port's type and shape."""
    arrays = {}
    for port in task.response:
        if not isinstance(outputs, Mapping) or port.name not in outputs:
            raise KerazooError(f"The server's answer has no output {port.name!r}; is another model called so there?")
        try:
            array = read(port, outputs[port.name])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise KerazooError(f"The server's answer for {port.name!r} is not {port.dtype}: {error}.") from None
        fits = array.ndim == len(port.shape) and all(
            size in (None, found) for size, found in zip(port.shape, array.shape, strict=True)
        )
        if not fits or (array.dtype == object) != (port.dtype == "string"):
            raise KerazooError(
                f"The server's answer for {port.name!r} is {array.dtype} {list(array.shape)}; "
                f"the model's is {port.dtype} {list(port.shape)}."
            )
        arrays[port.name] = array
    return arrays


def _plain(port: Port, value: Any) -> Any:
    if port.dtype != "string":
        return np.asarray(value).tolist()
    return _each(np.asarray(value, object).tolist(), lambda text: {"b64": base64.b64encode(text).decode()})


def _array(port: Port, value: Any) -> np.ndarray:
    if port.dtype != "string":
        return np.asarray(value, port.dtype)
    decode: Callable[[Any], bytes] = (
        (lambda item: base64.b64decode(item["b64"])) if tensors.is_binary(port.name) else str.encode
    )
    plain = _each(value, decode)
    shape = []
    inner = plain
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    array = np.empty(shape, object)
    array[...] = plain
    return array


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    return [_each(item, change) for item in value] if isinstance(value, list) else change(value)


def _error(status: int, message: str) -> KerazooError:
    kinds: Mapping[int, type[KerazooError]] = {400: errors.InputError, 404: UnknownModel, 413: errors.InputError}
    return kinds.get(status, KerazooError)(message)


def _over_grpc(address: str, model: str, task: Task, token: str | None, timeout: float) -> Answer:
    import grpc

    from kerazoo.serve.rpc.listening import LARGEST
    from kerazoo.serve.wire import protos

    limits = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    channel = grpc.insecure_channel(address, options=limits)
    call = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=protos.api("PredictResponse").FromString,
    )

    def answer(request: Tensors) -> Tensors:
        message = protos.api("PredictRequest")()
        message.model_spec.name = model
        for name, value in request.items():
            message.inputs[name].CopyFrom(tensors.to_proto(np.asarray(value)))
        try:
            response = call(message, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details()
            if code == "UNAVAILABLE":
                raise KerazooError(f"grpc://{address} does not answer: {details}") from None
            status = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404}.get(code, 500)
            raise _error(status, f"{details}") from None
        return _whole(task, response.outputs, lambda port, proto: tensors.to_array(proto, port.name))

    return answer
