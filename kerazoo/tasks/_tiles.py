"""A picture of any size through a network tile by tile, as the U-Net paper does it (section 2, figure 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerazoo.contract import Tensor


def mirrored(ops: Any, places: Tensor, size: Any) -> Tensor:
    """Places on an axis, at any distance outside too, to those inside 0..size-1 that a mirror at each end shows."""
    period = ops.maximum(2 * (size - 1), 1)
    places = places % period
    return ops.minimum(places, period - places)


def windows(ops: Any, pixels: Tensor, tops: Tensor, lefts: Tensor, size: tuple[Any, Any]) -> Tensor:
    """Pieces of a picture [height, width, planes], mirrored at its borders: float32 [n, *size, planes].

    Args:
        tops, lefts: Where they begin, int32 [n, 1]; outside the picture, too.
        size: Of each, height and width.
    """
    height, width = ops.size(pixels)
    ys = mirrored(ops, tops + ops.arange(size[0]), height)
    xs = mirrored(ops, lefts + ops.arange(size[1]), width)
    flat = ops.reshape(pixels, (height * width, pixels.shape[-1]))
    return ops.cast(ops.gather(flat, ys[:, :, None] * width + xs[:, None, :]), "float32")


def over_tiles(
    ops: Any,
    pixels: Tensor,
    core: tuple[Any, Any],
    context: int,
    fn: Callable[[Tensor], Tensor],
    scale: int = 1,
    dtype: str = "float32",
    together: int = 1,
    channels: int = 0,
) -> Tensor:
    """Cuts a picture into tiles, runs each with what surrounds it, and puts the results together.

    Args:
        ops: The array functions.
        pixels: uint8 or float32 [height, width, planes].
        core: Height and width of what one tile contributes.
        context: Pixels that a tile sees beyond its core on each side, mirrored at the picture's borders.
        fn: From float32 tiles [n, core + 2 context, core + 2 context, planes] to [n, core * scale, core * scale], with
            an axis of `channels` more where there are some.
        scale: How much larger the result is.
        dtype: Of the result.
        together: Most tiles that go through `fn` at once: with it the memory is bounded.
        channels: Of the result; 0 where it has no such axis.

    Returns:
        The result [height * scale, width * scale], or [height * scale, width * scale, channels].
    """
    height, width = ops.size(pixels)
    tall, wide = core
    rows, columns = (height + tall - 1) // tall, (width + wide - 1) // wide
    tiles = rows * columns
    groups = (tiles + together - 1) // together
    each = (tiles + groups - 1) // groups
    size = tall + 2 * context, wide + 2 * context

    def run(group: Any) -> Tensor:
        tile = ops.minimum(group * each + ops.arange(each), tiles - 1)[:, None]
        tops, lefts = tile // columns * tall - context, tile % columns * wide - context
        return ops.cast(fn(windows(ops, pixels, tops, lefts, size)), dtype)

    more, axes = ((channels,), (0, 2, 1, 3, 4)) if channels else ((), (0, 2, 1, 3))
    done = ops.map_range(run, groups, (None, None, None, *more), dtype)
    tall, wide = tall * scale, wide * scale
    done = ops.reshape(done, (groups * each, tall, wide, *more))[:tiles]
    done = ops.transpose(ops.reshape(done, (rows, columns, tall, wide, *more)), axes)
    return ops.reshape(done, (rows * tall, columns * wide, *more))[: height * scale, : width * scale]
