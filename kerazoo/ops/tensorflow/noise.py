"""Random numbers that depend on nothing but a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def _mixed(bits: Any) -> Any:
    for shift, factor in _MIX:
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64)))
        bits = bits * tf.constant(factor, tf.uint64)
    return bits


def uniform(seeds: Any, count: int) -> Any:
    keys = _mixed(tf.bitcast(tf.cast(seeds, tf.int64), tf.uint64) + tf.constant(_GAMMA, tf.uint64))
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    bits = _mixed(keys[:, None] + tf.constant(steps))
    upper = tf.cast(tf.bitwise.right_shift(bits, tf.constant(11, tf.uint64)), tf.float64)
    return (upper + 0.5) * 2.0**-53


def normal(seeds: Any, count: int) -> Any:
    pairs = uniform(seeds, 2 * count)
    radius = tf.sqrt(-2.0 * tf.math.log(pairs[:, 0::2]))
    return tf.cast(radius * tf.cos(2.0 * np.pi * pairs[:, 1::2]), tf.float32)
