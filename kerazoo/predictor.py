"""A model that answers: items of any kind in, results out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo import codecs
from kerazoo.contract import Answer, Result, Task
from kerazoo.errors import InputError, KerazooError, UsageError


@dataclass(frozen=True)
class Failure:
    """What an item got that could not be answered; the others go on."""

    error: KerazooError

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        return {"error": str(self.error)}

    def rows(self, limit: int = 5) -> list[str]:
        return [f"error: {self.error}"]

    def files(self) -> dict[str, bytes]:
        return {}


@dataclass(frozen=True)
class Prediction:
    """One item's result and the milliseconds that it took, its share of a batch."""

    item: Any
    result: Result
    ms: float


@dataclass(frozen=True)
class Predictor:
    """Answers requests with one model over one engine.

    Attributes:
        name: The model's name.
        task: What it does.
        engine: `keras`, `savedmodel`, `onnx` or `litert`.
        answer: From request tensors to response tensors.
        plain: Whether pictures must be made plain (upright 8-bit JPEG or PNG) before the engine decodes them itself.
    """

    name: str
    task: Task
    engine: str
    answer: Answer
    plain: bool = False

    def __call__(self, items: Any, *, batch: int = 1) -> Any:
        """Answers one item, or many.

        Args:
            items: A path, encoded bytes, a PIL image or an array uint8 [h, w, 3] for a task on pictures; a string for
                a task on text; a whole number (the seed) for a task that samples; a mapping of port names to arrays,
                or the path of an .npz or .json file with those names, for any task. Or a list, tuple or iterator
                of such items. An item may also be a function that returns it, called when its turn comes.
            batch: How many items go through the network at once, where the task allows.

        Returns:
            One result; for many items an iterator of results in order, in which a bad item is a `Failure`.

        Raises:
            InputError: A single item that cannot be read.
        """
        if isinstance(items, (list, tuple)) or (isinstance(items, Iterator) and not hasattr(items, "read")):
            return (prediction.result for prediction in self.stream(items, batch=batch))
        result = next(self.stream([items])).result
        if isinstance(result, Failure):
            raise result.error
        return result

    def stream(self, items: Iterable[Any], *, batch: int = 1) -> Iterator[Prediction]:
        """Predictions in the order of the items, read as they are needed: memory stays flat however many there are."""
        if batch < 1:
            raise UsageError(f"batch={batch} is not a positive number.")
        iterator = iter(items)
        while group := list(itertools.islice(iterator, batch if self.task.batched else 1)):
            yield from self._together(group)

    def _together(self, group: Sequence[Any]) -> Iterator[Prediction]:
        start = time.perf_counter()
        readable: list[dict[str, Any]] = []
        results: list[Result | None] = []
        for item in group:
            try:
                readable.append(self._row(item))
                results.append(None)
            except KerazooError as error:
                results.append(Failure(error))
        answered = iter(self._answer(readable))
        share = None
        for item, result in zip(group, results, strict=True):
            result = result or next(answered)
            share = share or (time.perf_counter() - start) * 1e3 / len(group)
            yield Prediction(item, result, share)

    def _answer(self, rows: list[dict[str, Any]]) -> list[Result]:
        if not rows:
            return []
        try:
            response = self.answer(stack(self.task, rows))
            return [self.task.read(response, row) for row in range(len(rows))]
        except KerazooError as error:
            if len(rows) == 1:
                return [Failure(error)]
            # One bad item must not cost its neighbours their answers.
            return [result for row in rows for result in self._answer([row])]

    def _row(self, item: Any) -> dict[str, Any]:
        row = request_row(self.task, item() if callable(item) else item)
        if self.plain:
            row = {port.name: codecs.of(port).plain(row[port.name]) for port in self.task.request}
        return row


def stack(task: Task, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Request tensors of rows: one array a port, with the rows along the batch axis where the task has one."""
    request: dict[str, Any] = {}
    for port in task.request:
        values = [row[port.name] for row in rows]
        if port.dtype == "string":
            array = np.empty(len(values), object)
            array[:] = values
            request[port.name] = array
        else:
            request[port.name] = np.asarray(values if task.batched else values[0], port.dtype)
    return request


def request_row(task: Task, item: Any) -> dict[str, Any]:
    """One item as values of the task's request ports, each read as its media says.

    Raises:
        InputError: The item cannot be read, or has no value for a port.
    """
    ports = task.request
    if not isinstance(item, Mapping):
        codec = codecs.of(ports[0])
        together = len(ports) > 1 and hasattr(codec, "unpack") and len({port.media for port in ports}) == 1
        item = codec.unpack(item, ports) if together else {ports[0].name: item}
    missing = [port.name for port in ports if port.name not in item]
    if missing:
        given = ", ".join(map(str, item)) or "nothing"
        raise InputError(f"No value for {', '.join(missing)}; the request has {given}.")
    return {port.name: codecs.of(port).read(item[port.name], port) for port in ports}
