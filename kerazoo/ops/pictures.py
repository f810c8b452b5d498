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

_SCALES = (8, 4, 2)
"""By how much libjpeg makes a picture smaller while it decodes it."""

_FROM_END = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
"""EXIF orientation -> whether the top, and the left, of the upright picture is an end of the file's rows or columns."""

Enough = Callable[[int, int], tuple[float, float]]
"""From the height and width of an upright picture to those of which no more is needed."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, or a rectangle of one, that need not have all of its pixels.

    Attributes:
        image: Of mode L or RGB. A pixel of it stands for `step` x `step` pixels of the picture.
        height, width: Of the picture, in pixels of its own.
        step: 1 where it has all of them.
        top, left: Where the picture begins in the image, in pixels of the picture.
    """

    image: Image.Image
    height: int
    width: int
    step: int = 1
    top: int = 0
    left: int = 0

    def crop(self, top: int, left: int, height: int, width: int) -> Picture:
        """A rectangle of it, with all pixels of the image that touch it."""
        if (top, left, height, width) == (0, 0, self.height, self.width):
            return self
        top, left = top + self.top, left + self.left
        above, before = top // self.step, left // self.step
        below, behind = -(-(top + height) // self.step), -(-(left + width) // self.step)
        image = self.image.crop((before, above, behind, below))
        return Picture(image, height, width, self.step, top % self.step, left % self.step)

    def resize(
        self, height: int, width: int, how: Image.Resampling, part: tuple[int, int, int, int] | None = None
    ) -> Image.Image:
        """The picture in another size, antialiased.

        Args:
            part: Top, left, height and width of what is kept of the result; all of it by default.
        """
        # Of a picture that shrinks, only what is kept is computed, from the pixels that it comes from.
        shrinks = self.width > width and self.height > height
        top, left, tall, wide = part if part is not None and shrinks else (0, 0, height, width)
        down, across = self.height / height, self.width / width
        box = (
            (self.left + left * across) / self.step,
            (self.top + top * down) / self.step,
            (self.left + min((left + wide) * across, self.width)) / self.step,
            (self.top + min((top + tall) * down, self.height)) / self.step,
        )
        image = self.image
        if (image.width, image.height) != (wide, tall) or box != (0, 0, wide, tall):
            image = image.resize((int(wide), int(tall)), how, box)
        if part is not None and not shrinks:
            image = Picture(image, height, width).crop(*part).image
        return image


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
    """`open_picture` with all of its pixels."""
    return open_picture(data, mode).image


def open_picture(data: bytes, mode: str | None = None, enough: Enough | None = None) -> Picture:
    """The first frame of an encoded picture, upright, as Pillow modes `L` or `RGB`.

    Transparency is laid on white, 16-bit greys are scaled to 8 bits, CMYK becomes RGB.

    Args:
        mode: The one that is wanted; by default `L` for greys, and `RGB` for all others.
        enough: Lets the picture be decoded only so far that both sides have at least so many pixels left: a JPEG by
            libjpeg's scaled decoding, which does not even compute the others; everything else, and what is larger than
            eight times as much, by the means of squares.

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
            return _decoded(image, mode, how, enough)
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


def _decoded(image: Image.Image, mode: str | None, how: Decoding, enough: Enough | None) -> Picture:
    if max(image.size) > LONGEST:
        raise InputError(
            f"The picture is too large to decode: {image.width} x {image.height} pixels; a side has at most {LONGEST}."
        )
    wide, tall = image.size
    early = _turned(image)
    scale = _scaled(image, enough, early)
    pixels = image.width * image.height
    cost = _cost(image, mode, wide * tall, early)
    how.memory.take(cost, how.check)
    kept = 0
    try:
        image.load()
        # Pillow has turned a TIFF by now, and the last part of a PNG may say so.
        turned = early if image.format == "JPEG" else _turned(image)
        if turned and not early:
            late = pixels * _bytes(image.mode)
            how.memory.take(late, how.check)
            cost += late
        corner = (0, 0)
        if turned:
            # Squares of pixels are counted from the corner of the file, and are not whole at the opposite one.
            beyond = image.height * scale - tall, image.width * scale - wide
            if turned > 4:
                beyond, tall, wide = beyond[::-1], wide, tall
            top, left = _FROM_END.get(turned, (0, 0))
            corner = top * beyond[0], left * beyond[1]
            image = ImageOps.exif_transpose(image)
        plain = _as(_plain(image), mode) if mode else _plain(image)
        further = _times(tall, wide, enough) // scale
        if further > 1:
            plain, scale = plain.reduce(further), scale * further
        kept = plain.width * plain.height * _bytes(plain.mode)
        weakref.finalize(plain, how.memory.give_back, kept).atexit = False
        return Picture(plain, tall, wide, scale, *corner)
    finally:
        how.memory.give_back(cost - kept)


def _times(tall: int, wide: int, enough: Enough | None) -> int:
    """How many times smaller an upright picture may be."""
    if enough is None:
        return 1
    height, width = enough(tall, wide)
    return max(int(min(tall / height, wide / width)), 1)


def _scaled(image: Image.Image, enough: Enough | None, turned: int) -> int:
    """How many times smaller the decoder will make a picture that is open and not loaded; it is told to."""
    sides = image.size if turned > 4 else image.size[::-1]
    times = _times(*sides, enough)
    scale = next((scale for scale in _SCALES if scale <= times), 1)
    if scale == 1 or image.draft(None, (image.width // scale, image.height // scale)) is None:
        return 1
    return scale


def plain_image(image: Image.Image) -> Image.Image:
    """A picture of any Pillow mode that is in memory already, upright, as mode `L` or `RGB`; see `open_image`."""
    image.load()
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return _plain(image)


def _bytes(mode: str) -> int:
    """Bytes that Pillow takes for a pixel."""
    return 1 if mode in ("1", "L", "P") else 2 if mode.startswith("I;16") else 4


def _cost(image: Image.Image, mode: str | None, declared: int | None = None, turns: int = 0) -> int:
    """Bytes while a picture is decoded, turned upright and converted; its bytes at the end included.

    Args:
        declared: Its pixels in the file, which may be more than those that are decoded.
        turns: How it is to be turned, as `_turned` says; 0 if not at all.
    """
    pixels = image.width * image.height
    declared = pixels if declared is None else declared
    own = _bytes(image.mode) * pixels
    decoder = _EXTRA.get(image.format or "", 0) * declared
    if image.info.get("progressive"):
        decoder = _PROGRESSIVE * declared
    turned = own if turns else 0
    grey = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16")
    plain = "L" if grey else "RGB"
    converted = 0 if image.mode == plain and not image.has_transparency_data else _bytes(plain) * pixels
    return own + max(decoder, turned, converted + (_bytes(mode) * pixels if mode and mode != plain else 0))


def _turned(image: Image.Image) -> int:
    """How it is to be turned upright, as EXIF numbers it; 0 where it is.

    Of a PNG only what stands before its pixels is read: Pillow would load it.
    """
    known = image.format != "PNG" or "exif" in image.info
    orientation = image.getexif().get(ORIENTATION, 1) if known else 1
    return orientation if orientation in range(2, 9) else 0


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
