"""Goldens: a tiny request with its answer, and the network calls in between, by which every copy is checked."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.contract import Network, Port, Task, Tensors
from kerazoo.predictor import stack


@dataclass(frozen=True)
class Call:
    """One call of a network, as it was made while the golden was answered."""

    part: str
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class Golden:
    """A request, its answer, and what the network was asked in between."""

    request: dict[str, Any]
    response: dict[str, Any]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class _Recorder:
    inner: Network
    calls: list[Call]
    here: str = "network"

    @property
    def ops(self) -> Any:
        return self.inner.ops

    def __call__(self, inputs: Tensors) -> Tensors:
        outputs = self.inner(inputs)
        self.calls.append(Call(self.here, dict(inputs), dict(outputs)))
        return outputs

    def part(self, name: str) -> _Recorder:
        return _Recorder(self.inner.part(name), self.calls, name)


def answer(task: Task, network: Network, request: Tensors | None = None) -> Golden:
    """Asks the golden request and records everything that the network was asked."""
    request = dict(request or golden_request(task))
    calls: list[Call] = []
    response = task.answer(_Recorder(network, calls), request)
    return Golden(request, dict(response), tuple(calls))


def golden_request(task: Task) -> dict[str, Any]:
    """A small request with something to see in it, the same on every machine."""
    own = getattr(task, "golden", None)
    rows = [own()] if own is not None else [{port.name: _value(port) for port in task.request}]
    return stack(task, rows)


def _value(port: Port) -> Any:
    if port.name.endswith("_bytes"):
        return picture()
    if port.name == "seed":
        return 7
    raise ValueError(f"The task must say with a method `golden` what its port {port.name} is asked.")


def picture(height: int = 60, width: int = 80) -> bytes:
    """A PNG with colours, edges and slopes."""
    y, x = np.mgrid[0:height, 0:width]
    red = (x * 255) // (width - 1)
    green = np.where((x // 10 + y // 10) % 2 == 0, 220, 40)
    blue = np.where((x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 3) ** 2, 250, (y * 180) // height)
    out = io.BytesIO()
    Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8)).save(out, "PNG", optimize=True)
    return out.getvalue()


def to_card(golden: Golden) -> dict[str, Any]:
    """Request and answer as JSON-able values; the network's calls stay behind, they are large."""
    return {side: {k: _plain(v) for k, v in getattr(golden, side).items()} for side in ("request", "response")}


def from_card(card: Mapping[str, Any]) -> Golden:
    """The inverse of `to_card`, without calls."""
    request, response = ({k: _array(v) for k, v in card[side].items()} for side in ("request", "response"))
    return Golden(request, response, ())


def _plain(array: Any) -> dict[str, Any]:
    array = np.asarray(array)
    if array.dtype == object:
        values: list[Any] = [base64.b64encode(value).decode() for value in array.reshape(-1).tolist()]
        return {"dtype": "string", "shape": list(array.shape), "b64": values}
    return {"dtype": str(array.dtype), "shape": list(array.shape), "values": array.reshape(-1).tolist()}


def _array(plain: Mapping[str, Any]) -> np.ndarray:
    if plain["dtype"] == "string":
        array = np.empty(len(plain["b64"]), object)
        array[:] = [base64.b64decode(value) for value in plain["b64"]]
    else:
        array = np.array(plain["values"], plain["dtype"])
    return array.reshape(plain["shape"])


def save(golden: Golden, path: Any) -> None:
    """Everything, calls included, as one .npz without pickles."""
    arrays = {"card": np.frombuffer(json.dumps(to_card(golden)).encode(), np.uint8)}
    for index, call in enumerate(golden.calls):
        for side, tensors in (("inputs", call.inputs), ("outputs", call.outputs)):
            arrays |= {f"{index}/{call.part}/{side}/{name}": tensor for name, tensor in tensors.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Any) -> Golden:
    """The inverse of `save`."""
    with np.load(path, allow_pickle=False) as archive:
        stored = {name: archive[name] for name in archive.files}
    golden = from_card(json.loads(stored.pop("card").tobytes()))
    calls: dict[int, Call] = {}
    for key, tensor in stored.items():
        index, part, side, name = key.split("/", 3)
        call = calls.setdefault(int(index), Call(part, {}, {}))
        (call.inputs if side == "inputs" else call.outputs)[name] = tensor
    return Golden(golden.request, golden.response, tuple(calls[index] for index in sorted(calls)))
