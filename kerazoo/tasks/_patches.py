"""A picture through a network in overlapping patches, whose answers are averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerazoo.contract import Tensor

BLOCK = 96
"""Steps of the patches that a block of the picture is long and wide: with it the memory is bounded."""


def over_patches(
    ops: Any, pixels: Tensor, patch: int, stride: int, fn: Callable[[Tensor], Tensor], classes: int
) -> Tensor:
    """The mean over all patches of the probabilities that `fn` gives.

    The picture is made as much larger, with zeros below and to the right, as it needs for the patches to fill it.

    Args:
        ops: The array functions.
        pixels: uint8 [height, width, channels].
        patch: Side of a patch.
        stride: From one patch to the next, down and across.
        fn: From float32 patches [n, patch, patch, channels] in 0..255 to [n, patch, patch, classes].
        classes: How many.

    Returns:
        uint8 [height, width, 2]: the most probable class, and the last class's probability times 255, rounded down.
    """
    height, width = ops.size(pixels)
    channels = pixels.shape[-1]
    # Patches in a column and in a row, and steps that the picture is then high and wide.
    down, across = (ops.maximum(-((patch - side) // stride), 0) + 1 for side in (height, width))
    chunks = (patch + stride - 1) // stride
    tall = ops.minimum(down + chunks - 1, BLOCK)
    wide = ops.minimum(across + chunks - 1, BLOCK)
    rows, columns = (down + chunks - 2) // tall + 1, (across + chunks - 2) // wide + 1
    flat = ops.concat([ops.reshape(pixels, (height * width, channels)), ops.full((1, channels), 0, "uint8")], 0)
    inside = ops.arange(patch)
    # What a patch says stands in whole chunks of a step each; the last one may be longer than the patch.
    longer = chunks * stride - patch

    def block(index: Tensor) -> Tensor:
        first, left = index // columns * tall - (chunks - 1), index % columns * wide - (chunks - 1)
        across_here = left + ops.arange(wide + chunks - 1)
        there = ops.cast((across_here >= 0) & (across_here < across), "float32")

        def line(step: Tensor) -> Tensor:
            """The sums of one row of patches, and how many there are: [chunks * stride, wide * stride, classes + 1]."""
            row = first + step
            here = there * ops.cast((row >= 0) & (row < down), "float32")
            ys = (row * stride + inside)[None, :, None]
            xs = (across_here * stride)[:, None, None] + inside[None, None, :]
            known = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
            places = ops.where(known, ys * width + xs, height * width)
            said = fn(ops.cast(ops.gather(flat, places), "float32"))
            counted = ops.concat([said, said[:, :, :, :1] * 0.0 + 1.0], -1) * here[:, None, None, None]
            counted = ops.pad(counted, ((0, 0), (0, longer), (0, longer), (0, 0)))
            each = ops.reshape(counted, (wide + chunks - 1, chunks * stride, chunks, stride, classes + 1))
            # Chunk k of a patch lies k steps further.
            total = each[chunks - 1 :, :, 0]
            for chunk in range(1, chunks):
                total = total + each[chunks - 1 - chunk : wide + chunks - 1 - chunk, :, chunk]
            total = ops.transpose(total, (1, 0, 2, 3))
            return ops.reshape(total, (chunks * stride, wide * stride, classes + 1))

        def added(step: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
            """A row's sums onto those of the block and what lies around it."""
            above = step * stride
            below = (tall + chunks - 1) * stride - above - stride
            return step + 1, sums + ops.pad(line(step), ((above, below), (0, 0), (0, 0)))

        size = ((tall + 2 * (chunks - 1)) * stride, wide * stride, classes + 1)
        state = (ops.arange(1)[0], ops.full(size, 0.0, "float32"))
        _, sums = ops.while_loop(lambda step, sums: step < tall + chunks - 1, added, state)
        sums = sums[(chunks - 1) * stride : (chunks - 1 + tall) * stride]
        # Below and to the right of the last patch there is nothing.
        mean = sums[:, :, :classes] / ops.maximum(sums[:, :, classes:], 1.0)
        chance = ops.cast(mean[:, :, classes - 1 :] * 255.0, "uint8")
        return ops.concat([ops.cast(ops.argmax(mean, axis=-1), "uint8")[:, :, None], chance], -1)

    done = ops.map_range(block, rows * columns, (None, None, 2), "uint8")
    tall, wide = tall * stride, wide * stride
    done = ops.transpose(ops.reshape(done, (rows, columns, tall, wide, 2)), (0, 2, 1, 3, 4))
    return ops.reshape(done, (rows * tall, columns * wide, 2))[:height, :width]
