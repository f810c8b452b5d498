"""TF Serving's batching: requests for the same outputs of the same signature wait together and run as one.

What the parameters mean, and the words of every error, are TF Serving's; `adaptive` is what runs without them.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.serve import budget, config
from kerazoo.serve.budget import Ticket
from kerazoo.serve.models.servable import Run, Servable
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status, invalid

FILE = "batching_params.pbtxt"
"""Parameters of one version, in its folder."""


@dataclass(frozen=True)
class Parameters:
    """`BatchingParameters`, with TF Serving's defaults.

    Attributes:
        most: Rows of a batch; of a request too, unless large ones are split.
        micros: How long a batch that is not full waits for more.
        queued: Batches that may wait.
        threads: Batches that run at once.
        sizes: Batches are padded up to one of these.
        pad: Whether unequal later dimensions are padded.
        split: Whether requests larger than a batch are cut.
        execution: Rows that run at once, where requests are split.
    """

    most: int = 1000
    micros: int = 0
    queued: int = 10
    threads: int = os.cpu_count() or 1
    sizes: tuple[int, ...] = ()
    pad: bool = False
    split: bool = False
    execution: int = 0


def of_message(message: Any) -> Parameters:
    """The parameters that a `BatchingParameters` message gives.

    Raises:
        Status: They contradict each other.
    """
    names = {"most": "max_batch_size", "micros": "batch_timeout_micros", "queued": "max_enqueued_batches",
             "threads": "num_batch_threads", "split": "enable_large_batch_splitting",
             "execution": "max_execution_batch_size"}  # fmt: skip
    given = {ours: getattr(message, theirs).value for ours, theirs in names.items() if message.HasField(theirs)}
    made = replace(
        Parameters(),
        sizes=tuple(message.allowed_batch_sizes),
        pad=message.pad_variable_length_inputs,
        **given,
    )
    expected = made.execution or made.most
    if made.sizes and made.sizes[-1] != expected:
        raise invalid(
            f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {made.sizes[-1]}; "
            f"expected {expected}"
        )
    if list(made.sizes) != sorted(set(made.sizes)) or any(size < 1 for size in made.sizes):
        raise invalid("allowed_batch_sizes entries must be monotonically increasing")
    for name in ("most", "queued", "threads"):
        if getattr(made, name) < 1:
            raise invalid(f"{names[name]} must be positive; was {getattr(made, name)}")
    return made


def of_version(folder: Path) -> Parameters | None:
    """The parameters in a version's own folder; `None` where it has none and is not batched."""
    path = folder / FILE
    return of_message(config.read(path, "BatchingParameters")) if path.is_file() else None


def batched(servable: Servable, parameters: Parameters, seen: Callable[[int], object] = lambda rows: None) -> Servable:
    """The same servable, whose requests run in batches.

    Args:
        seen: Is told the rows of every batch.
    """
    scheduler = _Scheduler(servable.run, parameters, seen)
    scheduler.begin()

    def close() -> None:
        scheduler.end()
        servable.close()

    return replace(servable, run=scheduler.run, close=close, light=False)


Key = tuple[str, tuple[str, ...], tuple[str, ...]]


@dataclass(eq=False)
class _Task:
    inputs: Mapping[str, np.ndarray]
    rows: int
    done: threading.Event = field(default_factory=threading.Event)
    outputs: dict[str, np.ndarray] | None = None
    error: Status | None = None
    ticket: Ticket | None = field(default_factory=budget.current)

    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        try:
            if self.ticket is not None:
                self.ticket.check()
        except Status as ended:
            self.error = ended
        return self.error is None


@dataclass(eq=False)
class _Batch:
    key: Key
    due: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


@dataclass
class _Scheduler:
    inner: Run
    parameters: Parameters
    seen: Callable[[int], object]
    waiting: deque[_Batch] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False

    def begin(self) -> None:
        for index in range(self.parameters.threads):
            threading.Thread(target=self._work, name=f"batch {index}", daemon=True).start()

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        if not inputs:
            return self.inner(signature, inputs, outputs)
        rows = _rows(inputs)
        largest = self.parameters.most
        key = (signature, tuple(inputs), tuple(outputs))
        if rows > largest and not self.parameters.split:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {largest}")
        piece = min(largest, self.parameters.execution or largest) if self.parameters.split else largest
        tasks = [
            _Task({name: array[at : at + piece] for name, array in inputs.items()}, min(piece, rows - at))
            for at in range(0, max(rows, 1), piece)
        ]
        self._enqueue(key, tasks)
        for task in tasks:
            budget.wait(task.done)
        for task in tasks:
            if task.error is not None:
                raise task.error
        found = [task.outputs or {} for task in tasks]
        return found[0] if len(found) == 1 else {name: np.concatenate([f[name] for f in found]) for name in outputs}

    def _enqueue(self, key: Key, tasks: Sequence[_Task]) -> None:
        most = self.parameters.execution or self.parameters.most if self.parameters.split else self.parameters.most
        with self.changed:
            if self.ended:
                raise Status("UNAVAILABLE", "The version is being unloaded.")
            own = [batch for batch in self.waiting if batch.key == key]
            last = own[-1] if own and not own[-1].closed else None
            fits = last is not None and last.rows + sum(task.rows for task in tasks) <= most
            if not fits and len(own) + len(tasks) > self.parameters.queued:
                raise Status(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{len(own)} batches are enqueued and max_enqueued_batches is {self.parameters.queued}",
                )
            for task in tasks:
                if last is None or last.rows + task.rows > most:
                    if last is not None:
                        last.closed = True
                    last = _Batch(key, time.monotonic() + self.parameters.micros / 1e6)
                    self.waiting.append(last)
                last.tasks.append(task)
                last.rows += task.rows
                last.closed = last.rows >= most
            self.changed.notify_all()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            every = batch.tasks
            batch.tasks = [task for task in every if task.wanted()]
            batch.rows = sum(task.rows for task in batch.tasks)
            try:
                if batch.tasks:
                    self._run(batch)
            except Exception as error:
                for task in batch.tasks:
                    task.error = status_.of(error)
            finally:
                for task in every:
                    task.done.set()
            self.seen(batch.rows)

    def _next(self) -> _Batch | None:
        """Waits for a batch that is full, or has waited long enough; `None` when there will be none any more."""
        with self.changed:
            while True:
                now = time.monotonic()
                for batch in self.waiting:
                    if batch.closed or batch.due <= now or self.ended:
                        self.waiting.remove(batch)
                        return batch
                if self.ended:
                    return None
                self.changed.wait(min(batch.due for batch in self.waiting) - now if self.waiting else None)

    def _run(self, batch: _Batch) -> None:
        signature, _, outputs = batch.key
        inputs = {name: self._merged(name, [task.inputs[name] for task in batch.tasks]) for name in batch.key[1]}
        size = next((size for size in self.parameters.sizes if size >= batch.rows), batch.rows) if batch.rows else 0
        if size > batch.rows:
            # The padding rows are thrown away; copies of a real one are what every graph can take.
            last = next(task.rows for task in reversed(batch.tasks) if task.rows)
            inputs = {
                name: np.concatenate([array, np.repeat(array[-last : len(array) - last + 1], size - batch.rows, 0)])
                for name, array in inputs.items()
            }
        try:
            found = self.inner(signature, inputs, outputs)
        except Exception:
            if len(batch.tasks) == 1:
                raise
            self._each_alone(batch)
            return
        for name, array in found.items():
            if array.ndim == 0 or len(array) != size:
                raise Status(
                    "FAILED_PRECONDITION",
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    f"input tensors: {name} has {array.shape}",
                )
        at = 0
        for task in batch.tasks:
            task.outputs = {name: array[at : at + task.rows] for name, array in found.items()}
            at += task.rows

    def _each_alone(self, batch: _Batch) -> None:
        """One bad row must not cost the others their answers, nor show them what it held."""
        for task in batch.tasks:
            if not task.wanted():
                continue
            try:
                self._run(_Batch(batch.key, batch.due, [task], task.rows, closed=True))
            except Exception as error:
                task.error = status_.of(error)

    def _merged(self, name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
        if len({array.dtype for array in arrays}) > 1 or len({array.ndim for array in arrays}) > 1:
            raise Status("FAILED_PRECONDITION", f"Tensors with name '{name}' from different tasks have different types")
        if len({array.shape[1:] for array in arrays}) > 1:
            if not self.parameters.pad:
                raise Status(
                    "FAILED_PRECONDITION",
                    f"Tensors with name '{name}' from different tasks have different shapes and padding is turned "
                    "off. Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have "
                    "equal dimensions starting with the first dim.",
                )
            largest = np.max([array.shape[1:] for array in arrays], axis=0)
            arrays = [_padded(array, largest) for array in arrays]
        return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _rows(inputs: Mapping[str, np.ndarray]) -> int:
    if any(array.ndim == 0 for array in inputs.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    rows = {len(array) for array in inputs.values()}
    if len(rows) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return rows.pop()


def _padded(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Later dimensions filled up with the tensor's own first element."""
    if not array.size:
        return np.zeros((len(array), *shape), array.dtype)
    out = np.full((len(array), *shape), array.reshape(-1)[0], array.dtype)
    out[tuple(slice(size) for size in array.shape)] = array
    return out
