"""TF Serving's REST: which path asks for what, and what a body means. No sockets here, and no event loop.

A request is `Request`, an answer is `Response`; `http` carries both over the wire.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np
from google.protobuf import json_format

from kerazoo.serve import budget
from kerazoo.serve.models import inference
from kerazoo.serve.models.servable import Handle, Servable, Spec
from kerazoo.serve.service import Service
from kerazoo.serve.wire import json_examples, json_tensors, json_text, protos, tensors
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status, invalid

JSON = "application/json"
API = "/v1/"
CHUNK = 1 << 18
"""Bytes that are inflated at a time."""

_ASK = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(/metadata)?", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """An HTTP request, whole.

    Attributes:
        path: As it was sent, the query string included.
        headers: Names in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def error(failed: Status) -> Response:
    """The body that every failure has."""
    text = json.dumps({"error": failed.message}, ensure_ascii=False)
    return Response(failed.http, text.encode("utf-8", "replace"))


def is_api(path: str) -> bool:
    """Whether a path is one of TF Serving's API, right or wrong; letters match in either case."""
    return path[: len(API)].lower() == API


def model_of(path: str) -> str:
    """The model that a path asks for; empty where it asks for none."""
    found = _ASK.fullmatch(path) or _LOOK.fullmatch(path)
    return unquote(found[1]) if found and found[1] else ""


def answer(service: Service, request: Request) -> Response:
    """Answers a request to a path under `/v1/`; every failure is an answer too."""
    if request.method == "OPTIONS":
        known = request.headers.get("origin", "").startswith(("http://", "https://"))
        return Response(200 if known else 400)
    try:
        return service.counted(model_of(request.path), lambda: _answer(service, request))
    except Exception as failure:
        return error(status_.of(failure))


def _answer(service: Service, request: Request) -> Response:
    asked, looked = _ASK.fullmatch(request.path), _LOOK.fullmatch(request.path)
    if request.method == "POST" and asked is not None and asked[4].islower():
        spec = _spec(asked)
        ask = {"predict": _predict, "classify": _examples, "regress": _examples}[asked[4]]
        return Response(200, ask(service, spec, asked[4], request))
    if request.method == "GET" and looked is not None:
        if not looked[1]:
            raise invalid("Missing model name in request.")
        spec = _spec(looked)
        return Response(200, _metadata(service, spec) if looked[4] else _status(service, spec))
    raise invalid(f"Malformed request: {request.method} {request.path}")


def _spec(found: re.Match[str]) -> Spec:
    version = None
    if found[2] is not None:
        version = int(found[2])
        if version >= 1 << 63:
            raise invalid(f"Failed to convert version: {found[2]} to numeric.")
    return Spec(unquote(found[1]), version, unquote(found[3]) if found[3] is not None else None)


def _body(request: Request) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Status: It is none, or `signature_name` is not a text.
    """
    body = json_text.parse(_plain(request))
    if not isinstance(body, dict):
        raise invalid(f"JSON Value: {json_text.quoted(body)} Is not object")
    if not isinstance(body.get("signature_name", ""), str):
        raise invalid("'signature_name' key must be a string value.")
    return body


def _plain(request: Request) -> bytes:
    """The body, inflated where it was compressed; empty where that fails, as TF Serving has it."""
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return request.body
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    made, rest = bytearray(), request.body
    most = budget.limits().inflated
    try:
        while rest and not inflater.eof:
            budget.check()
            piece = inflater.decompress(rest, CHUNK)
            budget.spend(2 * len(piece))  # Once more as the whole.
            made += piece
            rest = inflater.unconsumed_tail
            if len(made) > most:
                return b""
    except zlib.error:
        return b""
    return bytes(made) if inflater.eof else b""


def _predict(service: Service, spec: Spec, api: str, request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    picture = kind.startswith("image/") or kind == "application/octet-stream"
    body = {} if picture else _body(request)

    def ask(handle: Handle) -> tuple[bytes, float]:
        signature = body.get("signature_name") or inference.DEFAULT
        described = handle.servable.signatures.get(signature)
        if described is None:
            raise invalid(f'Serving signature name: "{signature}" not found in signature def')
        if picture:
            inputs, as_rows = _picture(handle.servable, request), True
        else:
            inputs, as_rows = json_tensors.inputs(body, described, signature)
        budget.check()
        began = time.perf_counter()
        outputs = inference.predict(handle.servable, signature, inputs, rules=service.rules)
        seconds = time.perf_counter() - began
        return json_tensors.response(outputs, as_rows), seconds

    return service.answered(spec, api, "REST", ask)


def _picture(servable: Servable, request: Request) -> dict[str, np.ndarray]:
    """The body itself as one row of the signature's only encoded input."""
    names = list(servable.signatures[inference.DEFAULT].inputs)
    if len(names) != 1 or not tensors.is_binary(names[0]):
        raise invalid(f"A picture as the body needs a model with one input of encoded bytes; this has {sorted(names)}.")
    value = np.empty(1, object)
    value[0] = _plain(request)
    return {names[0]: value}


def _examples(service: Service, spec: Spec, api: str, request: Request) -> bytes:
    body = _body(request)
    examples = json_examples.examples(body)

    def ask(handle: Handle) -> tuple[bytes, float]:
        signature = body.get("signature_name", "")
        service.metrics.examples.add(handle.name, by=len(examples))
        service.metrics.example_counts.observe(handle.name, value=len(examples))
        began = time.perf_counter()
        found: Any = (inference.classify if api == "classify" else inference.regress)(
            handle.servable, signature, examples, service.rules
        )
        seconds = time.perf_counter() - began
        write: Any = json_examples.classifications if api == "classify" else json_examples.regressions
        return write(found), seconds

    return service.answered(spec, api, "REST", ask)


def _status(service: Service, spec: Spec) -> bytes:
    rows = []
    for number, state, failed in service.models.states(spec.name, spec.version):
        code, message = ("OK", "") if failed is None else (failed.code, failed.message)
        rows.append({"version": str(number), "state": state, "status": {"error_code": code, "error_message": message}})
    return json.dumps({"model_version_status": rows}).encode()


def _metadata(service: Service, spec: Spec) -> bytes:
    with service.models.hold(spec) as handle:
        signatures = protos.api("SignatureDefMap")()
        for key, described in handle.servable.signatures.items():
            signatures.signature_def[key].CopyFrom(described)
        plain = json_format.MessageToDict(
            signatures, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
        )
        told = {"name": handle.name, "signature_name": "", "version": str(handle.version)}
        return json.dumps({"model_spec": told, "metadata": {"signature_def": plain}}).encode()
