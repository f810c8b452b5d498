"""A server's model as a predictor: Kerazoo's server, or a real TF Serving that serves a bundle of Kerazoo's."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from kerazoo import errors, registry, tasks
from kerazoo.contract import Answer, Port, Task, Tensors
from kerazoo.errors import KerazooError, UnknownModel, UsageError
from kerazoo.predictor import Predictor
from kerazoo.serve.wire import tensors

ABOUT = "/kerazoo/models"
"""Where Kerazoo's server says which models it has, and what they do; TF Serving has no such page."""


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
        return Predictor(model, _known(model), "remote", _over_grpc(parts.netloc, model, token, timeout), plain=True)
    get = _Http(url, token, timeout)
    name, task = _about(get, model)
    return Predictor(name, task, "remote", _over_rest(get, name, task), plain=True)


def _about(get: _Http, model: str | None) -> tuple[str, Task]:
    """Name and task of the model: as the server says, or else as this machine's registry knows it."""
    status, body = get("GET", ABOUT)
    rows = {row["name"]: row for row in json.loads(body)["models"]} if status == 200 else {}
    if model is None:
        if len(rows) != 1:
            raise UsageError(f"Name the model; the server has {', '.join(rows) or 'not said which it has'}.")
        model = next(iter(rows))
    if model in rows:
        if rows[model]["task"] is None:
            raise UsageError(f"{model} was not exported by Kerazoo, so its labels and its task are not known.")
        return model, tasks.from_card(rows[model]["task"])
    if status == 200:
        raise UnknownModel(f"The server has no model {model!r}.{errors.near(model, rows)}")
    return model, _known(model)


def _known(model: str) -> Task:
    try:
        several, _ = registry.tasks_of(registry.find(model))
        return next(iter(several.values()))
    except UnknownModel:
        raise UnknownModel(
            f"Nobody says what {model!r} does: the server has no page {ABOUT}, and no variant is called so."
        ) from None


class _Http:
    """Requests to one server, over one kept connection a thread."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self.parts = urlsplit(url)
        self.timeout = timeout
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.own = threading.local()
        self.opened: list[http.client.HTTPConnection] = []
        weakref.finalize(self, _close, self.opened)

    def __call__(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        for attempt in (1, 2):
            kept = hasattr(self.own, "connection")
            try:
                connection = self.own.connection if kept else self._connect()
                connection.request(method, self.parts.path.rstrip("/") + path, body, self.headers)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                # A server may close a kept connection at any time; a new one is tried once.
                if kept and attempt == 1 and not isinstance(error, TimeoutError):
                    continue
                why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise KerazooError(f"{self.parts.scheme}://{self.parts.netloc} does not answer: {why}.") from None
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
        self.own.connection = kind(str(self.parts.hostname), self.parts.port, timeout=self.timeout)
        self.opened.append(self.own.connection)
        return self.own.connection

    def _drop(self) -> None:
        if hasattr(self.own, "connection"):
            self.own.connection.close()
            self.opened.remove(self.own.connection)
            del self.own.connection


def _close(connections: list[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _over_rest(get: _Http, model: str, task: Task) -> Answer:
    path = f"/v1/models/{quote(model, safe='')}:predict"

    def answer(request: Tensors) -> Tensors:
        inputs = {port.name: _plain(port, request[port.name]) for port in task.request}
        status, body = get("POST", path, json.dumps({"inputs": inputs}).encode())
        try:
            answered = json.loads(body)
        except ValueError:
            raise KerazooError(f"The server's answer ({status}) is not JSON: {body[:80]!r}") from None
        if status != 200:
            raise _error(status, str(answered.get("error", body[:200])))
        outputs = answered["outputs"]
        ports = task.response
        return {p.name: _array(p, outputs if len(ports) == 1 else outputs[p.name]) for p in ports}

    return answer


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


def _over_grpc(address: str, model: str, token: str | None, timeout: float) -> Answer:
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
        return {name: tensors.to_array(proto, name) for name, proto in response.outputs.items()}

    return answer
