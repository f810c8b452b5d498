"""The array functions of a task on TensorFlow, safe in a graph: these are baked into a SavedModel.

Each function has its twin of the same name in `kerazoo.ops.numpy`, which documents it; a test holds one against the
other. What the graph cannot do, the host does before it asks: EXIF rotation, transparency and rare formats
(`kerazoo.codecs.image.plain`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# --- pictures ---------------------------------------------------------------------------------------------------


def decode_image(data: Any, channels: int) -> Any:
    # The accurate inverse DCT is what Pillow uses; TensorFlow's default differs by up to four grey levels.
    rgb = tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    rgb = tf.ensure_shape(rgb, (None, None, 3))
    if channels == 3:
        return rgb
    # ITU-R 601 luma in 16-bit fixed point, rounded as Pillow rounds it.
    wide = tf.cast(rgb, tf.int32)
    luma = (wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 0x8000) // 65536
    return tf.cast(luma, tf.uint8)[..., None]


def decode_picture(data: Any, channels: int) -> Any:
    return decode_image(data, channels)


def crop(pixels: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    return pixels[top : top + height, left : left + width]


def encode_png(pixels: Any) -> Any:
    return tf.io.encode_png(pixels)


def resize(pixels: Any, height: Any, width: Any, interpolation: str, part: tuple[Any, ...] | None = None) -> Any:
    # Pillow's bicubic has a = -0.5 (Keys); so has TensorFlow's when it antialiases.
    resized = tf.image.resize(pixels, (height, width), method=interpolation, antialias=True)
    levels = tf.clip_by_value(tf.round(resized), 0.0, 255.0)
    return levels if part is None else crop(levels, *part)


# --- arrays -----------------------------------------------------------------------------------------------------


def map_items(fn: Callable[[Any], Any], items: Any, shape: Sequence[int | None] | None = None) -> Any:
    spec = tf.TensorSpec((), tf.string) if shape is None else tf.TensorSpec(shape, tf.float32)
    return tf.map_fn(fn, items, fn_output_signature=spec)


def strings(values: Sequence[Any]) -> Any:
    return tf.stack([tf.convert_to_tensor(value, tf.string) for value in values])


def size(pixels: Any) -> tuple[Any, Any]:
    shape = tf.shape(pixels)
    return shape[0], shape[1]


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


# --- text, randomness, loops, tiles ---


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


def arange(stop: Any) -> Any:
    return tf.range(tf.cast(stop, tf.int32))


def full(shape: Sequence[Any], value: Any, dtype: str) -> Any:
    return tf.fill(shape, tf.constant(value, dtype))


def reshape(array: Any, shape: Sequence[Any]) -> Any:
    return tf.reshape(array, shape)


def transpose(array: Any, axes: Sequence[int]) -> Any:
    return tf.transpose(array, axes)


def concat(arrays: Sequence[Any], axis: int) -> Any:
    return tf.concat(arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int) -> Any:
    return tf.stack(arrays, axis=axis)


def where(condition: Any, yes: Any, no: Any) -> Any:
    return tf.where(condition, yes, no)


def sum(array: Any, axis: int, keepdims: bool = False) -> Any:
    return tf.reduce_sum(array, axis=axis, keepdims=keepdims)


def cumsum(array: Any) -> Any:
    return tf.cumsum(array, axis=-1)


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


def searchsorted(ascending: Any, values: Any) -> Any:
    return tf.searchsorted(tf.convert_to_tensor(ascending), values, side="right")


def whole(array: Any) -> Any:
    return tf.cast(tf.clip_by_value(tf.round(array), 0.0, 255.0), tf.uint8)


def code_points(text: Any) -> Any:
    return tf.strings.unicode_decode(text, "UTF-8", errors="replace")


def join(strings: Any) -> Any:
    return tf.strings.reduce_join(strings, axis=-1)


_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def _mixed(bits: Any) -> Any:
    for shift, factor in _MIX:
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64)))
        bits = bits * tf.constant(factor, tf.uint64)
    return bits


def normal(seeds: Any, count: int) -> Any:
    keys = _mixed(tf.bitcast(tf.cast(seeds, tf.int64), tf.uint64) + tf.constant(_GAMMA, tf.uint64))
    steps = np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    bits = _mixed(keys[:, None] + tf.constant(steps))
    upper = tf.cast(tf.bitwise.right_shift(bits, tf.constant(11, tf.uint64)), tf.float64)
    uniform = (upper + 0.5) * 2.0**-53
    radius = tf.sqrt(-2.0 * tf.math.log(uniform[:, 0::2]))
    return tf.cast(radius * tf.cos(2.0 * np.pi * uniform[:, 1::2]), tf.float32)
