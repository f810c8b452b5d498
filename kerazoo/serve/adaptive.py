"""Batching that finds out by itself whether it helps.

As many requests run at a time as there are cores, each on its own thread. Those that find all cores taken wait, and
a few threads that do nothing else work for them, one batch after the other: what such a thread has in its caches, and
the memory that it got, serve the next batch. How many requests make a batch is learned: twice as many are tried now
and then, and kept only if a row got cheaper by it. On most CPUs none of this helps a convolutional network, and then
every request runs alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]
Answer = Callable[[Arrays], dict[str, np.ndarray]]

MOST = 64
"""Most rows of a batch."""

FIRST_TRY, LAST_TRY = 32, 4096
"""So many batches lie between two tries of a larger or smaller one; ever more of them as long as no try is a success,
because those who are in a batch that is too large wait for it."""

GAIN = 0.9
"""A row must cost at most so much of what it cost before, for the larger batch to be kept."""


@dataclass(eq=False)
class _Waiting:
    inputs: Arrays
    rows: int
    done: threading.Event = field(default_factory=threading.Event)
    result: dict[str, np.ndarray] | Exception | None = None


@dataclass
class Joiner:
    """Answers through a function of whole batches.

    Attributes:
        answer: From inputs to outputs, row by row; called by several threads at once.
        slots: How many calls may run at once.
        seen: Is told the rows of every batch.
    """

    answer: Answer
    slots: int
    seen: Callable[[int], object] = lambda rows: None
    limit: int = 1
    running: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)
    costs: dict[int, float] = field(default_factory=dict)
    pause: int = FIRST_TRY
    until_try: int = FIRST_TRY
    upwards: bool = True

    def __post_init__(self) -> None:
        self.crowd = ThreadPoolExecutor(self.slots, "crowd")

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The outputs of one request's rows. Raises whatever `answer` raises for them alone."""
        mine = _Waiting(inputs, len(next(iter(inputs.values()))))
        with self.lock:
            alone = self.running < self.slots
            if alone:
                self.running += 1
            else:
                self.waiting.append(mine)
        if alone:
            try:
                self._lead(mine)
            finally:
                self._next(self._hand_over)
        else:
            mine.done.wait()
        if isinstance(mine.result, Exception):
            raise mine.result
        assert mine.result is not None  # noqa: S101  Whoever led has set it.
        return mine.result

    def close(self) -> None:
        """Ends the threads; what waits is still answered."""
        self.crowd.shutdown(wait=False)

    def _next(self, work: Callable[[_Waiting], object]) -> bool:
        """Gives the slot to whoever waits longest, or back; says whether somebody did."""
        with self.lock:
            if not self.waiting:
                self.running -= 1
                return False
            following = self.waiting.popleft()
        work(following)
        return True

    def _hand_over(self, first: _Waiting) -> None:
        try:
            self.crowd.submit(self._serve, first)
        except RuntimeError:  # Closed in the meantime.
            self._serve(first)

    def _serve(self, first: _Waiting) -> None:
        self._lead(first)
        while self._next(self._lead):
            pass

    def _lead(self, mine: _Waiting) -> None:
        with self.lock:
            limit = self._limit()
            group, rows = [mine], mine.rows
            while self.waiting and rows + self.waiting[0].rows <= limit and _alike(mine, self.waiting[0]):
                joined = self.waiting.popleft()
                group.append(joined)
                rows += joined.rows
        start = time.perf_counter()
        try:
            self._run(group)
        finally:
            spent = time.perf_counter() - start
            with self.lock:
                self._learn(rows, spent)
            for one in group:
                one.done.set()
        self.seen(rows)

    def _run(self, group: list[_Waiting]) -> None:
        if len(group) > 1:
            try:
                names = group[0].inputs
                joined = {name: np.concatenate([one.inputs[name] for one in group]) for name in names}
                outputs = self.answer(joined)
                at = 0
                for one in group:
                    one.result = {name: array[at : at + one.rows] for name, array in outputs.items()}
                    at += one.rows
                return
            except Exception:  # noqa: S110  One bad row must not cost the others their answers: each again, alone.
                pass
        for one in group:
            try:
                one.result = self.answer(one.inputs)
            except Exception as error:
                one.result = error

    def _limit(self) -> int:
        """Rows that this batch may have: what was learned, or now and then twice or half of it."""
        self.until_try -= 1
        if self.until_try > 0 or not self.waiting:
            return self.limit
        self.pause = self.until_try = min(self.pause * 2, LAST_TRY)
        tried = min(self.limit * 2, MOST) if self.upwards else max(self.limit // 2, 1)
        self.upwards = not self.upwards
        return tried

    def _learn(self, rows: int, spent: float) -> None:
        size = 1 << (max(rows, 1).bit_length() - 1)
        cost = spent / max(rows, 1)
        self.costs[size] = cost if size not in self.costs else 0.8 * self.costs[size] + 0.2 * cost
        here, up, down = (self.costs.get(size) for size in (self.limit, self.limit * 2, self.limit // 2))
        before = self.limit
        if here is not None and up is not None and up < GAIN * here:
            self.limit = min(self.limit * 2, MOST)
        elif here is not None and down is not None and down * GAIN < here:
            self.limit //= 2
        if self.limit != before:
            self.pause = self.until_try = FIRST_TRY
            self.upwards = self.limit > before


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return all(
        array.shape[1:] == other.inputs[name].shape[1:] and array.dtype == other.inputs[name].dtype
        for name, array in one.inputs.items()
    )
