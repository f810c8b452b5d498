"""Loops, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def map_items(fn: Callable[[Any], Any], items: Any, shape: Any = None, dtype: Any = "float32") -> Any:
    if isinstance(dtype, tuple):
        spec: Any = tuple(tf.TensorSpec(*each) for each in zip(shape, dtype, strict=True))
    else:
        spec = tf.TensorSpec((), tf.string) if shape is None else tf.TensorSpec(shape, dtype)
    return tf.map_fn(fn, items, fn_output_signature=spec)


def check(condition: Any, message: str) -> None:
    # In a function the assertion runs because automatic control dependencies keep it, though nothing reads it.
    tf.debugging.Assert(tf.reduce_all(condition), [tf.constant(message)])


def while_loop(cond: Callable[..., Any], body: Callable[..., Any], state: Sequence[Any]) -> tuple[Any, ...]:
    state = tuple(tf.convert_to_tensor(value) for value in state)
    shapes = [value.shape for value in state]

    def step(*values: Any) -> tuple[Any, ...]:
        # What a step loses of a static shape would be refused as a change of shape.
        return tuple(tf.ensure_shape(value, shape) for value, shape in zip(body(*values), shapes, strict=True))

    return tuple(tf.while_loop(cond, step, state, parallel_iterations=1))


def map_range(fn: Callable[[Any], Any], count: Any, shape: Sequence[int | None], dtype: str) -> Any:
    spec = tf.TensorSpec(shape, dtype)
    return tf.map_fn(fn, tf.range(count), fn_output_signature=spec, parallel_iterations=1)
