"""The array functions of a task on NumPy and Pillow: no TensorFlow in the process.

Each function has its twin of the same name in `kerazoo.ops.tensorflow`; a test holds one against the other.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.errors import InputError
from kerazoo.ops.pictures import open_image

# --- pictures ---------------------------------------------------------------------------------------------------

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def decode_image(data: bytes, channels: int) -> np.ndarray:
    """One encoded picture to uint8 [height, width, channels]; channels 1 is ITU-R 601 luma, 3 is RGB."""
    array = np.asarray(decode_picture(data, channels))
    return array[..., None] if channels == 1 else array


def decode_picture(data: bytes, channels: int) -> Image.Image:
    """`decode_image` for a picture that is only measured, cropped and resized: it need not become an array first."""
    return open_image(bytes(data), "L" if channels == 1 else "RGB")


def crop(pixels: Any, top: int, left: int, height: int, width: int) -> Any:
    """A rectangle of a picture, array [h, w, channels] or what `decode_picture` gave."""
    if not isinstance(pixels, Image.Image):
        return pixels[top : top + height, left : left + width]
    whole = (left, top, left + width, top + height) == (0, 0, *pixels.size)
    return pixels if whole else pixels.crop((left, top, left + width, top + height))


def encode_png(pixels: np.ndarray) -> bytes:
    """A picture uint8 [height, width, 1 or 3] to PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
    return out.getvalue()


def resize(
    pixels: Any, height: int, width: int, interpolation: str, part: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """A picture to float32 [height, width, channels] of whole numbers, antialiased.

    Args:
        pixels: uint8 [h, w, channels], or what `decode_picture` gave.
        part: Top, left, height and width of what is kept of the result; all of it by default.
    """
    image = pixels
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    box = None
    if part is not None and image.width > width and image.height > height:
        # Of a picture that shrinks, only what is kept is computed, from the pixels that it comes from.
        box, (width, height), part = _source(part, image, width, height), part[:1:-1], None
    if image.size != (width, height) or box is not None:
        image = image.resize((int(width), int(height)), _FILTERS[interpolation], box)
    if part is not None:
        # Cropped before it becomes floats, so that only what is kept is converted.
        image = crop(image, *part)
    array = np.asarray(image, np.float32)
    return array if array.ndim == 3 else array[..., None]


def _source(part: tuple[int, int, int, int], image: Any, wide: int, tall: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in a picture of a part of it when it is resized to wide x tall."""
    top, left, height, width = part
    across, down = image.width / wide, image.height / tall
    right, bottom = min((left + width) * across, image.width), min((top + height) * down, image.height)
    return left * across, top * down, right, bottom


# --- arrays -----------------------------------------------------------------------------------------------------


def map_items(fn: Callable[[Any], Any], items: Sequence[Any], shape: Sequence[int | None] | None = None) -> np.ndarray:
    """`fn` over the items, stacked. `shape` is one result's shape; `None` says that results are encoded bytes."""
    results = [fn(item) for item in items]
    if shape is None:
        return strings(results)
    if not results:
        return np.zeros((0, *(length or 0 for length in shape)), np.float32)
    return np.stack(results) if len(results) > 1 else results[0][None]


def strings(values: Sequence[Any]) -> np.ndarray:
    """Byte strings as one array [count]."""
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array


def size(pixels: Any) -> tuple[int, int]:
    """Height and width of a picture, array [h, w, channels] or what `decode_picture` gave."""
    return (pixels.height, pixels.width) if isinstance(pixels, Image.Image) else (pixels.shape[0], pixels.shape[1])


def length(array: np.ndarray) -> int:
    """Size of the first axis."""
    return len(array)


def minimum(a: Any, b: Any) -> Any:
    least: Any = np.minimum(a, b)
    return int(least) if isinstance(a, int) and isinstance(b, int) else least


def maximum(a: Any, b: Any) -> Any:
    most: Any = np.maximum(a, b)
    return int(most) if isinstance(a, int) and isinstance(b, int) else most


def cast(array: Any, dtype: str) -> np.ndarray:
    return np.asarray(array).astype(dtype)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def argmax(array: np.ndarray, axis: int = -1) -> np.ndarray:
    """int64; the first of equals."""
    return np.argmax(array, axis=axis).astype(np.int64)


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of the last axis and their int64 positions, largest first, the earlier of equals first."""
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(scores, order, axis=-1), order.astype(np.int64)


def gather(values: Any, indices: np.ndarray) -> np.ndarray:
    """`values[indices]` along the first axis; values may be a tuple of strings, which come back as UTF-8 bytes."""
    if isinstance(values, tuple) and values and isinstance(values[0], str):
        values = _encoded(values)
    return np.asarray(values)[indices]


@functools.lru_cache(maxsize=16)
def _encoded(texts: tuple[str, ...]) -> np.ndarray:
    return strings([text.encode() for text in texts])


# --- text, randomness, loops, tiles ---


def check(condition: Any, message: str) -> None:
    """Refuses the request with `message` unless the condition, a boolean of any shape, holds throughout.

    Raises:
        InputError: It does not hold. (In a graph: `InvalidArgumentError` with the same message.)
    """
    if not np.all(condition):
        raise InputError(message)


def while_loop(cond: Callable[..., Any], body: Callable[..., Any], state: Sequence[Any]) -> tuple[Any, ...]:
    """`state = body(*state)` while `cond(*state)` is true; shapes and dtypes of the state must stay as they are."""
    state = tuple(state)
    while bool(cond(*state)):
        state = tuple(body(*state))
    return state


def map_range(fn: Callable[[Any], Any], count: Any, shape: Sequence[int | None], dtype: str) -> np.ndarray:
    """`fn(0), fn(1), ...` stacked: one after the other, so that the memory of one call bounds the memory of all.

    Args:
        fn: From an index to an array of `shape` and `dtype`.
        count: How many; at least one where `shape` holds `None`.
        shape: Of one result; `None` where the length is known only when it runs.
        dtype: Of one result.
    """
    if int(count) == 0:
        return np.zeros((0, *(side or 0 for side in shape)), dtype)
    first = np.asarray(fn(0), dtype)
    out = np.empty((int(count), *first.shape), dtype)
    out[0] = first
    for index in range(1, int(count)):
        out[index] = fn(index)
    return out


def arange(stop: Any) -> np.ndarray:
    """int32 0, 1, ... up to and without `stop`."""
    return np.arange(int(stop), dtype=np.int32)


def full(shape: Sequence[Any], value: Any, dtype: str) -> np.ndarray:
    """One value everywhere."""
    return np.full([int(side) for side in shape], value, dtype)


def reshape(array: Any, shape: Sequence[Any]) -> np.ndarray:
    return np.reshape(array, [int(side) for side in shape])


def transpose(array: Any, axes: Sequence[int]) -> np.ndarray:
    return np.transpose(array, axes)


def concat(arrays: Sequence[Any], axis: int) -> np.ndarray:
    return np.concatenate(arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int) -> np.ndarray:
    return np.stack(arrays, axis=axis)


def where(condition: Any, yes: Any, no: Any) -> np.ndarray:
    return np.where(condition, yes, no)


def sum(array: Any, axis: int, keepdims: bool = False) -> np.ndarray:
    """Sum along one axis, in the array's own dtype."""
    array = np.asarray(array)
    return array.sum(axis=axis, keepdims=keepdims, dtype=array.dtype)


def cumsum(array: Any) -> np.ndarray:
    """Running sum along the last axis, in the array's own dtype."""
    array = np.asarray(array)
    return array.cumsum(axis=-1, dtype=array.dtype)


def sqrt(array: Any) -> np.ndarray:
    return np.sqrt(array)


def round(array: Any) -> np.ndarray:
    """To whole numbers, halves to the even one."""
    return np.rint(array)


def sigmoid(logits: Any) -> np.ndarray:
    """By way of tanh, which neither overflows nor warns."""
    return np.tanh(np.asarray(logits) * 0.5) * 0.5 + 0.5


def log_softmax(logits: Any) -> np.ndarray:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def unique(values: np.ndarray) -> np.ndarray:
    """The different values of [n], ascending."""
    return np.unique(values)


def bincount(indices: np.ndarray, size: Any) -> np.ndarray:
    """int32 [size]: how often each of 0, 1, ..., size - 1 occurs in [n]."""
    return np.bincount(indices, minlength=int(size))[: int(size)].astype(np.int32)


def segment_sum(values: np.ndarray, indices: np.ndarray, size: Any) -> np.ndarray:
    """[size]: at each place the sum of the `values` [n] whose index [n] it is; integers wrap around."""
    out = np.zeros(int(size), values.dtype)
    np.add.at(out, indices, values)
    return out


def searchsorted(ascending: Any, values: np.ndarray) -> np.ndarray:
    """int32 [n]: for each of `values` [n] how many of `ascending` [m], which has no two equal ones, are at most it."""
    return np.searchsorted(np.asarray(ascending), values, side="right").astype(np.int32)


def whole(array: Any) -> np.ndarray:
    """Grey levels as uint8: rounded half to even, limited to 0..255."""
    return np.clip(np.rint(array), 0, 255).astype(np.uint8)


def code_points(text: bytes) -> np.ndarray:
    """int32 [n]: the Unicode code points of one UTF-8 text; U+FFFD for each stretch of bytes that is none."""
    return np.array([ord(letter) for letter in text.decode("utf-8", "replace")], np.int32)


def join(strings: np.ndarray) -> np.ndarray:
    """Byte strings [batch, n] joined along the last axis to [batch]."""
    out = np.empty(len(strings), object)
    out[:] = [b"".join(row) for row in strings]
    return out


_GAMMA = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def _mixed(bits: np.ndarray) -> np.ndarray:
    for shift, factor in _MIX:
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits


def normal(seeds: np.ndarray, count: int) -> np.ndarray:
    """Standard normal noise that depends on nothing but the seed: int64 [batch] to float32 [batch, count].

    SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014) used as a counter:
    the bits number i of a seed are `mix(mix(seed) + (i + 1) * 0x9E3779B97F4A7C15)` in arithmetic modulo 2^64. Bits
    2j and 2j + 1 become two uniform float64 numbers (upper 53 bits, centred) and, by Box and Muller's cosine branch,
    number j. So a longer row begins with the shorter one, and rows do not depend on their neighbours.
    """
    keys = _mixed(np.asarray(seeds, np.int64).astype(np.uint64) + np.uint64(_GAMMA))
    steps = np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    bits = _mixed(keys[:, None] + steps)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:, 0::2])), 2.0 * np.pi * uniform[:, 1::2]
    return (radius * np.cos(angle)).astype(np.float32)
