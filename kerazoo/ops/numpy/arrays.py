"""Arithmetic and rearrangement of arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerazoo.ops.numpy.text import strings


def length(array: np.ndarray) -> int:
    """Size of the first axis."""
    return len(array)


def minimum(a: Any, b: Any) -> Any:
    least: Any = np.minimum(a, b)
    return int(least) if isinstance(a, int) and isinstance(b, int) else least


def maximum(a: Any, b: Any) -> Any:
    most: Any = np.maximum(a, b)
    return int(most) if isinstance(a, int) and isinstance(b, int) else most


def cast(array: Any, dtype: str) -> np.ndarray:
    return np.asarray(array).astype(dtype)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def argmax(array: np.ndarray, axis: int = -1) -> np.ndarray:
    """int64; the first of equals."""
    return np.argmax(array, axis=axis).astype(np.int64)


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of the last axis and their int64 positions, largest first, the earlier of equals first."""
    if scores.shape[-1] > 2 * k and k:
        # Only what reaches the k-th largest is sorted: the others can be no part of it.
        flat = scores.reshape(-1, scores.shape[-1])
        order = np.stack([_largest(row, k) for row in flat]) if len(flat) else np.zeros((0, k), np.int64)
        order = order.reshape(*scores.shape[:-1], k)
    else:
        order = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(scores, order, axis=-1), order.astype(np.int64)


BLOCK = 64


def _largest(row: np.ndarray, k: int) -> np.ndarray:
    falling = -row
    # Of blocks the least, of these the k-th: no less is the k-th of all, and few reach it.
    blocks = falling[: len(row) // BLOCK * BLOCK].reshape(-1, BLOCK)
    highest = np.partition(blocks.min(1), k - 1)[k - 1] if len(blocks) >= k else np.float32(np.inf)
    near = falling[falling <= highest]
    bound = np.partition(near, k - 1)[k - 1] if len(near) >= k else np.nan
    (reaching,) = np.nonzero(falling <= bound)
    if len(reaching) < k:  # NaN reaches nothing.
        reaching = np.arange(len(row))
    return reaching[np.argsort(falling[reaching], kind="stable")[:k]]


def gather(values: Any, indices: np.ndarray) -> np.ndarray:
    """`values[indices]` along the first axis; values may be a tuple of strings, which come back as UTF-8 bytes."""
    if isinstance(values, tuple) and values and isinstance(values[0], str):
        values = _encoded(values)
    return np.asarray(values)[indices]


@functools.lru_cache(maxsize=16)
def _encoded(texts: tuple[str, ...]) -> np.ndarray:
    return strings([text.encode() for text in texts])


def arange(stop: Any) -> np.ndarray:
    """int32 0, 1, ... up to and without `stop`."""
    return np.arange(int(stop), dtype=np.int32)


def full(shape: Sequence[Any], value: Any, dtype: str) -> np.ndarray:
    """One value everywhere."""
    return np.full([int(side) for side in shape], value, dtype)


def most(number: Any, limit: int) -> int:
    """How large a number can be that is at most `limit`: here that is known, in a graph not before it runs."""
    return int(number)


def gather_batched(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Row by row: values [batch, n, ...] and indices [batch, k] to [batch, k, ...]."""
    return values[np.arange(len(values))[:, None], indices]


def reshape(array: Any, shape: Sequence[Any]) -> np.ndarray:
    return np.reshape(array, [int(side) for side in shape])


def transpose(array: Any, axes: Sequence[int]) -> np.ndarray:
    return np.transpose(array, axes)


def concat(arrays: Sequence[Any], axis: int) -> np.ndarray:
    return np.concatenate(arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int) -> np.ndarray:
    return np.stack(arrays, axis=axis)


def pad(array: Any, widths: Sequence[tuple[Any, Any]], value: float = 0.0) -> np.ndarray:
    """One value around an array: for each axis how many before it and behind it."""
    # `np.pad`, which takes several times as long for what is small.
    array = np.asarray(array)
    around = [(int(before), int(behind)) for before, behind in widths]
    sides = [before + side + behind for side, (before, behind) in zip(array.shape, around, strict=True)]
    padded = np.full(sides, value, array.dtype)
    padded[tuple(slice(before, before + side) for side, (before, _) in zip(array.shape, around, strict=True))] = array
    return padded


def where(condition: Any, yes: Any, no: Any) -> np.ndarray:
    return np.where(condition, yes, no)


def sum(array: Any, axis: int, keepdims: bool = False) -> np.ndarray:
    """Sum along one axis, in the array's own dtype."""
    array = np.asarray(array)
    return array.sum(axis=axis, keepdims=keepdims, dtype=array.dtype)


def any(array: np.ndarray, axis: int) -> np.ndarray:
    """Whether anything along one axis is true."""
    return np.any(array, axis=axis)


def cumsum(array: Any) -> np.ndarray:
    """Running sum along the last axis, in the array's own dtype."""
    array = np.asarray(array)
    return array.cumsum(axis=-1, dtype=array.dtype)


def matmul(a: Any, b: Any) -> np.ndarray:
    """Products of matrices [..., n, m] and [..., m, k]: [..., n, k]."""
    return np.matmul(a, b)


def abs(array: Any) -> np.ndarray:
    """Of complex numbers the magnitude."""
    return np.abs(array)


def exp(array: Any) -> np.ndarray:
    return np.exp(array)


def sqrt(array: Any) -> np.ndarray:
    return np.sqrt(array)


def round(array: Any) -> np.ndarray:
    """To whole numbers, halves to the even one."""
    return np.rint(array)


def sigmoid(logits: Any) -> np.ndarray:
    """By way of tanh, which neither overflows nor warns."""
    return np.tanh(np.asarray(logits) * 0.5) * 0.5 + 0.5


def log_softmax(logits: Any) -> np.ndarray:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def unique(values: np.ndarray) -> np.ndarray:
    """The different values of [n], ascending."""
    return np.unique(values)


def bincount(indices: np.ndarray, size: Any) -> np.ndarray:
    """int32 [size]: how often each of 0, 1, ..., size - 1 occurs in [n]."""
    return np.bincount(indices, minlength=int(size))[: int(size)].astype(np.int32)


def segment_sum(values: np.ndarray, indices: np.ndarray, size: Any) -> np.ndarray:
    """[size]: at each place the sum of the `values` [n] whose index [n] it is; integers wrap around."""
    out = np.zeros(int(size), values.dtype)
    np.add.at(out, indices, values)
    return out


def segment_min(values: np.ndarray, indices: np.ndarray, size: Any) -> np.ndarray:
    """[size]: at each place the least of the `values` [n] whose index [n] it is; where there is none, the largest."""
    out = np.full(int(size), np.iinfo(values.dtype).max, values.dtype)
    np.minimum.at(out, indices, values)
    return out


def searchsorted(ascending: Any, values: np.ndarray) -> np.ndarray:
    """int32 [n]: for each of `values` [n] how many of `ascending` [m], which has no two equal ones, are at most it."""
    return np.searchsorted(np.asarray(ascending), values, side="right").astype(np.int32)
