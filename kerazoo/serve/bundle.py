"""A bundle that Kerazoo exported, on the fastest engine that was verified for it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kerazoo import formats
from kerazoo.contract import Network, Port, Task
from kerazoo.engines import open_network
from kerazoo.engines.card import FOLDER, of_folder
from kerazoo.errors import KerazooError
from kerazoo.export import golden as golden_
from kerazoo.export import verify
from kerazoo.serve import savedmodel
from kerazoo.serve import status as status_
from kerazoo.serve.adaptive import MOST, Joiner, Size
from kerazoo.serve.servable import Servable
from kerazoo.serve.session import DEFAULTS, Options
from kerazoo.serve.session import load as load_session
from kerazoo.serve.status import Status, invalid

EXTRA = FOLDER
ENGINES = {form.engine: form.file for form in formats.NETWORKS}
ANSWER = "serving_default"
"""The signature from request to response; the others are the network's parts."""

TIMES = "engines.json"
"""In a bundle, beside the engines' files: engine -> milliseconds, as measured when it was prepared."""


def cores() -> int:
    """Cores that this process may use: those it is bound to, or fewer where its container is given less time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(min(bound, math.ceil(int(quota) / int(period))), 1)  # "max" is no number: no limit.
    return bound


@dataclass
class Cores:
    """Hands the machine's cores to requests: all of them to one that is alone, one each to those that come together."""

    count: int = field(default_factory=cores)
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.free = threading.Semaphore(self.count)

    @contextlib.contextmanager
    def taken(self) -> Iterator[bool]:
        """Waits for a core; says whether nobody else is running or waiting."""
        with self.lock:
            alone = self.running == 0
            self.running += 1
        try:
            with self.free:
                yield alone
        finally:
            with self.lock:
                self.running -= 1


CORES = Cores()


@dataclass
class _Crew:
    """The same network several times: one with all cores, and narrow ones for requests that share the machine.

    ONNX sessions run for many threads at once, a LiteRT interpreter for one, so that there is one a core.
    """

    wide: queue.SimpleQueue[Network]
    narrow: queue.SimpleQueue[Network]

    @contextlib.contextmanager
    def hired(self) -> Iterator[Network]:
        with CORES.taken() as alone:
            pool = self.narrow
            network = None
            if alone:
                with contextlib.suppress(queue.Empty):
                    network, pool = self.wide.get_nowait(), self.wide
            if network is None:
                network = self.narrow.get()
            try:
                yield network
            finally:
                pool.put(network)


def _crew(engine: str, path: Path) -> _Crew:
    wide: queue.SimpleQueue[Network] = queue.SimpleQueue()
    narrow: queue.SimpleQueue[Network] = queue.SimpleQueue()
    wide.put(open_network(engine, path, CORES.count)[0])
    shared = open_network(engine, path, 1)[0]
    for index in range(CORES.count):
        narrow.put(shared if engine == "onnx" or index == 0 else open_network(engine, path, 1)[0])
    return _Crew(wide, narrow)


def is_bundle(folder: Path) -> bool:
    return (folder / EXTRA / "card.json").is_file()


def load(
    folder: Path,
    engine: str = "auto",
    options: Options = DEFAULTS,
    seen: Callable[[int], object] = lambda rows: None,
) -> Servable:
    """Opens a bundle and asks it its golden.

    Args:
        engine: `auto` is the fastest one measured; or `onnx`, `litert` or `savedmodel`.
        seen: Is told the rows of every batch that runs.

    Raises:
        Status: It cannot be opened, lacks the engine, or answers its golden wrongly.
    """
    signatures = savedmodel.signatures(folder, options.tags)
    try:
        card = of_folder(folder)
        chosen = _chosen(folder, engine)
        if chosen == "savedmodel":
            session = load_session(folder, options)
            servable = Servable(signatures, session.run, session.close, "savedmodel", card)
        else:
            most = 1 if chosen == "litert" else MOST  # It runs rows one by one.
            running = _Bundle(card.task, _crew(chosen, folder / EXTRA / ENGINES[chosen]), seen, most)
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
        return there[0] if there else "savedmodel"
    if engine != "savedmodel" and engine not in there:
        raise Status("FAILED_PRECONDITION", f"{folder} has no {engine}; it has {', '.join([*there, 'savedmodel'])}.")
    return engine


@dataclass
class _Bundle:
    task: Task
    crew: _Crew | None
    seen: Callable[[int], object]
    most: int
    join: Joiner | None = None

    def __post_init__(self) -> None:
        if self.task.batched:
            self.join = Joiner(self._answer, CORES.count, self.seen, Size(self.most))

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
            answered = (self.join or self._answer)(inputs) if signature == ANSWER else self._network(signature, inputs)
        except KerazooError as error:
            raise status_.of(error) from None
        return {name: answered[name] for name in outputs}

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
