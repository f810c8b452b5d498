"""Pictures: from what a person gives to encoded bytes, and from these to the pixel tensor that a network wants."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs._files import read_bytes
from kerazoo.codecs._placement import Placement
from kerazoo.contract import Port, Tensor
from kerazoo.errors import GateError, InputError, UsageError

SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MIME = "image/*"
AGREES = ("PSNR in dB", 35.0)

LONGEST = 16
"""Pictures longer than this many times their short side lose their ends before they are resized and cropped."""

MARGIN = 1.4
"""So many times the size that a recipe makes of a picture, on either side, is enough of it to make it from.

Chosen by measurement: `benchmarks/decode.py`. A picture of 1280x720 still has half its sides for a short side of 256.
"""

LEAST = 8
"""Pixels of a side that are always enough: beside the border of fewer, a JPEG's block holds what is no picture."""

FILLS = ("crop", "letterbox", "corner")
"""How a picture of other proportions fills the size that a network sees."""


@dataclass(frozen=True)
class Image:
    """How a picture is made to fit: decode, resize, centre crop or letterbox.

    The recipe belongs to the weights, because published accuracies depend on it.

    Attributes:
        height, width: Size of the result in pixels.
        channels: 3 for RGB, 1 for grey.
        resize: Before the centre is cropped: a number resizes the short side to it and keeps the proportions; a pair
            (height, width) stretches the whole picture to it, as Caffe's users did; `None` stretches the whole picture
            to the final size.
        interpolation: `bilinear` or `bicubic`, with antialiasing as Pillow does it.
        fill: How the size is filled, one of `FILLS`: `crop`, by what `resize` says; `letterbox`, by the whole picture
            in its proportions, as large as it fits, in the middle of a plain ground; or `corner`, by the whole picture
            in the ground's top left corner, no larger than a short side of `resize` pixels makes it.
        pad: Of that ground, in 0..255.
        exact: Whether pictures are always decoded whole. Else, outside of a graph, one that is much larger than what
            is made of it is decoded only as far as needed (`MARGIN`): faster, and about half a grey level off.
    """

    height: int
    width: int
    channels: int = 3
    resize: int | tuple[int, int] | None = None
    interpolation: str = "bilinear"
    fill: str = "crop"
    pad: float = 0.0
    exact: bool = False

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise UsageError(f"fill={self.fill!r} is not known; allowed are {', '.join(FILLS)}.")
        if self.fill == "letterbox" and self.resize is not None:
            raise UsageError(f"A letterbox shows the whole picture; resize={self.resize!r} would crop it.")
        if self.fill == "corner" and isinstance(self.resize, tuple):
            raise UsageError(f"fill='corner' keeps a picture's proportions; resize={self.resize!r} would change them.")

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

        def pixels(data: Tensor) -> Tensor:
            return self.fit(ops, self._decoded(ops, data))[0]

        return ops.map_items(pixels, image_bytes, self.tensor.shape[1:])

    def place(self, ops: Any, image_bytes: Tensor) -> tuple[Tensor, Placement]:
        """`prepare`, and where each picture lies in its pixels."""

        def placed(data: Tensor) -> tuple[Tensor, Tensor]:
            pixels, placement = self.fit(ops, self._decoded(ops, data))
            return pixels, placement.packed(ops)

        shapes = (self.tensor.shape[1:], (3, 2))
        pixels, packed = ops.map_items(placed, image_bytes, shapes, ("float32", "float32"))
        return pixels, Placement.unpacked(packed)

    def _decoded(self, ops: Any, data: Tensor) -> Any:
        return ops.decode_picture(data, self.channels, None if self.exact else self.enough)

    def enough(self, height: int, width: int) -> tuple[float, float]:
        """Height and width of which no more is needed of a picture of that height and width."""
        tall, wide = self._enough(height, width)
        return max(tall, LEAST), max(wide, LEAST)

    def _enough(self, height: int, width: int) -> tuple[float, float]:
        if self.fill != "crop":
            ratio = min(self.height / height, self.width / width)
            if isinstance(self.resize, int):
                ratio = min(ratio, self.resize / min(height, width))
            return MARGIN * ratio * height, MARGIN * ratio * width
        if not isinstance(self.resize, int):
            tall, wide = self.resize or (self.height, self.width)
            return MARGIN * tall, MARGIN * wide
        ratio = max(self.resize / min(height, width), self.height / height, self.width / width)
        return MARGIN * ratio * height, MARGIN * ratio * width

    def fit(self, ops: Any, pixels: Tensor) -> tuple[Tensor, Placement]:
        """One picture to what the network sees.

        Args:
            pixels: What `ops.decode_picture` gave, or uint8 [h, w, channels].

        Returns:
            Float32 [height, width, channels], and where the picture lies in it.
        """
        if self.fill != "crop":
            return self._whole(ops, pixels)
        size = tall, wide = ops.size(pixels)
        if not isinstance(self.resize, int):
            return self._resized(ops, pixels, size, (0, 0), *(self.resize or (self.height, self.width)))
        short = ops.minimum(tall, wide)
        # Only the centre is kept; cutting a very long picture first bounds the memory of resizing it.
        height, width = ops.minimum(tall, short * LONGEST), ops.minimum(wide, short * LONGEST)
        top, left, *_ = centre = _centre(tall, wide, height, width)
        pixels = ops.crop(pixels, *centre)
        # The recipe's short side may be less than the crop; the crop then sets the size.
        tall = ops.maximum(self.resize * height // short, self.height)
        wide = ops.maximum(self.resize * width // short, self.width)
        return self._resized(ops, pixels, size, (top, left), tall, wide)

    def _resized(
        self, ops: Any, pixels: Tensor, size: tuple[Any, Any], corner: tuple[Any, Any], tall: Any, wide: Any
    ) -> tuple[Tensor, Placement]:
        """The middle of a resized picture, of which `pixels` are all that lies behind `corner`."""
        height, width = ops.size(pixels)
        scale = tall / height, wide / width
        part = _centre(tall, wide, self.height, self.width)
        gone = [ops.cast(each, "float64") for each in (*corner, *part[:2])]
        offset = -gone[0] * scale[0] - gone[2], -gone[1] * scale[1] - gone[3]
        return ops.resize(pixels, tall, wide, self.interpolation, part), Placement(size, scale, offset)

    def _whole(self, ops: Any, pixels: Tensor) -> tuple[Tensor, Placement]:
        """A picture in its proportions, on the ground."""
        size = ops.size(pixels)
        height, width = (ops.cast(side, "float64") for side in size)
        ratio = ops.minimum(self.height / height, self.width / width)
        if isinstance(self.resize, int):
            ratio = ops.minimum(ratio, self.resize / ops.minimum(height, width))
        tall, wide = (ops.maximum(ops.cast(ops.round(side * ratio), "int32"), 1) for side in (height, width))
        corner = self.fill == "corner"
        top, left = (0, 0) if corner else ((self.height - tall) // 2, (self.width - wide) // 2)
        around = ((top, self.height - tall - top), (left, self.width - wide - left), (0, 0))
        resized = ops.pad(ops.resize(pixels, tall, wide, self.interpolation), around, self.pad)
        scale = ops.cast(tall, "float64") / height, ops.cast(wide, "float64") / width
        placement = Placement(size, scale, (top, left))
        return ops.reshape(resized, self.tensor.shape[1:]), placement


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
            fill=preprocessing.get("fill", FILLS[0]),
            pad=preprocessing.get("pad", 0.0),
        ),
        Normalise(channels, preprocessing["scale"], tuple(preprocessing["mean"]), tuple(preprocessing["std"])),
    )


def read(item: Any, port: Port) -> bytes:
    """A path, an address, encoded bytes, an open file, a PIL image of any mode, or an array to one encoded picture.

    Arrays, and what NumPy makes one of, are uint8 [height, width] or [height, width, 1, 3 or 4]; `ranged` makes others
    so.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    data = read_bytes(item, "A picture")
    if data is not None:
        return data
    from PIL import Image as Pillow

    from kerazoo.ops.pictures import plain_image

    array = _array(item)
    if array is not None:
        fits = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
        if array.dtype != np.uint8 or not fits or 0 in array.shape:
            raise InputError(
                f"An array must be uint8 [height, width, 1, 3 or 4]; this is {array.dtype} {list(array.shape)}.\n"
                "Other numbers are read where their range is stated: predictor(array, value_range=(0, 1))."
            )
        item = Pillow.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
    if not isinstance(item, Pillow.Image):
        raise InputError(
            f"A picture is a path, bytes, an open file, a PIL image or an array; this is {type(item).__name__}."
        )
    try:
        # Of the premultiplied modes this is the one that Pillow converts to its own kind only.
        return encoded(plain_image(item.convert("LA") if item.mode == "La" else item))
    except (OSError, ValueError, MemoryError) as error:  # A lazily opened file is only read here.
        raise InputError(f"The PIL image cannot be read: {error}") from None


def rows(item: Any) -> Any:
    """The pictures of a batch, an array [count, height, width, channels]; `None` for anything else."""
    array = _array(item)
    return array if array is not None and array.ndim == 4 else None


def ranged(item: Any, value_range: tuple[float, float]) -> Any:
    """An array, or a PIL image of numbers (mode F or I), whose values lie in a range, as uint8; anything else as it is.

    Raises:
        InputError: A value lies outside the range, or is NaN.
    """
    array = np.asarray(item) if getattr(item, "mode", None) in ("F", "I") else _array(item)
    if array is None:
        return item
    low, high = value_range
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(f"An array of pictures holds numbers; this is {array.dtype} {list(array.shape)}.")
    levels = (array.astype(np.float64) - low) * (255.0 / (high - low))
    if not (levels.min() >= -0.5 and levels.max() <= 255.5):
        raise InputError(
            f"The array holds values from {array.min():g} to {array.max():g}; the stated range is {low:g} to {high:g}."
        )
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _array(item: Any) -> np.ndarray | None:
    """An array, or a tensor of another library as one."""
    return np.asarray(item) if isinstance(item, np.ndarray) or callable(getattr(item, "__array__", None)) else None


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


def drawn(port: Port, rng: np.random.Generator) -> bytes:
    """A made-up PNG: patches of colours with some grain, others every time."""
    from PIL import Image as Pillow

    # Small: a network that goes over a picture in patches is asked thousands of times for a large one.
    patches = Pillow.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120), Pillow.Resampling.BICUBIC)
    grain = rng.normal(0, 12, (120, 160, 1))
    out = io.BytesIO()
    Pillow.fromarray(np.clip(np.asarray(patches) + grain, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


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


def agreement(expected: Any, got: Any) -> float:
    """Peak signal to noise ratio in dB, of the pictures where it is least; 100 where they are equal.

    Raises:
        GateError: Another number of pictures, or a picture of another size.
    """
    return min(map(_peak, *pairs(expected, got)), default=100.0)


def _peak(a: bytes, b: bytes) -> float:
    first, second = (np.asarray(opened(data), np.float64) for data in (a, b))
    if first.shape != second.shape:
        raise GateError(f"is a picture of the shape {list(second.shape)}; {list(first.shape)} is expected")
    error = float(np.square(first - second).mean())
    return min(10 * float(np.log10(255**2 / error)), 100.0) if error else 100.0


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
    from kerazoo.ops.pictures import open_image

    try:
        return open_image(bytes(data))
    except InputError as error:
        raise GateError(f"is no picture: {error}") from None
