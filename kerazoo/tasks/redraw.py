"""`redraw`: a picture in, a picture out: larger, in another style, or as few numbers have it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs import image as image_
from kerazoo.codecs.image import Image
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.tasks._tiles import over_tiles, windows

MAX_PIXELS = 64_000_000
"""Largest picture that is drawn."""


@dataclass(frozen=True)
class Picture:
    """One picture that was drawn.

    Attributes:
        picture: An RGB PNG.
    """

    picture: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, as the PNG's header says."""
        width, height = (int.from_bytes(self.picture[at : at + 4], "big") for at in (16, 20))
        return height, width

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """`size` [height, width], and `picture`, the PNG in base64."""
        return {"size": list(self.size), "picture": base64.b64encode(self.picture).decode()}

    def rows(self, limit: int = 5) -> list[str]:
        height, width = self.size
        return [f"{width} x {height} pixels"]

    def files(self) -> dict[str, bytes]:
        return {"picture.png": self.picture}

    def _repr_png_(self) -> bytes:
        return self.picture


@dataclass(frozen=True)
class SuperResolution:
    """Super-resolution of the luma, to which eyes are sharpest, or of luma and chroma.

    Attributes:
        scale: How many times higher and wider the picture becomes.
        context: How many pixels around it a pixel of the network's output depends on. Tiles overlap by so much, so
            that no seam can be seen.
        tile: Longest side of a tile in pixels of the picture that the network sees.
        channels: 1 for the luma alone, the chroma being resized bicubically; 3 for luma, blue and red differences.
        enlarged: Whether the network sees the picture already resized bicubically, and only sharpens it.
    """

    kind: ClassVar[str] = "redraw"
    batched: ClassVar[bool] = False

    scale: int
    context: int
    tile: int = 256
    channels: int = 1
    enlarged: bool = False

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        shape = (None, None, None, self.channels)
        return {
            "network": Signature((Port("image", "float32", shape, "image"),), (Port(self._drawn, "float32", shape),))
        }

    @property
    def _drawn(self) -> str:
        return "luma" if self.channels == 1 else "planes"

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        pixels = ops.decode_image(request["image_bytes"][0], 3)
        height, width = ops.size(pixels)
        tall, wide = height * self.scale, width * self.scale
        pixel_count = ops.cast(tall, "int64") * ops.cast(wide, "int64")
        ops.check(pixel_count <= MAX_PIXELS, f"At most {MAX_PIXELS // 10**6} million pixels are drawn; this is more.")
        planes = luma_chroma(ops, pixels)
        # What the network does not enlarge.
        large = [ops.resize(plane, tall, wide, "bicubic") for plane in planes[0 if self.enlarged else self.channels :]]
        seen = (large if self.enlarged else planes)[: self.channels]
        scale = 1 if self.enlarged else self.scale

        def enlarge(tiles: Tensor) -> Tensor:
            drawn = network({"image": tiles})[self._drawn]
            edge = self.context * scale
            return drawn[:, edge : ops.size(drawn[0])[0] - edge, edge : ops.size(drawn[0])[1] - edge] * 255.0

        source = ops.stack([plane[..., 0] for plane in seen], -1)
        # Tiles of nearly equal size, so that little is computed that is not shown.
        core = tuple(_share(side, self.tile) for side in ops.size(source))
        drawn = over_tiles(ops, source, core, self.context, enlarge, scale=scale, channels=self.channels)
        left = large[-2:] if self.channels == 1 else [drawn[..., 1:2], drawn[..., 2:3]]
        blue, red = (plane[..., 0] - 128.0 for plane in left)
        return {"image_bytes": ops.strings([ops.encode_png(ops.whole(colour(ops, drawn[..., 0], blue, red)))])}

    def read(self, response: Tensors, row: int) -> Picture:
        return Picture(response["image_bytes"][row])


@dataclass(frozen=True)
class Repaint:
    """Colours from colours, tile by tile: style transfer, and super-resolution that draws all three.

    A network that normalises by instance looks at the whole picture. Here it first sees the picture made small enough
    to be seen at once, and keeps the means and variances of its maps; every tile is then drawn by these, so that tiles
    meet without a seam, and the memory is bounded. So it is done in Chen et al., "Towards Ultra-Resolution Neural
    Style Transfer via Thumbnail Instance Normalization", AAAI 2022, arXiv:2103.11784. What lies beyond the picture's
    borders is mirrored, so that each of its pixels is seen with `context` around it. A picture that so fits into
    `glance` is normalised by its own; in larger ones the smaller's stand for them.

    Attributes:
        context: How many pixels around it a pixel depends on: tiles overlap by so much. A multiple of `multiple`.
        tile: Longest side of a tile, in pixels of the picture that the network sees.
        multiple: Sides that the network takes are multiples of it.
        scale: How many times higher and wider the picture becomes.
        moments: Means and variances that the network normalises by; 0 where it does not by instance.
        glance: Longest side of what they are taken of: the picture made smaller, with what is mirrored around it.
    """

    kind: ClassVar[str] = "redraw"
    batched: ClassVar[bool] = False

    context: int
    tile: int = 256
    multiple: int = 1
    scale: int = 1
    moments: int = 0
    glance: int = 384

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        shape = (None, None, None, 3)
        image, picture = Port("image", "float32", shape, "image"), Port("picture", "float32", shape)
        if not self.moments:
            return {"network": Signature((image,), (picture,))}
        moments = Port("moments", "float32", (None, self.moments))
        return {"moments": Signature((image,), (moments,)), "painter": Signature((image, moments), (picture,))}

    def golden(self) -> dict[str, Any]:
        """A picture with grain: where all is flat, normalisation by instance makes rounding large."""
        grainy = image_.opened(image_.drawn(self.request[0], np.random.default_rng(0)))
        return {self.request[0].name: image_.encoded(grainy.crop((0, 0, 96, 80)))}

    def derived(self, part: str, model: Any) -> Any:
        """All parts are the one Keras model; what it normalises by is kept, or given."""
        if not self.moments:
            return model
        from kerazoo.layers.normalization import moments_given, moments_of

        if part == "moments":
            return lambda image, training=False: moments_of(model, image)

        def painter(tensors: Any, training: bool = False) -> Any:
            image, moments = tensors
            with moments_given(model, moments):
                return model(image, training=False)

        return painter

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        pixels = ops.decode_image(request["image_bytes"][0], 3)
        height, width = ops.size(pixels)
        pixel_count = ops.cast(height * self.scale, "int64") * ops.cast(width * self.scale, "int64")
        ops.check(pixel_count <= MAX_PIXELS, f"At most {MAX_PIXELS // 10**6} million pixels are drawn; this is more.")
        paint = self._painter(network, pixels)
        edge = self.context * self.scale

        def redrawn(tiles: Tensor) -> Tensor:
            drawn = paint(tiles)
            return drawn[:, edge : ops.size(drawn[0])[0] - edge, edge : ops.size(drawn[0])[1] - edge]

        core = tuple(self._whole(_share(side, self.tile)) for side in (height, width))
        drawn = over_tiles(ops, pixels, core, self.context, redrawn, scale=self.scale, channels=3)
        return {"image_bytes": ops.strings([ops.encode_png(ops.whole(drawn))])}

    def _painter(self, network: Network, pixels: Tensor) -> Callable[[Tensor], Tensor]:
        if not self.moments:
            return lambda tiles: network({"image": tiles})["picture"]
        ops = network.ops
        height, width = ops.size(pixels)
        most = self.glance - 2 * self.context
        longest = ops.maximum(ops.maximum(height, width), most)
        tall, wide = (ops.maximum(side * most // longest, 1) for side in (height, width))
        # What is drawn has mirrored surroundings. Without them the moments of a small picture are not those of what is
        # drawn, and what should be normalised grows from layer to layer, and with it all rounding.
        before = ops.full((1, 1), -self.context, "int32")
        size = self._whole(tall) + 2 * self.context, self._whole(wide) + 2 * self.context
        seen = windows(ops, ops.resize(pixels, tall, wide, "bilinear"), before, before, size)
        moments = network.part("moments")({"image": seen})["moments"]
        return lambda tiles: network.part("painter")({"image": tiles, "moments": moments})["picture"]

    def _whole(self, side: Any) -> Any:
        return (side + self.multiple - 1) // self.multiple * self.multiple

    def read(self, response: Tensors, row: int) -> Picture:
        return Picture(response["image_bytes"][row])


@dataclass(frozen=True)
class Reconstruct:
    """A picture through a narrow code and back; what is drawn has the network's size.

    Attributes:
        input: How a picture is made to fit.
        code: Numbers of a code.
        noise: Deviation of the normal noise that the network takes away, in units of the brightest value; 0 where it is
            meant for pictures without any.
    """

    kind: ClassVar[str] = "redraw"
    batched: ClassVar[bool] = True

    input: Image
    code: int
    noise: float = 0.0

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (None,), "image"),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        embedding, image = Port("embedding", "float32", (None, self.code)), self.input.tensor
        return {
            "encoder": Signature((image,), (embedding,)),
            "decoder": Signature((embedding,), (Port("picture", "float32", image.shape),)),
        }

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        image = self.input.prepare(ops, request[self.input.port.name])
        code = network.part("encoder")({"image": image})["embedding"]
        drawn = network.part("decoder")({"embedding": code})["picture"]
        return {"image_bytes": ops.map_items(ops.encode_png, ops.whole(drawn * 255.0))}

    def read(self, response: Tensors, row: int) -> Picture:
        return Picture(response["image_bytes"][row])


def _share(side: Any, longest: int) -> Any:
    parts = (side + longest - 1) // longest
    return (side + parts - 1) // parts


def luma_chroma(ops: Any, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """RGB uint8 [h, w, 3] to Y, Cb, Cr, each uint8 [h, w, 1]: BT.601 in full range, as JPEG (JFIF 1.02) has it.

    In 16-bit fixed point, rounded, so that both op sets give the same bits; Pillow's tables differ by 1 at most.
    """
    wide = ops.cast(pixels, "int32")
    r, g, b = wide[..., 0:1], wide[..., 1:2], wide[..., 2:3]
    y = (r * 19595 + g * 38470 + b * 7471 + 0x8000) // 65536
    cb = (b * 32768 - r * 11059 - g * 21709 + (128 << 16) + 0x7FFF) // 65536
    cr = (r * 32768 - g * 27439 - b * 5329 + (128 << 16) + 0x7FFF) // 65536
    return ops.cast(y, "uint8"), ops.cast(cb, "uint8"), ops.cast(cr, "uint8")


def colour(ops: Any, y: Tensor, cb: Tensor, cr: Tensor) -> Tensor:
    """Y 0..255 and chroma around 0, each float32 [h, w], to RGB float32 [h, w, 3], not yet limited."""
    return ops.stack([y + cr * 1.402, y - cb * 0.344136 - cr * 0.714136, y + cb * 1.772], -1)
