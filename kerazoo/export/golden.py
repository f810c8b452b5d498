"""Goldens: a tiny request with its answer, and the network calls in between, by which every copy is checked."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerazoo import codecs
from kerazoo.contract import Network, Task, Tensors
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import GateError
from kerazoo.predictor import stack
from kerazoo.registry import Built

KEPT = 3
"""Of the calls of one part the first so many are kept, and the last: a loop asks hundreds of times."""


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
class Recorder:
    """A network that keeps what it is asked: the first calls and the last of each part."""

    inner: Network
    here: str = "network"
    kept: dict[str, list[Call]] = field(default_factory=dict)

    @property
    def ops(self) -> Any:
        return self.inner.ops

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(call for calls in self.kept.values() for call in calls)

    def __call__(self, inputs: Tensors) -> Tensors:
        outputs = self.inner(inputs)
        calls = self.kept.setdefault(self.here, [])
        del calls[KEPT:]
        calls.append(Call(self.here, dict(inputs), dict(outputs)))
        return outputs

    def part(self, name: str) -> Recorder:
        return Recorder(self.inner.part(name), name, self.kept)


def answer(task: Task, network: Network, request: Tensors | None = None) -> Golden:
    """Asks the golden request and records what the network was asked."""
    request = dict(request or golden_request(task))
    recorder = Recorder(network)
    response = task.answer(recorder, request)
    return Golden(request, dict(response), recorder.calls)


def golden_request(task: Task) -> dict[str, Any]:
    """A small request with something to see in it, the same on every machine."""
    rng = np.random.default_rng(7)
    own = getattr(task, "golden", None)
    row = own() if own is not None else {port.name: codecs.of(port).example(port, rng) for port in task.request}
    return stack(task, [row])


def goldens_of(built: Built) -> dict[str, Golden]:
    """Every task's golden, answered by the model as it was built.

    Raises:
        GateError: An output is flat or not finite.
    """
    network = keras_engine.network(built)
    goldens = {name: answer(task, network) for name, task in built.tasks.items()}
    for golden in goldens.values():
        refuse_flat(golden, built.name)
    return goldens


def refuse_flat(golden: Golden, what: str) -> None:
    """Refuses a reference that any artefact would equal.

    Raises:
        GateError: A network output is not finite, or is the same everywhere.
    """
    for call in golden.calls:
        for name, tensor in call.outputs.items():
            if tensor.dtype.kind != "f":
                continue
            if not np.isfinite(tensor).all():
                raise GateError(f"{what}: the Keras model's own output {name!r} holds NaN or infinity.")
            if tensor.size > 1 and np.ptp(tensor) <= 1e-6 * np.abs(tensor).max():
                raise GateError(
                    f"{what}: the Keras model's output {name!r} is flat (all {tensor.flat[0]:.3g}), "
                    "so nothing can be compared. Are these trained weights?"
                )


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


def save(goldens: Mapping[str, Golden], path: Any) -> None:
    """The goldens of several tasks, calls included, as one .npz without pickles."""
    cards = {task: to_card(golden) for task, golden in goldens.items()}
    arrays = {"cards": np.frombuffer(json.dumps(cards).encode(), np.uint8)}
    for task, golden in goldens.items():
        for index, call in enumerate(golden.calls):
            for side, tensors in (("inputs", call.inputs), ("outputs", call.outputs)):
                arrays |= {f"{task}/{index}/{call.part}/{side}/{name}": tensor for name, tensor in tensors.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Any) -> dict[str, Golden]:
    """The inverse of `save`."""
    with np.load(path, allow_pickle=False) as archive:
        stored = {name: archive[name] for name in archive.files}
    cards = json.loads(stored.pop("cards").tobytes())
    calls: dict[str, dict[int, Call]] = {task: {} for task in cards}
    for key, tensor in stored.items():
        task, index, part, side, name = key.split("/", 4)
        call = calls[task].setdefault(int(index), Call(part, {}, {}))
        (call.inputs if side == "inputs" else call.outputs)[name] = tensor
    made = {}
    for task, card in cards.items():
        golden = from_card(card)
        ordered = tuple(calls[task][index] for index in sorted(calls[task]))
        made[task] = Golden(golden.request, golden.response, ordered)
    return made
