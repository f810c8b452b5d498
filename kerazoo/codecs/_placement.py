"""Where a picture lies in the pixels that a network sees, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerazoo.contract import Tensor


@dataclass(frozen=True)
class Placement:
    """A place in a picture, times `scale`, plus `offset`, is its place in the fitted pixels.

    Places are measured from the top left corner in pixels, so that the middle of the first pixel is 0.5. Each field is
    (down, across): a pair of numbers for one picture, or float32 [batch, 2].

    Attributes:
        size: Height and width of the picture.
        scale: Fitted pixels a pixel of the picture.
        offset: Top left corner of the picture in the fitted pixels; negative where it was cropped.
    """

    size: Any
    scale: Any
    offset: Any

    def packed(self, ops: Any) -> Tensor:
        """One picture's as float32 [3, 2], the fields in their order."""
        return ops.stack([_pair(ops, field) for field in (self.size, self.scale, self.offset)], 0)

    @classmethod
    def unpacked(cls, packed: Tensor) -> Placement:
        """Float32 [batch, 3, 2] to the placement of a batch; [3, 2] to that of one picture."""
        return cls(packed[..., 0, :], packed[..., 1, :], packed[..., 2, :])

    def of(self, row: Tensor) -> Placement:
        """One picture's of a batch."""
        return Placement(self.size[row], self.scale[row], self.offset[row])

    def boxes(self, ops: Any, boxes: Tensor) -> Tensor:
        """Boxes in fitted pixels to boxes in the picture's, limited to the picture.

        Args:
            boxes: Float32 [n, 4] of one picture or [batch, n, 4]: top, left, bottom, right.
        """
        size, scale, offset = (_twice(ops, field) for field in (self.size, self.scale, self.offset))
        return ops.minimum(ops.maximum((boxes - offset) / scale, 0.0), size)

    def spread(self, ops: Any, values: Tensor, rows: Tensor, fitted: tuple[int, int]) -> Tensor:
        """Values over the fitted pixels to values over rows of one picture, between four values bilinearly.

        What the fitted pixels do not show has the value at their border.

        Args:
            values: Float32 [h, w, n] that cover the fitted pixels evenly, at any resolution.
            rows: int32 [m], which rows of the picture.
            fitted: Height and width of the fitted pixels.

        Returns:
            Float32 [m, width of the picture, n].
        """
        size, scale, offset = (_pair(ops, field) for field in (self.size, self.scale, self.offset))
        columns = ops.arange(ops.cast(size[1], "int32"))
        tall, wide = ops.size(values)
        for axis, (places, cells) in enumerate(((rows, tall), (columns, wide))):
            at = (ops.cast(places, "float32") + 0.5) * scale[axis] + offset[axis]
            at = at * (ops.cast(cells, "float32") / fitted[axis]) - 0.5
            at = ops.minimum(ops.maximum(at, 0.0), ops.cast(cells - 1, "float32"))
            before = ops.cast(at, "int32")
            share = (at - ops.cast(before, "float32"))[:, None, None]
            after = ops.minimum(before + 1, cells - 1)
            values = ops.gather(values, before) * (1.0 - share) + ops.gather(values, after) * share
            values = ops.transpose(values, (1, 0, 2))
        return values


def _pair(ops: Any, field: Any) -> Tensor:
    return ops.stack([ops.cast(side, "float32") for side in field], 0) if isinstance(field, tuple) else field


def _twice(ops: Any, field: Any) -> Tensor:
    """[..., 2] to [..., 1, 4]."""
    pair = _pair(ops, field)
    return ops.concat([pair, pair], -1)[..., None, :]
