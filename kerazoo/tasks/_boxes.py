"""Boxes: of many that overlap, those that stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.contract import Tensor

BAND = 128
"""So many boxes at once are compared with all others."""


def nms(
    ops: Any,
    boxes: Tensor,
    scores: Tensor,
    count: int,
    overlap: float = 0.5,
    least: float = 0.0,
    candidates: int = 1000,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Non-maximum suppression class by class: a box stays unless one that stays and scores higher overlaps it.

    Args:
        ops: The array functions.
        boxes: Float32 [batch, n, 4], top, left, bottom and right in any unit; shared by all classes.
        scores: Float32 [batch, n, classes]; n and classes are known in a graph too.
        count: How many boxes stay at most, of all classes together.
        overlap: Intersection over union beyond which two boxes of one class show the same.
        least: Boxes stay whose score is above it.
        candidates: So many pairs of box and class that score highest are looked at.

    Returns:
        Boxes [batch, count, 4], scores [batch, count] and classes int64 [batch, count], highest score first, of equals
        the earlier box, then the earlier class; and how many they are, int32 [batch]. What lies behind is 0.
    """
    rows, many, classes = ops.length(scores), scores.shape[1], scores.shape[2]
    size = min(candidates, many * classes)
    score, place = ops.top_k(ops.reshape(scores, (rows, many * classes)), size)
    kind = place % classes
    box = ops.gather_batched(boxes, place // classes)
    order, good = ops.arange(size), score > least
    # They are sorted: of all pictures, so many may stay.
    some = ops.sum(ops.cast(ops.any(good, 0), "int32"), 0)
    near = box[:, :some], kind[:, :some], order[:some]
    # A band of them against itself and all behind it, so that what is worked on stays in a processor's cache.
    bands = [slice(start, start + BAND) for start in range(0, ops.most(some, size), BAND)]
    takes = [_takes(ops, *near, band, overlap) for band in bands]

    # Whoever is taken away only by what does not stay, stays after all. Each round settles one box more at least,
    # and rounds are few, because chains of overlapping boxes are short.
    def unsettled(stays: Tensor, before: Tensor) -> Tensor:
        return ops.any(ops.any(stays != before, 1), 0)

    def again(stays: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        free = good[:, :some]
        for band, its in zip(bands, takes, strict=True):
            taken = ops.any(its & stays[:, band, None], 1)
            free = ops.concat([free[:, : band.start], free[:, band.start :] & ~taken], 1)
        return free, stays

    first = good[:, :some]
    stays, _ = ops.while_loop(unsettled, again, (first, first & ~first))
    stays = ops.concat([stays, good[:, some:]], 1)
    # Those that stay first, each in its order.
    kept = ops.top_k(ops.cast(stays, "int32"), min(count, size))[1]
    shown = ops.gather_batched(stays, kept)
    missing = ((0, 0), (0, count - min(count, size)))
    score = ops.where(shown, ops.gather_batched(score, kept), ops.full((1, 1), 0.0, "float32"))
    kind = ops.where(shown, ops.gather_batched(kind, kept), ops.full((1, 1), 0, "int64"))
    box = ops.where(shown[:, :, None], ops.gather_batched(box, kept), ops.full((1, 1, 1), 0.0, "float32"))
    found = ops.sum(ops.cast(shown, "int32"), 1)
    return ops.pad(box, (*missing, (0, 0))), ops.pad(score, missing), ops.pad(kind, missing), found


def _takes(ops: Any, box: Tensor, kind: Tensor, order: Tensor, band: slice, overlap: float) -> Tensor:
    """[batch, a, b]: whether a, a box of the band, takes b, no earlier one, away if it stays."""
    behind = slice(band.start, None)
    top, left, bottom, right = (box[:, :, side] for side in range(4))

    def shared(near: Tensor, far: Tensor) -> Tensor:
        side = ops.minimum(far[:, band, None], far[:, None, behind])
        side = side - ops.maximum(near[:, band, None], near[:, None, behind])
        return ops.maximum(side, 0.0)

    both = shared(top, bottom) * shared(left, right)
    area = (bottom - top) * (right - left)
    over = both > overlap * (area[:, band, None] + area[:, None, behind] - both)
    return over & (kind[:, band, None] == kind[:, None, behind]) & (order[band, None] < order[behind])


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [n, 4] and [m, 4], two corners each: [n, m]; 0 where neither has an area."""
    shared = np.minimum(one[:, None, 2:], other[None, :, 2:]) - np.maximum(one[:, None, :2], other[None, :, :2])
    shared = np.maximum(shared, 0.0).prod(-1)
    area, its = ((box[:, 2:] - box[:, :2]).prod(-1) for box in (one, other))
    union = area[:, None] + its[None] - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
