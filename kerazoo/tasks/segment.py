"""`segment`: a picture in, the class of each of its pixels out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kerazoo.contract import Network, Port, Signature, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks._tiles import over_tiles


@dataclass(frozen=True)
class Mask:
    """The classes of one picture's pixels.

    Attributes:
        labels: One name a class.
        shares: Of the picture's pixels, one a class, summing to 1.
        picture: A grey PNG of the picture's size; a pixel's value is the number of its class.
    """

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    picture: bytes

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """`share` by label, and `mask`, the PNG in base64."""
        shares = {label: round(share, 6) for label, share in zip(self.labels, self.shares, strict=True)}
        return {"share": shares, "mask": base64.b64encode(self.picture).decode()}

    def rows(self, limit: int = 5) -> list[str]:
        ranked = sorted(zip(self.shares, self.labels, strict=True), key=lambda pair: -pair[0])
        return [f"{share:7.2%}  {label}" for share, label in ranked]

    def files(self) -> dict[str, bytes]:
        return {"mask.png": self.picture}

    def _repr_png_(self) -> bytes:
        return self.picture


@dataclass(frozen=True)
class Tiled:
    """Softmax's largest at each pixel, for a picture of any size: overlapping tiles, mirrored at the borders.

    Attributes:
        labels: One name a class, in the order of the logits; 256 at most.
        tile: Side of the network's input in pixels.
        shrink: Pixels that the network's output is smaller on each side.
        overlap: Further pixels dropped on each side of an output: near its border a padded network sees no picture.
        channels: 1 for grey pictures, 3 for colour.
        together: Most tiles that go through the network at once.
    """

    kind: ClassVar[str] = "segment"
    batched: ClassVar[bool] = False

    labels: tuple[str, ...]
    tile: int
    shrink: int
    overlap: int = 0
    channels: int = 1
    together: int = 2

    def __post_init__(self) -> None:
        if not 1 <= len(self.labels) <= 256:
            raise UsageError(f"A mask of one byte a pixel holds at most 256 classes; there are {len(self.labels)}.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("mask_bytes", "string", (1,), "mask"), Port("share", "float32", (1, len(self.labels))))

    @property
    def parts(self) -> Mapping[str, Signature]:
        image = Port("image", "float32", (None, self.tile, self.tile, self.channels), "image")
        side = self.tile - 2 * self.shrink
        return {"network": Signature((image,), (Port("logits", "float32", (None, side, side, len(self.labels))),))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        pixels = ops.decode_image(request["image_bytes"][0], self.channels)
        context = self.shrink + self.overlap
        core, drop = self.tile - 2 * context, self.overlap

        def classes(tiles: Any) -> Any:
            winners = ops.argmax(network({"image": tiles})["logits"], axis=-1)
            return winners[:, drop : drop + core, drop : drop + core]

        mask = over_tiles(ops, pixels, (core, core), context, classes, dtype="uint8", together=self.together)
        height, width = ops.size(mask)
        counts = ops.bincount(ops.reshape(mask, (height * width,)), len(self.labels))
        share = ops.cast(counts, "float32") / ops.cast(height * width, "float32")
        return {"mask_bytes": ops.strings([ops.encode_png(mask[:, :, None])]), "share": share[None]}

    def read(self, response: Tensors, row: int) -> Mask:
        return Mask(self.labels, tuple(response["share"][row].tolist()), response["mask_bytes"][row])
