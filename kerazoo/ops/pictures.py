"""Foreign pictures, decoded within bounds: which formats, how large a side, how much memory for all of them at once."""

from __future__ import annotations

import io
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kerazoo.errors import InputError

SERVED = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
"""What a server decodes."""

FORMATS = (*SERVED, "AVIF", "PPM")
"""What is decoded elsewhere. Pillow knows many more, some of which start other programs."""

LONGEST = 65_535
"""Pixels of a side: JPEG's own limit. No camera makes more, and a picture that is one line costs as much as a large
one, again and again."""

STRIP = 1 << 20
"""Pixels that are converted at a time."""

ORIENTATION = 0x0112
"""The EXIF tag that says which way up a camera was held."""

_EXTRA = {"WEBP": 12, "AVIF": 12, "TIFF": 4, "BMP": 4}
"""Bytes a pixel that a format's decoder needs beside the picture; a progressive JPEG needs `_PROGRESSIVE`."""

_PROGRESSIVE = 8


@dataclass
class Memory:
    """What pictures may take at a time, all of them together: who comes when it is taken waits.

    Attributes:
        most: Bytes.
        patience: Longest wait in seconds.
        highest: What was taken at most; whoever looks at it may set it back.
    """

    most: int = 512 << 20
    patience: float = 60.0
    taken: int = 0
    highest: int = 0
    freed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, size: int, check: Callable[[], object]) -> None:
        """Takes bytes as soon as there are as many.

        Raises:
            InputError: There never are, or they are taken for too long. Whatever `check`, called meanwhile, raises.
        """
        if size > self.most:
            raise InputError(
                f"The picture is too large to decode: it needs {size >> 20} MiB, and pictures may take "
                f"{self.most >> 20} MiB."
            )
        end = time.monotonic() + self.patience
        with self.freed:
            while self.taken + size > self.most:
                check()
                if time.monotonic() > end:
                    raise InputError("Other pictures take all the memory that there is for pictures.")
                self.freed.wait(0.1)
            self.taken += size
            self.highest = max(self.highest, self.taken)

    def give_back(self, size: int) -> None:
        with self.freed:
            self.taken -= size
            self.freed.notify_all()


@dataclass(frozen=True)
class Decoding:
    """How pictures are decoded.

    Attributes:
        formats: Pillow's names of those that are.
        memory: Shared by all that are decoded so.
        check: Called before each picture, and while one waits for memory; what it raises ends the work.
        passed: What `check` raises.
    """

    formats: tuple[str, ...] = FORMATS
    memory: Memory = field(default_factory=Memory)
    check: Callable[[], object] = lambda: None
    passed: tuple[type[Exception], ...] = ()


decoding: ContextVar[Decoding] = ContextVar("decoding", default=Decoding())  # noqa: B039  Shared on purpose.
"""How this thread decodes; a server says so for each request."""


def open_image(data: bytes, mode: str | None = None) -> Image.Image:
    """The first frame of an encoded picture, upright, as Pillow modes `L` or `RGB`.

    Transparency is laid on white, 16-bit greys are scaled to 8 bits, CMYK becomes RGB.

    Args:
        mode: The one that is wanted; by default `L` for greys, and `RGB` for all others.

    Raises:
        InputError: The bytes are empty, not a picture of the formats that are decoded, truncated, or declare more
            pixels than Pillow's limit (`PIL.Image.MAX_IMAGE_PIXELS`), or a longer side or more memory than
            `decoding` allows: a tiny file could ask for gigabytes.
    """
    if not data:
        raise InputError("The picture is empty (0 bytes).")
    how = decoding.get()
    how.check()
    passed: tuple[type[Exception], ...] = (InputError, *how.passed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=how.formats)
            return _decoded(image, mode, how)
    except UnidentifiedImageError:
        known = ", ".join(how.formats)
        raise InputError(
            f"Not a picture that can be read ({len(data)} bytes, beginning {data[:8]!r}); it may be {known}."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"The picture is too large to decode: {error}") from None
    except passed:
        raise
    except Exception as error:  # Pillow's codecs raise OSError, SyntaxError, struct.error, ValueError and more.
        raise InputError(f"The picture is damaged or truncated: {error}") from None


def _decoded(image: Image.Image, mode: str | None, how: Decoding) -> Image.Image:
    if max(image.size) > LONGEST:
        raise InputError(
            f"The picture is too large to decode: {image.width} x {image.height} pixels; a side has at most {LONGEST}."
        )
    pixels = image.width * image.height
    cost = pixels * _cost(image, mode)
    how.memory.take(cost, how.check)
    kept = 0
    try:
        early = _turned(image)
        image.load()
        if not early and _turned(image):  # The last part of a PNG says so.
            late = pixels * _bytes(image.mode)
            how.memory.take(late, how.check)
            cost += late
        if early or _turned(image):
            image = ImageOps.exif_transpose(image)
        plain = _as(_plain(image), mode) if mode else _plain(image)
        kept = pixels * _bytes(plain.mode)
        weakref.finalize(plain, how.memory.give_back, kept).atexit = False
        return plain
    finally:
        how.memory.give_back(cost - kept)


def plain_image(image: Image.Image) -> Image.Image:
    """A picture of any Pillow mode that is in memory already, upright, as mode `L` or `RGB`; see `open_image`."""
    image.load()
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return _plain(image)


def _bytes(mode: str) -> int:
    """Bytes that Pillow takes for a pixel."""
    return 1 if mode in ("1", "L", "P") else 2 if mode.startswith("I;16") else 4


def _cost(image: Image.Image, mode: str | None) -> int:
    """Bytes a pixel while a picture is decoded, turned upright and converted; its bytes at the end included."""
    own = _bytes(image.mode)
    decoder = _EXTRA.get(image.format or "", 0)
    if image.info.get("progressive"):
        decoder = _PROGRESSIVE
    turned = own if _turned(image) else 0
    grey = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
    plain = "L" if grey else "RGB"
    converted = 0 if image.mode == plain and not image.has_transparency_data else _bytes(plain)
    return own + max(decoder, turned, converted + (_bytes(mode) if mode and mode != plain else 0))


def _turned(image: Image.Image) -> bool:
    """Whether it is to be turned upright. Of a PNG only what stands before its pixels is read: Pillow would load it."""
    known = image.format != "PNG" or "exif" in image.info
    return known and image.getexif().get(ORIENTATION, 1) != 1


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(image)
    if image.has_transparency_data:
        return _on_white(image)
    return _as(image, "L" if image.mode in ("1", "L") else "RGB")


def _strips(image: Image.Image) -> Any:
    """Top and bottom of the strips that a picture is converted in."""
    height = max(STRIP // max(image.width, 1), 1)
    return ((top, min(top + height, image.height)) for top in range(0, image.height, height))


def _strip(image: Image.Image, top: int, bottom: int) -> Image.Image:
    return image.crop((0, top, image.width, bottom))


def _from_deep(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits to 8: of 32 bits only if they are more than 8 bits hold."""
    scaled = image.mode.startswith("I;16")
    if not scaled:
        # A value that is no number leaves the picture as it is.
        highest = [np.asarray(_strip(image, top, bottom)).max(initial=0) for top, bottom in _strips(image)]
        scaled = bool(np.max(highest, initial=0) > 255)
    out = Image.new("L", image.size)
    for top, bottom in _strips(image):
        deep = np.asarray(_strip(image, top, bottom)).astype(np.float64)
        grey = np.clip(np.rint(deep / 257 if scaled else deep), 0, 255).astype(np.uint8)
        out.paste(Image.fromarray(grey), (0, top))
    return out


def _on_white(image: Image.Image) -> Image.Image:
    out = Image.new("RGB", image.size)
    for top, bottom in _strips(image):
        rgba = _strip(image, top, bottom).convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        out.paste(Image.alpha_composite(white, rgba).convert("RGB"), (0, top))
    return out


def _as(image: Image.Image, mode: str) -> Image.Image:
    # Pillow's own conversion copies a picture that is in the mode already.
    return image if image.mode == mode else image.convert(mode)
