"""Byte strings and Unicode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def strings(values: Sequence[Any]) -> np.ndarray:
    """Byte strings as one array [count]."""
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array


def code_points(text: bytes) -> np.ndarray:
    """int32 [n]: the Unicode code points of one UTF-8 text; U+FFFD for each stretch of bytes that is none."""
    return np.array([ord(letter) for letter in text.decode("utf-8", "replace")], np.int32)


def join(strings: np.ndarray) -> np.ndarray:
    """Byte strings [batch, n] joined along the last axis to [batch]."""
    out = np.empty(len(strings), object)
    out[:] = [b"".join(row) for row in strings]
    return out


def word_pieces(text: bytes, codec: Any) -> np.ndarray:
    """int32 [n]: the numbers of one UTF-8 text's pieces, as a codec of pieces has them."""
    return np.array(codec.pieces(text.decode("utf-8", "replace")), np.int32)
