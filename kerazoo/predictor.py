"""A model that answers: items of any kind in, results out."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, TypeAlias, Union, overload

import numpy as np

from kerazoo import codecs, inputs
from kerazoo.contract import Answer, Network, Port, Result, Task
from kerazoo.errors import InputError, KerazooError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_log = logging.getLogger("kerazoo")

Item: TypeAlias = Union[
    str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], "PILImage", np.ndarray, int, Mapping[str, Any],
    Callable[[], Any],
]  # fmt: skip
"""One item; of strings, paths and arrays those that stand for one."""

Many: TypeAlias = list[Any] | tuple[Any, ...] | AbstractSet[Any] | Iterator[Any]

Range: TypeAlias = tuple[float, float]


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


@dataclass(frozen=True, repr=False)
class Predictor:
    """Answers requests with one model over one engine, for any number of threads at once.

    Attributes:
        name: The model's name.
        task: What it does.
        engine: `keras`, `savedmodel`, `onnx` or `litert`.
        answer: From request tensors to response tensors.
        plain: Whether pictures must be made plain (upright 8-bit JPEG or PNG) before the engine decodes them itself.
        network: What `answer` calls, where that runs in this process on NumPy's arrays; for measurements that look at
            more than answers.
    """

    name: str
    task: Task
    engine: str
    answer: Answer
    plain: bool = False
    network: Network | None = None

    def __repr__(self) -> str:
        return f"Predictor({self.name!r}, task={self.task.kind!r}, engine={self.engine!r})"

    @overload
    def __call__(self, items: Item, *, batch: int = 1, value_range: Range | None = None) -> Result: ...

    @overload
    def __call__(self, items: Many, *, batch: int = 1, value_range: Range | None = None) -> Iterator[Result]: ...

    def __call__(self, items: Any, *, batch: int = 1, value_range: Range | None = None) -> Result | Iterator[Result]:
        """Answers one item, or many.

        Args:
            items: For a task on pictures, and other media in files: a path, where `~` is the home folder, an http or
                https address, encoded bytes or an open file; of pictures also a PIL image of any mode, or an array
                [h, w] or [h, w, 1, 3 or 4]. A string for a task on text; a whole number (the seed) for a task that
                samples; a mapping of port names to such values, or the path of an .npz or .json file with those
                names, for any task. An item may also be a function that returns it, called when its turn comes.
                Many are: a list, tuple, set or iterator of items; a folder, whose files are taken by suffix and in
                the order of their names; a pattern (`photos/*.jpg`, `**/*.png`); a batch of pictures, an array
                [count, h, w, c]. In a list, folders, patterns and batches are opened where they stand.
            batch: How many items go through the network at once, where the task allows.
            value_range: Of arrays that are not uint8 0..255: their least and greatest possible value, such as (0, 1).
                They are rounded to 8 bits, as a file of them would be.

        Returns:
            One result; for many items an iterator of results in order, in which a bad item is a `Failure`.

        Raises:
            InputError: A single item that cannot be read.
        """
        if inputs.are_many(items, self.task.request[0]):
            return self._results(items, batch, value_range)
        if inputs.stands_for_many(items, self.task.request[0]):
            return self._results([items], batch, value_range)
        result = next(self.stream([items], value_range=value_range)).result
        if isinstance(result, Failure):
            raise result.error
        return result

    def _results(self, items: Iterable[Any], batch: int, value_range: Range | None) -> Iterator[Result]:
        return (prediction.result for prediction in self.stream(items, batch=batch, value_range=value_range))

    def stream(self, items: Iterable[Any], *, batch: int = 1, value_range: Range | None = None) -> Iterator[Prediction]:
        """Predictions in the order of the items, read as they are needed: memory stays flat however many there are.

        Args:
            items, batch, value_range: As for a call; folders, patterns and batches among the items are opened.
        """
        if batch < 1:
            raise UsageError(f"batch={batch} is not a positive number.")
        if value_range is not None and not value_range[0] < value_range[1]:
            raise UsageError(f"value_range={value_range} must be the least and the greatest value, as (0, 1).")
        port = self.task.request[0]
        opened = (each for item in items for each in inputs.expand(item, port))
        for group in _groups(opened, batch if self.task.batched else 1):
            yield from self._together(group, value_range)

    def _together(self, group: Sequence[Any], value_range: Range | None) -> Iterator[Prediction]:
        if hasattr(self.task, "whole"):
            yield from map(self._whole, group)
            return
        start = time.perf_counter()
        readable: list[dict[str, Any]] = []
        results: list[Result | None] = []
        for item in group:
            try:
                readable.append(self._row(item, value_range))
                results.append(None)
            except Exception as error:  # Items come from anywhere, and with them the exceptions of any library.
                results.append(_failure(error, InputError))
        answered = iter(self._answer(readable))
        share = None
        for item, result in zip(group, results, strict=True):
            result = result or next(answered)
            share = share or (time.perf_counter() - start) * 1e3 / len(group)
            yield Prediction(item, result, share)

    def _whole(self, item: Any) -> Prediction:
        """Of a task that takes an item apart itself, and asks about one piece after the other."""
        start = time.perf_counter()
        (port,) = self.task.request
        try:
            opened = item() if callable(item) else item
            if isinstance(opened, Mapping) and port.name in opened:
                opened = opened[port.name]
            result = self.task.whole(opened, lambda row: self.answer(stack(self.task, [self._row(row, None)])))  # type: ignore[attr-defined]
        except Exception as error:  # As above, of items and of engines.
            result = _failure(error, KerazooError)
        return Prediction(item, result, (time.perf_counter() - start) * 1e3)

    def _answer(self, rows: list[dict[str, Any]]) -> list[Result]:
        if not rows:
            return []
        try:
            response = self.answer(stack(self.task, rows))
            return [self._read(response, row, asked) for row, asked in enumerate(rows)]
        except Exception as error:  # Engines raise their own, and memory ends for a large item only.
            if len(rows) == 1:
                return [_failure(error, KerazooError)]
            # One bad item must not cost its neighbours their answers.
            return [result for row in rows for result in self._answer([row])]

    def _read(self, response: Mapping[str, Any], row: int, asked: Mapping[str, Any]) -> Result:
        result = self.task.read(response, row)
        # Results that are looked at on what was asked about say so by `on`.
        on = getattr(result, "on", None)
        if on is None:
            return result
        ports = self.task.request
        return on(asked if make_one_item(ports) else asked[ports[0].name])

    def refined(self) -> Predictor:
        """The same model with the further step that its task offers: of segmentation, the fully connected field.

        Raises:
            UsageError: Its task has none, or runs within the engine.
        """
        refined = getattr(self.task, "refined", None)
        if refined is None:
            raise UsageError(
                f"{self.name} does {self.task.kind}; a fully connected field is of whole pictures' classes."
            )
        if self.network is None:
            raise UsageError(f"The engine {self.engine} does all of a task itself; take keras, onnx or litert.")
        task = refined()
        return replace(self, task=task, answer=functools.partial(task.answer, self.network))

    def changed(self, **fields: Any) -> Predictor:
        """The same model whose task does otherwise: of one that writes, its `length`, `temperature` and `top_k`.

        Raises:
            UsageError: Its task has no such field, its value does not fit, or the task runs within the engine.
        """
        known = {each.name for each in dataclasses.fields(self.task)}  # type: ignore[arg-type]
        other = [name for name in fields if name not in known]
        if other:
            raise UsageError(f"{self.name} does {self.task.kind}, which has no {' and no '.join(other)}.")
        if self.network is None:
            raise UsageError(f"The engine {self.engine} does all of a task itself; take keras, onnx or litert.")
        task: Any = replace(self.task, **fields)  # type: ignore[type-var]
        return replace(self, task=task, answer=functools.partial(task.answer, self.network))

    def _row(self, item: Any, value_range: Range | None) -> dict[str, Any]:
        row = request_row(self.task, item() if callable(item) else item, value_range)
        if self.plain:
            row = {port.name: codecs.of(port).plain(row[port.name]) for port in self.task.request}
        return row


def _failure(error: Exception, kind: type[KerazooError]) -> Failure:
    if isinstance(error, KerazooError):
        return Failure(error)
    _log.debug("An item failed.", exc_info=error)
    made = kind(f"{type(error).__name__}: {error}".removesuffix(": "))
    made.__cause__ = error
    return Failure(made)


def _groups(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Lists of so many items; what was read before the iterator itself failed is not lost."""
    group: list[Any] = []
    try:
        for item in items:
            group.append(item)
            if len(group) == size:
                yield group
                group = []
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group


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


def request_row(task: Task, item: Any, value_range: Range | None = None) -> dict[str, Any]:
    """One item as values of the task's request ports, each read as its media says.

    Args:
        value_range: Of arrays, for the media that know one.

    Raises:
        InputError: The item cannot be read, or has no value for a port.
    """
    ports = task.request
    if not isinstance(item, Mapping):
        item = codecs.of(ports[0]).unpack(item, ports) if make_one_item(ports) else {ports[0].name: item}
    # What goes without saying beside the first port: a seed.
    unsaid = {port.name: codecs.of(port).UNSAID for port in ports[1:] if hasattr(codecs.of(port), "UNSAID")}
    item = {**unsaid, **item}
    missing = [port.name for port in ports if port.name not in item]
    if missing:
        given = ", ".join(map(str, item)) or "nothing"
        raise InputError(f"No value for {', '.join(missing)}; the request has {given}.")
    return {port.name: _read(item[port.name], port, value_range) for port in ports}


def make_one_item(ports: Sequence[Port]) -> bool:
    """Whether several ports are filled by one item: all of one media, which knows files of them."""
    return len(ports) > 1 and hasattr(codecs.of(ports[0]), "unpack") and len({port.media for port in ports}) == 1


def _read(value: Any, port: Port, value_range: Range | None) -> Any:
    codec = codecs.of(port)
    if value_range is not None and hasattr(codec, "ranged"):
        value = codec.ranged(value, value_range)
    return codec.read(value, port)
