"""Boxes: of many that overlap, those that stay."""

from __future__ import annotations

from typing import Any

from kerazoo.contract import Tensor


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
    top, left, bottom, right = (box[:, :, side] for side in range(4))

    shared_height = ops.minimum(bottom[:, :, None], bottom[:, None]) - ops.maximum(top[:, :, None], top[:, None])
    shared_width = ops.minimum(right[:, :, None], right[:, None]) - ops.maximum(left[:, :, None], left[:, None])
    shared = ops.maximum(shared_height, 0.0) * ops.maximum(shared_width, 0.0)
    area = (bottom - top) * (right - left)
    order = ops.arange(size)
    # [batch, a, b]: whether a, if it stays, takes b away.
    over = shared > overlap * (area[:, :, None] + area[:, None] - shared)
    takes = over & (kind[:, :, None] == kind[:, None]) & (order[:, None] < order)

    # Whoever is taken away only by what does not stay, stays after all. Each round settles one box more at least,
    # and rounds are few, because chains of overlapping boxes are short.
    def unsettled(stays: Tensor, before: Tensor) -> Tensor:
        return ops.sum(ops.sum(ops.cast(stays != before, "int32"), 1), 0) > 0

    def again(stays: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        taken = ops.sum(ops.cast(takes & stays[:, :, None], "int32"), 1) > 0
        return ~taken & (score > least), stays

    stays, _ = ops.while_loop(unsettled, again, (score > least, score < score))
    # Those that stay first, each in its order.
    kept = ops.top_k(ops.where(stays, 2 * size - order, size - order), min(count, size))[1]
    shown = ops.gather_batched(stays, kept)
    missing = ((0, 0), (0, count - min(count, size)))
    score = ops.where(shown, ops.gather_batched(score, kept), ops.full((1, 1), 0.0, "float32"))
    kind = ops.where(shown, ops.gather_batched(kind, kept), ops.full((1, 1), 0, "int64"))
    box = ops.where(shown[:, :, None], ops.gather_batched(box, kept), ops.full((1, 1, 1), 0.0, "float32"))
    found = ops.sum(ops.cast(shown, "int32"), 1)
    return ops.pad(box, (*missing, (0, 0))), ops.pad(score, missing), ops.pad(kind, missing), found
