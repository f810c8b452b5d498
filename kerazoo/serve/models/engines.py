"""A bundle that Kerazoo exported, on the fastest engine that was verified for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerazoo import formats
from kerazoo.contract import Network, Port, Task
from kerazoo.engines.card import FOLDER, of_folder
from kerazoo.errors import KerazooError
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from kerazoo.serve import budget
from kerazoo.serve.models import savedmodel
from kerazoo.serve.models.adaptive import MOST, Joiner, Size
from kerazoo.serve.models.cores import Cores, Crew, crew
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.models.session import DEFAULTS, SessionOptions
from kerazoo.serve.models.session import load as load_session
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status, invalid

EXTRA = FOLDER
ENGINES = {form.engine: form.file for form in formats.NETWORKS}
WHOLE = formats.SAVED_MODEL.engine
ANSWER = "serving_default"
"""The signature from request to response; the others are the network's parts."""

TIMES = "engines.json"
"""In a bundle, beside the engines' files: engine -> milliseconds, as measured when it was prepared."""


def is_bundle(folder: Path) -> bool:
    return (folder / EXTRA / "card.json").is_file()


def load(
    folder: Path,
    engine: str = "auto",
    options: SessionOptions = DEFAULTS,
    seen: Callable[[int], object] = lambda rows: None,
    cores: Cores | None = None,
) -> Servable:
    """Opens a bundle and asks it its golden.

    Args:
        engine: `auto` is the fastest one measured; or `onnx`, `litert` or `savedmodel`.
        seen: Is told the rows of every batch that runs.
        cores: Those of the server; all of the machine where none are given.

    Raises:
        Status: It cannot be opened, lacks the engine, or answers its golden wrongly.
    """
    signatures = savedmodel.signatures(folder, options.tags)
    try:
        card = of_folder(folder)
        chosen = _chosen(folder, engine)
        if chosen == WHOLE:
            session = load_session(folder, options)
            servable = Servable(signatures, session.run, session.close, WHOLE, card)
        else:
            most = 1 if chosen == formats.LITERT.engine else MOST  # It runs rows one by one.
            opened = crew(chosen, folder / EXTRA / ENGINES[chosen], cores or Cores())
            running = _OnEngine(card.task, opened, seen, most)
            servable = Servable(signatures, running.run, running.close, chosen, card)
        if card.golden is not None:
            golden = golden_.from_card(card.golden)
            outputs = [port.name for port in card.task.response]
            verify.check_answer(
                card.task,
                golden,
                lambda request: servable.run(
                    "serving_default", {k: np.asarray(v) for k, v in request.items()}, outputs
                ),
                next(form for form in formats.FORMATS.values() if form.engine == chosen),
                str(folder),
            )
    except KerazooError as error:
        raise status_.of(error) from None
    return servable


def _chosen(folder: Path, engine: str) -> str:
    there = [name for name, file in ENGINES.items() if (folder / EXTRA / file).exists()]
    if engine == "auto":
        with contextlib.suppress(OSError, ValueError):
            times = json.loads((folder / EXTRA / TIMES).read_bytes())
            there.sort(key=lambda name: times.get(name, float("inf")))
        return there[0] if there else WHOLE
    if engine != WHOLE and engine not in there:
        raise Status("FAILED_PRECONDITION", f"{folder} has no {engine}; it has {', '.join([*there, WHOLE])}.")
    return engine


@dataclass
class _OnEngine:
    task: Task
    crew: Crew | None
    seen: Callable[[int], object]
    most: int
    join: Joiner | None = None

    def __post_init__(self) -> None:
        if self.task.batched and self.crew is not None:
            self.join = Joiner(self._answer, self.crew.cores.count, self.seen, Size(self.most))

    def _answer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._hired() as network:
            return {name: np.asarray(value) for name, value in self.task.answer(network, inputs).items()}

    def _hired(self) -> contextlib.AbstractContextManager[Network]:
        if self.crew is None:
            raise Status("UNAVAILABLE", "The version is being unloaded.")
        return self.crew.hired()

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        for index, port in enumerate(self._ports(signature)):
            _check(index, port, inputs[port.name])
        try:
            answered = self._request(inputs) if signature == ANSWER else self._network(signature, inputs)
        except KerazooError as error:
            raise status_.of(error) from None
        return {name: answered[name] for name in outputs}

    def _request(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Many rows are answered a piece at a time: others have their turn in between, and memory is bounded."""
        if self.join is None:
            return self._answer(inputs)
        rows, most = len(next(iter(inputs.values()))), budget.limits().rows
        if rows > most:
            raise Status("RESOURCE_EXHAUSTED", f"The request has {rows} rows; at most {most} go.")
        found = []
        for at in range(0, max(rows, 1), MOST):
            budget.check()
            found.append(self.join({name: array[at : at + MOST] for name, array in inputs.items()}))
        return found[0] if len(found) == 1 else {name: np.concatenate([f[name] for f in found]) for name in found[0]}

    def _network(self, part: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._hired() as network:
            return {name: np.asarray(value) for name, value in network.part(part)(inputs).items()}

    def _ports(self, signature: str) -> tuple[Port, ...]:
        if signature == ANSWER:
            return self.task.request
        if signature not in self.task.parts:
            raise Status("UNIMPLEMENTED", f"{signature} runs on the engine savedmodel only.")
        return self.task.parts[signature].inputs

    def close(self) -> None:
        self.crew = None
        if self.join is not None:
            self.join.close()


_KINDS = {"float32": "float", "float64": "double"}


def _check(index: int, port: Port, array: np.ndarray) -> None:
    """What TensorFlow's graph would refuse, in its words where it has any."""
    given = "string" if array.dtype.kind == "O" else _KINDS.get(array.dtype.name, array.dtype.name)
    expected = _KINDS.get(port.dtype, port.dtype)
    if given != expected:
        raise invalid(f"Expects arg[{index}] to be {expected} but {given} is provided")
    fits = array.ndim == len(port.shape) and all(
        want in (None, have) for want, have in zip(port.shape, array.shape, strict=True)
    )
    if not fits:
        shape = ",".join("?" if size is None else str(size) for size in port.shape)
        raise invalid(f"{port.name} must be shaped [{shape}], not [{','.join(map(str, array.shape))}]")
