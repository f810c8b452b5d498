"""A model that answers: items of any kind in, results out."""

from __future__ import annotations

import io
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Answer, Port, Result, Task
from kerazoo.errors import InputError, KerazooError, UsageError

MAX_BYTES = 256 * 2**20
"""Largest file that is read as one input."""


@dataclass(frozen=True)
class Failure:
    """What an item got that could not be answered; the others go on."""

    error: KerazooError

    def to_json(self) -> dict[str, Any]:
        return {"error": str(self.error)}

    def rows(self) -> list[str]:
        return [f"error: {self.error}"]


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
            from kerazoo.codecs.image import plain_bytes

            row = {name: plain_bytes(value) if name.endswith("_bytes") else value for name, value in row.items()}
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
    """One item as values of the task's request ports.

    Raises:
        InputError: The item cannot be read, or has no value for a port.
    """
    ports = task.request
    if not isinstance(item, Mapping) and len(ports) > 1:
        item = _mapping(task, item)
    if isinstance(item, Mapping):
        missing = [port.name for port in ports if port.name not in item]
        if missing:
            raise InputError(f"No value for {', '.join(missing)}; the request has {', '.join(map(str, item))}.")
        return {port.name: _value(port, item[port.name]) for port in ports}
    return {ports[0].name: _value(ports[0], item)}


def _value(port: Port, item: Any) -> Any:
    if port.name.endswith("_bytes"):
        return _encoded(item)
    if port.dtype == "string":
        if isinstance(item, bytes):
            return item
        if not isinstance(item, str):
            raise InputError(f"{port.name} takes a text; this is {type(item).__name__}.")
        return item.encode()
    try:
        array = np.asarray(item)
        if array.dtype.kind == "f" and port.dtype.startswith("int") and not np.array_equal(array, np.rint(array)):
            raise ValueError("not whole numbers")
        return array.astype(port.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{port.name} takes {port.dtype}: {error}") from None


def _encoded(item: Any) -> bytes:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    if isinstance(item, (str, Path)):
        return read_file(Path(item))
    from PIL import Image

    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim not in (2, 3) or (item.ndim == 3 and item.shape[-1] not in (1, 3, 4)):
            raise InputError(
                f"An array must be uint8 [height, width, 1, 3 or 4]; this is {item.dtype} {list(item.shape)}."
            )
        item = Image.fromarray(item[..., 0] if item.ndim == 3 and item.shape[-1] == 1 else item)
    if isinstance(item, Image.Image):
        out = io.BytesIO()
        item.save(out, "PNG", compress_level=1)
        return out.getvalue()
    raise InputError(f"A picture is a path, bytes, a PIL image or an array; this is {type(item).__name__}.")


def _mapping(task: Task, item: Any) -> Mapping[str, Any]:
    names = ", ".join(port.name for port in task.request)
    if not isinstance(item, (str, Path)):
        raise InputError(f"The request has several ports ({names}): give a mapping, or the path of an .npz or .json.")
    path = Path(item)
    data = read_file(path)
    if hasattr(task, "parse"):
        return task.parse(data, str(path))
    try:
        if path.suffix == ".json":
            loaded = json.loads(data)
        else:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                loaded = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, NumPy and json each raise their own.
        raise InputError(f"{path} is neither an .npz nor a .json of {names}: {error}") from None
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path} must hold an object with the keys {names}.")
    return loaded


def read_file(path: Path) -> bytes:
    """The bytes of one input.

    Raises:
        InputError: No such file, a folder, not allowed, or larger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            # Asking a file for more than it holds costs the allocation; a pipe does not know its size.
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES) + 1 if size else MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"No such file: {path}") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB.")
    return data
