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
from contextvars import Context, copy_context
from dataclasses import dataclass, field

import numpy as np

from kerazoo.serve import budget

Arrays = Mapping[str, np.ndarray]
Answer = Callable[[Arrays], dict[str, np.ndarray]]

MOST = 64
"""Most rows of a batch."""

FIRST_TRY, LAST_TRY = 32, 4096
"""So many batches lie between two tries of a larger or smaller one; ever more of them as long as no try is a success,
because those who are in a batch that is too large wait for it."""

TRIES = 5
"""So many batches are run at a size that is tried: one alone may just have been lucky."""

GAIN = 0.75
"""A row must cost at most so much of what it costs in a batch of half the size: less is not worth the longer wait, and
cannot be told from a machine's noise."""


@dataclass
class Size:
    """How many rows a batch should have, learned from what batches cost.

    Attributes:
        most: Never more than this; 1 for an engine that takes one row at a time anyway.
        limit: What was learned so far.
    """

    most: int = MOST
    limit: int = 1
    cost: float | None = None
    pause: int = FIRST_TRY
    until_try: int = FIRST_TRY
    upwards: bool = True
    tried: int = 0
    tries: list[float] = field(default_factory=list)
    left: int = 0

    def next(self, crowded: bool) -> int:
        """Rows that the next batch may have: what was learned, or now and then twice or half of it.

        Args:
            crowded: Whether others wait, with whom a larger batch could be filled.
        """
        if self.tried:
            return self.tried
        self.until_try -= 1
        if self.until_try > 0 or not crowded or self.most == 1:
            return self.limit
        larger = self.limit == 1 or (self.upwards and self.limit * 2 <= self.most)
        self.tried = self.limit * 2 if larger else self.limit // 2
        self.tries, self.left = [], 4 * TRIES
        self.upwards = not larger
        self.pause = self.until_try = min(self.pause * 2, LAST_TRY)
        return self.tried

    def learn(self, rows: int, seconds: float) -> None:
        """Notes what a batch took, and after a try compares it with what batches took just before."""
        cost = seconds / max(rows, 1)
        if _fills(rows, self.limit):
            self.cost = cost if self.cost is None else 0.8 * self.cost + 0.2 * cost
        if not self.tried:
            return
        self.left -= 1
        if _fills(rows, self.tried):
            self.tries.append(cost)
        if len(self.tries) == TRIES and self.cost is not None:
            self._decide(sorted(self.tries)[TRIES // 2], self.cost)
        elif self.left <= 0:  # There were not enough who could be joined.
            self.tried = 0

    def _decide(self, found: float, before: float) -> None:
        grows = self.tried > self.limit
        if (found < GAIN * before) if grows else (found * GAIN < before):
            self.limit, self.cost, self.upwards = self.tried, found, grows
            self.pause = self.until_try = FIRST_TRY
        self.tried = 0


def _fills(rows: int, size: int) -> bool:
    return size < 2 * rows <= 2 * size


@dataclass(eq=False)
class _Waiting:
    inputs: Arrays
    rows: int
    done: threading.Event = field(default_factory=threading.Event)
    result: dict[str, np.ndarray] | Exception | None = None
    context: Context = field(default_factory=copy_context)


@dataclass
class Joiner:
    """Answers through a function of whole batches.

    Attributes:
        answer: From inputs to outputs, row by row; called by several threads at once.
        slots: How many calls may run at once.
        seen: Is told the rows of every batch.
        size: Of the batches.
    """

    answer: Answer
    slots: int
    seen: Callable[[int], object] = lambda rows: None
    size: Size = field(default_factory=Size)
    running: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

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
            try:
                budget.wait(mine.done)
            finally:
                self._leave(mine)
        if isinstance(mine.result, Exception):
            raise mine.result
        assert mine.result is not None  # noqa: S101  Whoever led has set it.
        return mine.result

    def close(self) -> None:
        """Ends the threads; what waits is still answered."""
        self.crowd.shutdown(wait=False)

    def _leave(self, mine: _Waiting) -> None:
        """Nobody answers what nobody waits for any more; what runs already ends by itself."""
        with self.lock:
            if mine in self.waiting:  # To try `remove` would cost: its error spells out what is not there.
                self.waiting.remove(mine)

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
            limit = self.size.next(bool(self.waiting))
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
                self.size.learn(rows, spent)
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
                # In the context of whoever asked, so that the work ends when he has gone.
                one.result = one.context.run(self.answer, one.inputs)
            except Exception as error:
                one.result = error


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return all(
        array.shape[1:] == other.inputs[name].shape[1:] and array.dtype == other.inputs[name].dtype
        for name, array in one.inputs.items()
    )
