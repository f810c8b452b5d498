"""Pictures: from encoded bytes to the pixel tensor that a network wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerazoo.contract import Tensor

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

    def decode(self, ops: Any, image_bytes: Tensor) -> Tensor:
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

    channels: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float32 [..., channels] to the same shape; works on NumPy arrays and TensorFlow tensors."""
        import numpy as np

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


def plain_bytes(data: bytes) -> bytes:
    """The same picture as a TensorFlow graph decodes it: upright 8-bit JPEG or PNG, without transparency.

    TensorFlow ignores EXIF rotation and knows four formats; a picture that needs neither passes as it is.

    Raises:
        InputError: The bytes are not a picture that can be read.
    """
    import io

    from PIL import Image as Pillow

    from kerazoo.ops.numpy import encode_png
    from kerazoo.ops.pictures import open_image

    upright = open_image(data)
    with Pillow.open(io.BytesIO(data)) as image:
        as_it_is = (
            image.format in ("JPEG", "PNG")
            and image.mode in ("L", "RGB")
            and not image.has_transparency_data
            and image.getexif().get(0x0112, 1) == 1
        )
    if as_it_is:
        return data
    import numpy as np

    return encode_png(np.atleast_3d(np.asarray(upright)))
