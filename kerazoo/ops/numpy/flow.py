"""Loops, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerazoo.errors import InputError
from kerazoo.ops.numpy.text import strings


def map_items(fn: Callable[[Any], Any], items: Sequence[Any], shape: Any = None, dtype: Any = "float32") -> Any:
    """`fn` over the items, its results stacked.

    Args:
        fn: From an item to an array, encoded bytes, or a tuple of arrays.
        items: Along the first axis.
        shape: Of one result; `None` says that results are encoded bytes. For tuples a tuple of shapes.
        dtype: Of one result; for tuples a tuple, which is what says so.
    """
    results = [fn(item) for item in items]
    if isinstance(dtype, tuple):
        columns = zip(*results, strict=True) if results else [()] * len(dtype)
        return tuple(_stacked(list(column), *spec) for column, *spec in zip(columns, shape, dtype, strict=True))
    return strings(results) if shape is None else _stacked(results, shape, dtype)


def _stacked(results: Sequence[Any], shape: Sequence[int | None], dtype: str) -> np.ndarray:
    if dtype == "string":
        return strings(results)
    if not results:
        return np.zeros((0, *(side or 0 for side in shape)), dtype)
    return np.stack(results, dtype=dtype) if len(results) > 1 else np.asarray(results[0], dtype)[None]


def check(condition: Any, message: str) -> None:
    """Refuses the request with `message` unless the condition, a boolean of any shape, holds throughout.

    Raises:
        InputError: It does not hold. (In a graph: `InvalidArgumentError` with the same message.)
    """
    if not np.all(condition):
        raise InputError(message)


def while_loop(cond: Callable[..., Any], body: Callable[..., Any], state: Sequence[Any]) -> tuple[Any, ...]:
    """`state = body(*state)` while `cond(*state)` is true; shapes and dtypes of the state must stay as they are."""
    state = tuple(state)
    while bool(cond(*state)):
        state = tuple(body(*state))
    return state


def map_range(fn: Callable[[Any], Any], count: Any, shape: Sequence[int | None], dtype: str) -> np.ndarray:
    """`fn(0), fn(1), ...` stacked: one after the other, so that the memory of one call bounds the memory of all.

    Args:
        fn: From an index to an array of `shape` and `dtype`.
        count: How many; at least one where `shape` holds `None`.
        shape: Of one result; `None` where the length is known only when it runs.
        dtype: Of one result.
    """
    if int(count) == 0:
        return np.zeros((0, *(side or 0 for side in shape)), dtype)
    first = np.asarray(fn(0), dtype)
    out = np.empty((int(count), *first.shape), dtype)
    out[0] = first
    for index in range(1, int(count)):
        out[index] = fn(index)
    return out
