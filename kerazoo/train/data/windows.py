"""Texts in windows of equal length, each with what follows its characters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kerazoo.codecs._characters import Characters
from kerazoo.train.data.arrays import Arrays


def windows(texts: Iterable[str], codec: Characters, length: int) -> tuple[Arrays, np.ndarray]:
    """Cuts texts; each stands between two line breaks, and none shares a window with another.

    Args:
        codec: Numbers characters.
        length: Characters of a window; what the last one of a text lacks is filled up.

    Returns:
        Arrays of characters int32 [n, length], of those that follow them int32 [n, length], and of 1 where one does and
        0 in what is filled up, float32 [n, length]; and for each window the number of its text, int64 [n].
    """
    rows: list[np.ndarray] = []
    owners: list[int] = []
    for owner, text in enumerate(texts):
        numbers = np.concatenate([[codec.line], codec.numbers(text), [codec.line]])
        for start in range(0, len(numbers) - 1, length):
            row = np.full(length + 1, -1, np.int32)
            piece = numbers[start : start + length + 1]
            row[: len(piece)] = piece
            rows.append(row)
            owners.append(owner)
    whole = np.stack(rows)
    known = (whole[:, 1:] >= 0).astype(np.float32)
    filled = np.maximum(whole, 0)
    return Arrays((filled[:, :-1], filled[:, 1:], known)), np.array(owners)
