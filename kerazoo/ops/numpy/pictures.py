"""Pictures: decoding, resizing and encoding with Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.ops.pictures import open_image

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


def size(pixels: Any) -> tuple[int, int]:
    """Height and width of a picture, array [h, w, channels] or what `decode_picture` gave."""
    return (pixels.height, pixels.width) if isinstance(pixels, Image.Image) else (pixels.shape[0], pixels.shape[1])


def whole(array: Any) -> np.ndarray:
    """Grey levels as uint8: rounded half to even, limited to 0..255."""
    return np.clip(np.rint(array), 0, 255).astype(np.uint8)
