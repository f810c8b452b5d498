"""Byte strings and Unicode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def strings(values: Sequence[Any]) -> Any:
    return tf.stack([tf.convert_to_tensor(value, tf.string) for value in values])


def code_points(text: Any) -> Any:
    return tf.strings.unicode_decode(text, "UTF-8", errors="replace")


def join(strings: Any) -> Any:
    return tf.strings.reduce_join(strings, axis=-1)
