"""What the REST port shows beside `/v1/`: readiness, metrics, what there is, and a page to try it on."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kerazoo import __version__, codecs, tasks
from kerazoo.contract import Port
from kerazoo.engines.card import Card
from kerazoo.serve.client import ABOUT, FILES
from kerazoo.serve.http.app import Page
from kerazoo.serve.http.rest import JSON, Request, Response, takes
from kerazoo.serve.models import signatures
from kerazoo.serve.models.inference import DEFAULT
from kerazoo.serve.models.servable import Spec
from kerazoo.serve.service import Service
from kerazoo.serve.wire import tensors
from kerazoo.serve.wire.status import Status

TEXT = "text/plain"

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
"""Of the page's files: what the machine has registered for them differs from one to the next."""


def pages(service: Service, metrics: str | None) -> dict[str, Page]:
    """Path -> what answers it.

    Args:
        metrics: Path of the metrics; `None` for nowhere.
    """

    def healthz(request: Request) -> Response:
        return Response(200, b"ok\n", TEXT)

    def readyz(request: Request) -> Response:
        ready = service.models.ready() and not service.models.stopped.is_set()
        return Response(200 if ready else 503, b"ready\n" if ready else b"not ready\n", TEXT)

    def counted(request: Request) -> Response:
        if "?" in request.path:
            return Response(400, f"Unexpected path: {request.path}".encode(), TEXT)
        return Response(200, service.metrics.text().encode(), TEXT)

    def about(request: Request) -> Response:
        return Response(200, json.dumps({"models": models(service)}, ensure_ascii=False).encode())

    def beside(request: Request) -> Response:
        asked = parse_qs(urlsplit(request.path).query)
        model, name = (asked.get(key, [""])[0] for key in ("model", "name"))
        data = files(service, model).get(name)
        if data is None:
            return Response(404, json.dumps({"error": f"No file {name!r} beside the model {model!r}."}).encode())
        return Response(200, data, "application/octet-stream")

    def openapi(request: Request) -> Response:
        return Response(200, json.dumps(description(service), ensure_ascii=False, indent=1).encode())

    def file(name: str) -> Page:
        data = importlib.resources.files("kerazoo.serve.http").joinpath("page", name).read_bytes()
        return lambda request: Response(200, data, f"{TYPES[Path(name).suffix]}; charset=utf-8")

    found: dict[str, Page] = {
        "/": file("index.html"),
        **{f"/page/{name}": file(name) for name in ("style.css", "draw.js", "ask.js")},
        "/healthz": healthz,
        "/readyz": readyz,
        "/openapi.json": openapi,
        ABOUT: about,
        FILES: beside,
    }
    if metrics is not None:
        found[metrics] = counted
    return found


def models(service: Service) -> list[dict[str, Any]]:
    """Every model that answers: name, version, engine, and what it does where it has a card."""
    rows = []
    for name in sorted(service.models.models):
        try:
            with service.models.hold(Spec(name)) as handle:
                card = handle.servable.card
                rows.append(
                    {
                        "name": name,
                        "version": handle.version,
                        "engine": handle.servable.engine,
                        "model": card.model if card else None,
                        "task": tasks.to_card(card.task)[0] if card else None,
                        "signatures": _answers(card) if card else None,
                    }
                )
        except Status:
            continue  # On its way in or out.
    return rows


def files(service: Service, name: str) -> dict[str, bytes]:
    """The files beside the card of what a model does; none where it does not answer or has no card."""
    try:
        with service.models.hold(Spec(name)) as handle:
            card = handle.servable.card
    except Status:
        return {}
    return tasks.to_card(card.task)[1] if card else {}


def _answers(card: Card) -> list[dict[str, Any]]:
    """The signatures that answer a task, the default one first, with what a person gives and gets.

    With them those of the same task that tell more; a task that speaks as other programs expect it is not for a person.
    """
    found = []
    ours = {type(task) for task in card.tasks.values()}
    names = signatures.of_tasks(card)
    for signature, task in signatures.answered(card).items():
        if type(task) not in ours:
            continue
        found.append(
            {
                "signature": signature,
                "task": names.get(signature, signature),
                "request": [_port(port) for port in task.request],
                "response": [_port(port) for port in task.response],
                "labels": getattr(task, "labels", None),
                "bones": getattr(task, "bones", None),
            }
        )
    return found


def _port(port: Port) -> dict[str, Any]:
    codec = codecs.of(port)
    return {
        "name": port.name,
        "dtype": port.dtype,
        "shape": port.shape,
        "media": port.media,
        "mime": codec.MIME,
        "suffixes": codec.SUFFIXES,
    }


def description(service: Service) -> dict[str, Any]:
    """The REST surface as OpenAPI 3.1, with the inputs and outputs of each model's default signature."""
    paths: dict[str, Any] = {}
    for row in models(service):
        name = row["name"]
        with service.models.hold(Spec(name)) as handle:
            described, taken = handle.servable.signatures.get(DEFAULT), takes(handle.servable)
        inputs = {alias: _schema(alias, info) for alias, info in described.inputs.items()} if described else {}
        outputs = {alias: _schema(alias, info) for alias, info in described.outputs.items()} if described else {}
        content: dict[str, Any] = {JSON: {"schema": _object({"inputs": _object(inputs)})}}
        if taken is not None:
            content[taken[1]] = {"schema": {"type": "string", "format": "binary"}}
        answer = next(iter(outputs.values())) if len(outputs) == 1 else _object(outputs)
        paths[f"/v1/models/{name}:predict"] = {
            "post": {
                "summary": f"Ask {row['model'] or name}",
                "operationId": f"predict_{name}",
                "requestBody": {"required": True, "content": content},
                "responses": {
                    "200": _answer("The outputs, in columns as the inputs were", _object({"outputs": answer})),
                    "default": _answer("Why it could not be answered", _object({"error": {"type": "string"}})),
                },
            }
        }
        for suffix, about in (("", "Versions and their states"), ("/metadata", "Signatures")):
            paths[f"/v1/models/{name}{suffix}"] = {
                "get": {"summary": about, "responses": {"200": _answer(about, {"type": "object"})}}
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kerazoo", "version": __version__, "description": "TF Serving's REST API"},
        "paths": paths,
    }


def _answer(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {JSON: {"schema": schema}}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _schema(alias: str, info: Any) -> dict[str, Any]:
    """A tensor as nested arrays of its values."""
    kinds = {7: "string", 10: "boolean", 1: "number", 2: "number", 14: "number", 19: "number"}
    schema: dict[str, Any] = {"type": kinds.get(info.dtype, "integer")}
    if tensors.is_binary(alias):
        schema = _object({"b64": {"type": "string", "contentEncoding": "base64"}})
    for dim in reversed(info.tensor_shape.dim):
        schema = {"type": "array", "items": schema}
        if dim.size >= 0:
            schema |= {"minItems": dim.size, "maxItems": dim.size}
    return schema
