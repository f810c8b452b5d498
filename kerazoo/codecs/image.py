"""Pictures: from what a person gives to encoded bytes, and from these to the pixel tensor that a network wants."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs._files import read_bytes
from kerazoo.contract import Port, Tensor
from kerazoo.errors import GateError, InputError

SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MIME = "image/*"

LONGEST = 16
"""Pictures longer than this many times their short side lose their ends before they are resized and cropped."""


@dataclass(frozen=True)
class Image:
    """How a picture is made to fit: decode, resize, centre crop.

    The recipe belongs to the weights, because published accuracies depend on it.

    Attributes:
        height, width: Size of the result in pixels.
        channels: 3 for RGB, 1 for grey.
        resize: Before the centre is cropped: a number resizes the short side to it and keeps the proportions; a pair
            (height, width) stretches the whole picture to it, as Caffe's users did; `None` stretches the whole picture
            to the final size.
        interpolation: `bilinear` or `bicubic`, with antialiasing as Pillow does it.
    """

    height: int
    width: int
    channels: int = 3
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"

    @property
    def port(self) -> Port:
        """Of a request: encoded pictures."""
        return Port("image_bytes", "string", (None,), "image")

    @property
    def tensor(self) -> Port:
        """Of a network: pixels 0..255."""
        return Port("image", "float32", (None, self.height, self.width, self.channels), "image")

    def prepare(self, ops: Any, image_bytes: Tensor) -> Tensor:
        """Encoded pictures [batch] to float32 pixels [batch, height, width, channels] in 0..255."""
        shape = (self.height, self.width, self.channels)
        return ops.map_items(lambda data: self.fit(ops, ops.decode_picture(data, self.channels)), image_bytes, shape)

    def fit(self, ops: Any, pixels: Tensor) -> Tensor:
        """What `ops.decode_picture` gave, or uint8 [h, w, channels], to float32 [height, width, channels]."""
        if not isinstance(self.resize, int):
            tall, wide = self.resize or (self.height, self.width)
            return self._resized(ops, pixels, tall, wide)
        tall, wide = ops.size(pixels)
        short = ops.minimum(tall, wide)
        # Only the centre is kept; cutting a very long picture first bounds the memory of resizing it.
        height, width = ops.minimum(tall, short * LONGEST), ops.minimum(wide, short * LONGEST)
        pixels = ops.crop(pixels, *_centre(tall, wide, height, width))
        # The recipe's short side may be less than the crop; the crop then sets the size.
        tall = ops.maximum(self.resize * height // short, self.height)
        wide = ops.maximum(self.resize * width // short, self.width)
        return self._resized(ops, pixels, tall, wide)

    def _resized(self, ops: Any, pixels: Tensor, tall: Any, wide: Any) -> Tensor:
        part = _centre(tall, wide, self.height, self.width)
        return ops.resize(pixels, tall, wide, self.interpolation, part)


def _centre(tall: Any, wide: Any, height: Any, width: Any) -> tuple[Any, Any, Any, Any]:
    """Top, left, height and width of the middle of a picture tall x wide."""
    return (tall - height) // 2, (wide - width) // 2, height, width


@dataclass(frozen=True)
class Normalise:
    """Pixels 0..255 to what the weights were trained on: `(x * scale - mean) / std`, channels in the named order.

    Attributes:
        channels: `rgb`, `bgr` (the mean and std are then in that order too) or `gray`.
    """

    media: ClassVar[str] = "image"
    """Of the ports whose values it changes."""

    channels: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float32 [..., channels] to the same shape; works on NumPy arrays and TensorFlow tensors."""
        if self.channels == "bgr":
            pixels = pixels[..., ::-1]
        # One multiplication and one addition, so that every engine rounds alike.
        std = np.asarray(self.std, np.float64)
        return pixels * np.float32(self.scale / std) + np.float32(-np.asarray(self.mean, np.float64) / std)


def from_preprocessing(preprocessing: Mapping[str, Any]) -> tuple[Image, Normalise]:
    """The codec and the normalisation that a manifest entry's `preprocessing` describes."""
    height, width = preprocessing["size"]
    resize = preprocessing["resize"]
    channels = preprocessing["channels"]
    return (
        Image(
            height,
            width,
            channels=1 if channels == "gray" else 3,
            resize=tuple(resize) if isinstance(resize, list) else resize,
            interpolation=preprocessing["interpolation"],
        ),
        Normalise(channels, preprocessing["scale"], tuple(preprocessing["mean"]), tuple(preprocessing["std"])),
    )


def read(item: Any, port: Port) -> bytes:
    """A path, encoded bytes, an open file, a PIL image of any mode, or an array to one encoded picture.

    Arrays are uint8 [height, width] or [height, width, 1, 3 or 4].

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    data = read_bytes(item, "A picture")
    if data is not None:
        return data
    from PIL import Image as Pillow

    from kerazoo.ops.pictures import plain_image

    if isinstance(item, np.ndarray):
        fits = item.ndim == 2 or (item.ndim == 3 and item.shape[-1] in (1, 3, 4))
        if item.dtype != np.uint8 or not fits or 0 in item.shape:
            raise InputError(
                f"An array must be uint8 [height, width, 1, 3 or 4]; this is {item.dtype} {list(item.shape)}."
            )
        item = Pillow.fromarray(item[..., 0] if item.ndim == 3 and item.shape[-1] == 1 else item)
    if not isinstance(item, Pillow.Image):
        raise InputError(
            f"A picture is a path, bytes, an open file, a PIL image or an array; this is {type(item).__name__}."
        )
    try:
        return encoded(plain_image(item))
    except (OSError, ValueError, MemoryError) as error:  # A lazily opened file is only read here.
        raise InputError(f"The PIL image cannot be read: {error}") from None


def encoded(image: Any) -> bytes:
    """A PIL image of mode L or RGB as PNG, quickly."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def plain(value: bytes) -> bytes:
    """The same picture as a TensorFlow graph decodes it: upright 8-bit JPEG or PNG, without transparency.

    TensorFlow ignores EXIF rotation and knows four formats; a picture that needs neither passes as it is.

    Raises:
        InputError: The bytes are not a picture that can be read.
    """
    from PIL import Image as Pillow

    from kerazoo.ops.pictures import FORMATS, open_image

    upright = open_image(value)
    with Pillow.open(io.BytesIO(value), formats=FORMATS) as image:
        as_it_is = (
            image.format in ("JPEG", "PNG")
            and image.mode in ("L", "RGB")
            and not image.has_transparency_data
            and image.getexif().get(0x0112, 1) == 1
        )
    return value if as_it_is else encoded(upright)


def example(port: Port, rng: np.random.Generator) -> bytes:
    return scene()


def scene(height: int = 60, width: int = 80) -> bytes:
    """A PNG with colours, edges and slopes, the same on every machine."""
    from PIL import Image as Pillow

    y, x = np.mgrid[0:height, 0:width]
    red = (x * 255) // (width - 1)
    green = np.where((x // 10 + y // 10) % 2 == 0, 220, 40)
    blue = np.where((x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 3) ** 2, 250, (y * 180) // height)
    out = io.BytesIO()
    Pillow.fromarray(np.stack([red, green, blue], -1).astype(np.uint8)).save(out, "PNG", optimize=True)
    return out.getvalue()


def distance(expected: Any, got: Any) -> float:
    """Mean difference in grey levels, of the pictures where it is largest.

    Raises:
        GateError: Another number of pictures, or a picture of another size.
    """
    return max(map(_levels, *pairs(expected, got)), default=0.0)


def pairs(expected: Any, got: Any) -> tuple[Iterable[bytes], Iterable[bytes]]:
    """Both arrays of encoded pictures, flat.

    Raises:
        GateError: They hold different numbers of pictures.
    """
    a, b = (np.asarray(value, object).reshape(-1) for value in (expected, got))
    if len(a) != len(b):
        raise GateError(f"holds {len(b)} pictures; {len(a)} are expected")
    return a.tolist(), b.tolist()


def _levels(a: bytes, b: bytes) -> float:
    first, second = (np.asarray(opened(data), np.float64) for data in (a, b))
    if first.shape != second.shape:
        raise GateError(f"is a picture of the shape {list(second.shape)}; {list(first.shape)} is expected")
    return float(np.abs(first - second).mean())


def opened(data: bytes) -> Any:
    """A picture that an engine answered with, as it is.

    Raises:
        GateError: It is none.
    """
    from kerazoo.ops.numpy import open_image

    try:
        return open_image(bytes(data))
    except InputError as error:
        raise GateError(f"is no picture: {error}") from None
