"""Arithmetic and rearrangement of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def length(array: Any) -> Any:
    return tf.shape(array)[0]


def minimum(a: Any, b: Any) -> Any:
    return tf.minimum(a, b)


def maximum(a: Any, b: Any) -> Any:
    return tf.maximum(a, b)


def cast(array: Any, dtype: str) -> Any:
    return tf.cast(array, dtype)


def softmax(logits: Any) -> Any:
    return tf.nn.softmax(logits)


def argmax(array: Any, axis: int = -1) -> Any:
    return tf.argmax(array, axis=axis, output_type=tf.int64)


def top_k(scores: Any, k: int) -> tuple[Any, Any]:
    values, indices = tf.math.top_k(scores, k)
    return values, tf.cast(indices, tf.int64)


def gather(values: Any, indices: Any) -> Any:
    if isinstance(values, tuple) and values and isinstance(values[0], str):
        values = np.array([text.encode() for text in values], object)
    return tf.gather(tf.convert_to_tensor(values), indices)


def arange(stop: Any) -> Any:
    return tf.range(tf.cast(stop, tf.int32))


def full(shape: Sequence[Any], value: Any, dtype: str) -> Any:
    return tf.fill(shape, tf.constant(value, dtype))


def most(number: Any, limit: int) -> int:
    return limit


def gather_batched(values: Any, indices: Any) -> Any:
    return tf.gather(values, indices, batch_dims=1)


def reshape(array: Any, shape: Sequence[Any]) -> Any:
    return tf.reshape(array, shape)


def transpose(array: Any, axes: Sequence[int]) -> Any:
    return tf.transpose(array, axes)


def concat(arrays: Sequence[Any], axis: int) -> Any:
    return tf.concat(arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int) -> Any:
    return tf.stack(arrays, axis=axis)


def pad(array: Any, widths: Sequence[tuple[Any, Any]], value: float = 0.0) -> Any:
    return tf.pad(array, widths, constant_values=tf.cast(value, array.dtype))


def where(condition: Any, yes: Any, no: Any) -> Any:
    return tf.where(condition, yes, no)


def sum(array: Any, axis: int, keepdims: bool = False) -> Any:
    return tf.reduce_sum(array, axis=axis, keepdims=keepdims)


def any(array: Any, axis: int) -> Any:
    return tf.reduce_any(array, axis)


def cumsum(array: Any) -> Any:
    return tf.cumsum(array, axis=-1)


def matmul(a: Any, b: Any) -> Any:
    return tf.matmul(a, b)


def abs(array: Any) -> Any:
    return tf.abs(array)


def exp(array: Any) -> Any:
    return tf.exp(array)


def sqrt(array: Any) -> Any:
    return tf.sqrt(array)


def round(array: Any) -> Any:
    return tf.round(array)


def sigmoid(logits: Any) -> Any:
    return tf.tanh(logits * 0.5) * 0.5 + 0.5


def log_softmax(logits: Any) -> Any:
    return tf.nn.log_softmax(logits)


def unique(values: Any) -> Any:
    return tf.unique(tf.sort(values))[0]


def bincount(indices: Any, size: Any) -> Any:
    size = tf.cast(size, tf.int32)
    return tf.math.bincount(tf.cast(indices, tf.int32), minlength=size, maxlength=size)


def segment_sum(values: Any, indices: Any, size: Any) -> Any:
    return tf.math.unsorted_segment_sum(values, indices, size)


def segment_min(values: Any, indices: Any, size: Any) -> Any:
    return tf.math.unsorted_segment_min(values, indices, size)


def searchsorted(ascending: Any, values: Any) -> Any:
    return tf.searchsorted(tf.convert_to_tensor(ascending), values, side="right")
