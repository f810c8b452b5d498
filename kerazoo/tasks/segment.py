"""`segment`: a picture in, the class of each of its pixels out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo.codecs._placement import Placement
from kerazoo.codecs.image import Image
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as host
from kerazoo.tasks import _drawing
from kerazoo.tasks._crf import CRF
from kerazoo.tasks._patches import over_patches
from kerazoo.tasks._tiles import over_tiles


@dataclass(frozen=True)
class Mask:
    """The classes of one picture's pixels.

    Attributes:
        labels: One name a class.
        shares: Of the picture's pixels, one a class, summing to 1.
        picture: A grey PNG of the picture's size; a pixel's value is the number of its class.
        ground: The picture itself, where it is to be shown with its classes.
        chance: A grey PNG of how probable the last class is, in 0..255, where the task says so.
    """

    labels: tuple[str, ...]
    shares: tuple[float, ...]
    picture: bytes
    ground: bytes | None = None
    chance: bytes | None = None

    def on(self, picture: bytes) -> Mask:
        """The same, shown on the picture that was asked about."""
        return replace(self, ground=picture)

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """`share` by label, and `mask`, the PNG in base64."""
        shares = {label: round(share, 6) for label, share in zip(self.labels, self.shares, strict=True)}
        return {"share": shares, "mask": base64.b64encode(self.picture).decode()}

    def rows(self, limit: int = 5) -> list[str]:
        ranked = sorted(zip(self.shares, self.labels, strict=True), key=lambda pair: -pair[0])
        return [f"{share:7.2%}  {label}" for share, label in ranked]

    def files(self) -> dict[str, bytes]:
        """The mask; the probability, where there is one; and on a picture, its colours and the picture tinted."""
        files = {"mask.png": self.picture}
        if self.chance is not None:
            files["chance.png"] = self.chance
        if self.ground is not None:
            files["colours.png"] = _drawing.coloured(self.picture, len(self.labels))
            files["overlay.png"] = _drawing.overlaid(self.picture, len(self.labels), self.ground)
        return files

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
        _countable(self.labels)

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
        encoded, share = _described(ops, mask, len(self.labels))
        return {"mask_bytes": ops.strings([encoded]), "share": share[None]}

    def read(self, response: Tensors, row: int) -> Mask:
        return Mask(self.labels, tuple(response["share"][row].tolist()), response["mask_bytes"][row])


TOGETHER = 2**20
"""About so many logits of the picture are computed at once: with it the memory is bounded."""


@dataclass(frozen=True)
class Whole:
    """Softmax's largest at each pixel, for a network that sees the whole picture at one size.

    The logits are resized to the picture's own size, between four of them bilinearly, before the largest is taken, so
    that outlines are not stairs.

    Attributes:
        input: How a picture is made to fit. What a crop or a letterbox hides or adds is undone.
        labels: One name a class, in the order of the logits; 256 at most.
        crf: The fully connected field that sharpens outlines, where it is wanted: only where this runs on NumPy.
    """

    kind: ClassVar[str] = "segment"
    batched: ClassVar[bool] = True

    input: Image
    labels: tuple[str, ...]
    crf: CRF | None = None

    def refined(self) -> Whole:
        """The same with the field, in the settings of the first paper that has one."""
        return self if self.crf else replace(self, crf=CRF())

    def __post_init__(self) -> None:
        _countable(self.labels)

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("mask_bytes", "string", (None,), "mask"), Port("share", "float32", (None, len(self.labels))))

    @property
    def parts(self) -> Mapping[str, Signature]:
        """The logits may be coarser than what the network sees."""
        logits = Port("logits", "float32", (None, None, None, len(self.labels)))
        return {"network": Signature((self.input.tensor,), (logits,))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        seen, placements = self.input.place(ops, request["image_bytes"])
        logits = network({"image": seen})["logits"]

        if self.crf is not None and ops is not host:
            raise UsageError("The fully connected field runs on NumPy; it is no part of a graph.")

        def described(row: Tensor) -> tuple[Tensor, Tensor]:
            place, fitted = placements.of(row), (self.input.height, self.input.width)
            said = logits[row]
            if self.crf is not None:
                said, place = self._refined(self.crf, said, place, request["image_bytes"][row])
                fitted = said.shape[:2]
            return _described(ops, self._mask(ops, said, place, fitted), len(self.labels))

        rows = ops.arange(ops.length(seen))
        encoded, share = ops.map_items(described, rows, ((), (len(self.labels),)), ("string", "float32"))
        return {"mask_bytes": encoded, "share": share}

    def _refined(self, crf: CRF, logits: Any, placement: Placement, data: bytes) -> tuple[Any, Placement]:
        """Log-probabilities of the picture as large as the field is computed, and where the picture lies in them."""
        pixels = host.decode_picture(data, 3)
        height, width = host.size(pixels)
        ratio = min(1.0, crf.side / max(height, width))
        tall, wide = max(1, round(height * ratio)), max(1, round(width * ratio))
        scale = np.array([tall / height, wide / width], np.float32)
        inner = Placement(np.array([tall, wide], np.float32), placement.scale / scale, placement.offset)
        rows = np.arange(tall, dtype=np.int32)
        spread = inner.spread(host, logits, rows, (self.input.height, self.input.width))
        said = crf.refine(spread, host.resize(pixels, tall, wide, "bilinear"))
        return said, Placement(np.array([height, width], np.float32), scale, np.zeros(2, np.float32))

    def _mask(self, ops: Any, logits: Tensor, placement: Placement, fitted: tuple[int, int]) -> Tensor:
        """Logits [h, w, classes] to the picture's classes, uint8 [height, width]."""
        size = ops.cast(placement.size, "int32")
        height, width = size[0], size[1]
        each = ops.minimum(ops.maximum(TOGETHER // (width * len(self.labels)), 1), height)
        bands = (height + each - 1) // each

        def band(index: Tensor) -> Tensor:
            rows = ops.minimum(index * each + ops.arange(each), height - 1)
            spread = placement.spread(ops, logits, rows, fitted)
            return ops.cast(ops.argmax(spread), "uint8")

        mask = ops.map_range(band, bands, (None, None), "uint8")
        return ops.reshape(mask, (bands * each, width))[:height]

    def read(self, response: Tensors, row: int) -> Mask:
        return Mask(self.labels, tuple(response["share"][row].tolist()), response["mask_bytes"][row])


@dataclass(frozen=True)
class Patches:
    """The mean of what a small network says of a pixel in all the patches that it lies in, for pictures of any size.

    Attributes:
        labels: One name a class, in the order of the logits; 256 at most.
        patch: Side of the network's input in pixels.
        stride: Pixels from one patch to the next, down and across.
        channels: 1 for grey pictures, 3 for colour.
    """

    kind: ClassVar[str] = "segment"
    batched: ClassVar[bool] = False

    labels: tuple[str, ...]
    patch: int = 48
    stride: int = 5
    channels: int = 1

    def __post_init__(self) -> None:
        _countable(self.labels)
        if not 1 <= self.stride <= self.patch:
            raise UsageError(f"stride={self.stride} leaves pixels out, or is none: it is 1 to {self.patch}.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (1,), "image"),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (
            Port("mask_bytes", "string", (1,), "mask"),
            Port("chance_bytes", "string", (1,), "image"),
            Port("share", "float32", (1, len(self.labels))),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        image = Port("image", "float32", (None, self.patch, self.patch, self.channels), "image")
        logits = Port("logits", "float32", (None, self.patch, self.patch, len(self.labels)))
        return {"network": Signature((image,), (logits,))}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        pixels = ops.decode_image(request["image_bytes"][0], self.channels)

        def likely(patches: Tensor) -> Tensor:
            return ops.softmax(network({"image": patches})["logits"])

        both = over_patches(ops, pixels, self.patch, self.stride, likely, len(self.labels))
        encoded, share = _described(ops, both[:, :, 0], len(self.labels))
        chance = ops.encode_png(both[:, :, 1:])
        return {"mask_bytes": ops.strings([encoded]), "chance_bytes": ops.strings([chance]), "share": share[None]}

    def read(self, response: Tensors, row: int) -> Mask:
        mask, chance = (response[name][row] for name in ("mask_bytes", "chance_bytes"))
        return Mask(self.labels, tuple(response["share"][row].tolist()), mask, chance=chance)


def _countable(labels: tuple[str, ...]) -> None:
    if not 1 <= len(labels) <= 256:
        raise UsageError(f"A mask of one byte a pixel holds at most 256 classes; there are {len(labels)}.")


def _described(ops: Any, mask: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """A mask uint8 [height, width] as PNG, and each class's share of its pixels, float32 [classes]."""
    height, width = ops.size(mask)
    counts = ops.bincount(ops.reshape(mask, (height * width,)), classes)
    share = ops.cast(counts, "float32") / ops.cast(height * width, "float32")
    return ops.encode_png(mask[:, :, None]), share
