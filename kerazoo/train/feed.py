"""Batches that are made ahead of their turn, for the backends that have no `tf.data`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from kerazoo.train.recipe import Batch

AHEAD = 4


def ahead(make: Callable[[int], Batch], indices: Iterable[int]) -> Iterator[Batch]:
    """What `make` gives for each index, in their order; so many are made at the same time on threads of their own."""
    with ThreadPoolExecutor(AHEAD, "kerazoo-batches") as pool:
        waiting = deque[Future[Batch]]()
        try:
            for index in indices:
                waiting.append(pool.submit(make, index))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
