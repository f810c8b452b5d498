"""Pictures with boxes, of any sizes, as a detector learns from them: cut, fitted, put together, boxes moved along."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.metrics.detect import Truth
from kerazoo.ops import numpy as ops
from kerazoo.sources.boxes import Marked, remarks
from kerazoo.sources.files import Sample, item_of
from kerazoo.train.data import files
from kerazoo.train.recipe import Batch

VISIBLE = 0.25
"""A box of which a smaller share lies in a cut picture is no longer looked for."""

GROUND = 127.5
"""What is seen beyond a picture, where its recipe has no ground of its own."""


@dataclass(frozen=True)
class Known:
    """Pictures and their boxes, read.

    Attributes:
        encoded: The pictures' bytes.
        pictures: uint8 [h, w, 3], each of its own size.
        truths: The boxes, by the numbers of the classes.
        skipped: How many pictures could not be read.
        flat: How many boxes were left out.
    """

    encoded: tuple[bytes, ...] = field(repr=False)
    pictures: tuple[np.ndarray, ...] = field(repr=False)
    truths: tuple[Truth, ...] = field(repr=False)
    skipped: int = 0
    flat: int = 0

    def take(self, rows: np.ndarray) -> Known:
        encoded, pictures, truths = (
            tuple(several[row] for row in rows) for several in (self.encoded, self.pictures, self.truths)
        )
        return replace(self, encoded=encoded, pictures=pictures, truths=truths)


def read(
    samples: Sequence[Sample],
    names: Sequence[str],
    channels: int,
    *,
    strict: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> Known:
    """The pictures and boxes of samples of `kerazoo.sources.boxes`.

    Args:
        samples: What to read.
        names: Of the classes, by their numbers; all that occur are among them.
        channels: 1 for grey pictures, 3 for colour.
        strict: Refuse where a picture or its boxes cannot be read, instead of leaving both out.
        say: Is told what is left out.

    Raises:
        InputError: None can be read, or one cannot be and `strict`.
    """
    numbers = {name: number for number, name in enumerate(names)}
    out: list[Any] = [None] * len(samples)

    def read_one(row: int) -> None:
        before: Marked = samples[row].truth()
        data = item_of(samples[row])
        picture = ops.decode_image(data, channels)
        after = before.within(*picture.shape[:2])
        labels = np.array([numbers[name] for name in after.names], np.int64)
        truth = Truth(after.boxes, labels, after.difficult, after.crowd)
        out[row] = data, picture, truth, before, after

    kept = files.each([sample.name for sample in samples], read_one, strict=strict, say=say)
    encoded, pictures, truths, before, after = zip(*(row for row in out if row is not None), strict=True)
    for line in remarks(before, after):
        say(line)
    flat = sum(len(one.names) - len(other.names) for one, other in zip(before, after, strict=True))
    return Known(encoded, pictures, truths, int(np.sum(~kept)), flat)


@dataclass(frozen=True)
class Boxed:
    """Pictures as a detector sees them, and the boxes in them.

    Attributes:
        pictures: uint8 [h, w, channels], of any size.
        truths: Their boxes. VOC's difficult ones and COCO's crowds are not learnt from.
        image: How a picture is made to fit.
        crop: Each side of what is seen of a picture lies within so much of its extent around the picture's own side,
            outside of it too: darknet's `jitter`. 0 for whole pictures.
        mosaic: Whether each picture is put together of four (Bochkovskiy et al., arXiv:2004.10934, section 3.3).
        steps: Of `stride` pixels, by which the sides of a batch may be larger or smaller than the recipe's.
        stride: Of the network's coarsest output.
    """

    pictures: tuple[np.ndarray, ...] = field(repr=False)
    truths: tuple[Truth, ...] = field(repr=False)
    image: Image
    crop: float = 0.0
    mosaic: bool = False
    steps: int = 0
    stride: int = 32

    def __len__(self) -> int:
        return len(self.pictures)

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.image} {self.crop} {self.mosaic} {self.steps} {self.stride}".encode())
        for picture, truth in zip(self.pictures, self.truths, strict=True):
            digest.update(f"{picture.shape}".encode())
            for array in (picture, truth.boxes, truth.labels):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @functools.cached_property
    def most(self) -> int:
        """Boxes of a picture, at most."""
        return max([1, *(len(truth.labels) for truth in self.truths)]) * (4 if self.mosaic else 1)

    def order(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Shuffled: that it is said here lets batches differ in shape."""
        return rng.permutation(len(self))

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Pictures uint8 [batch, height, width, channels], and float32 [batch, most, 5]: top, left, bottom and right in
        their pixels, and the class; -1 fills up."""
        more = self.stride * int(rng.integers(-self.steps, self.steps + 1))
        sides = [max(self.stride, side + more) for side in (self.image.height, self.image.width)]
        image = replace(self.image, height=sides[0], width=sides[1])
        pairs = [self._whole(image, int(row), rng) for row in rows]
        boxes = np.full((len(rows), self.most, 5), -1, np.float32)
        for its, (_, found) in zip(boxes, pairs, strict=True):
            its[: len(found)] = found
        return np.stack([picture for picture, _ in pairs]), boxes

    def _whole(self, image: Image, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if not self.mosaic:
            return self._one(image, row, rng)
        middle = [int(rng.integers(side // 4, 3 * side // 4 + 1)) for side in (image.height, image.width)]
        seen, found = np.empty((image.height, image.width, image.channels), np.uint8), []
        for quarter, number in enumerate((row, *rng.integers(0, len(self), 3))):
            picture, boxes = self._one(image, int(number), rng)
            near = [middle[axis] if quarter >> axis & 1 else 0 for axis in (0, 1)]
            far = [side if quarter >> axis & 1 else middle[axis] for axis, side in enumerate(picture.shape[:2])]
            seen[near[0] : far[0], near[1] : far[1]] = picture[near[0] : far[0], near[1] : far[1]]
            found.append(_visible(boxes, (*near, *far)))
        return seen, np.concatenate(found)

    def _one(self, image: Image, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A picture as the network sees it, and its boxes [n, 5]."""
        picture, truth = self.pictures[row], self.truths[row]
        learnt = ~(_flags(truth.ignored, truth) | _flags(truth.crowd, truth))
        boxes = np.column_stack([truth.boxes, truth.labels])[learnt]
        if self.crop:
            picture, boxes = self._cut(picture, boxes, rng)
        pixels, placement = image.fit(ops, picture)
        scale, offset = (np.array([float(side) for side in each] * 2) for each in (placement.scale, placement.offset))
        boxes[:, :4] = boxes[:, :4] * scale + offset
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return pixels, _visible(boxes, (0, 0, *pixels.shape[:2]))

    def _cut(self, picture: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size = np.array(picture.shape[:2])
        near = np.rint(size * rng.uniform(-self.crop, self.crop, 2)).astype(int)
        far = size + np.rint(size * rng.uniform(-self.crop, self.crop, 2)).astype(int)
        far = np.maximum(far, near + np.maximum(size // 4, 1))
        ground = round(GROUND if self.image.fill == "crop" else self.image.pad)
        seen = np.full((*(far - near), picture.shape[2]), ground, np.uint8)
        top, left = np.maximum(near, 0)
        bottom, right = np.maximum(np.minimum(far, size), (top, left))
        seen[top - near[0] : bottom - near[0], left - near[1] : right - near[1]] = picture[top:bottom, left:right]
        boxes = _visible(boxes, (top, left, bottom, right))
        boxes[:, :4] -= np.tile(near, 2)
        return seen, boxes


def _flags(flags: np.ndarray | None, truth: Truth) -> np.ndarray:
    return np.zeros(len(truth.labels), bool) if flags is None else flags


def _visible(boxes: np.ndarray, part: Sequence[int]) -> np.ndarray:
    """Boxes [n, 5] limited to a part of a picture, its top, left, bottom and right, without those that hardly are."""
    near, far = np.tile(part[:2], 2), np.tile(part[2:], 2)
    limited = boxes.copy()
    limited[:, :4] = np.clip(boxes[:, :4], near, far)
    area, before = ((each[:, 2] - each[:, 0]) * (each[:, 3] - each[:, 1]) for each in (limited, boxes))
    return limited[(area > 0) & (area >= VISIBLE * before)]


def mirrored(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    """Left and right of half of the pictures change places, and with them their boxes."""
    return _laid(batch, np.where(rng.random(len(batch[0])) < 0.5, 4, 0))


def turned(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    """Each picture in one of the eight ways to lay down a square, or the four of another rectangle."""
    square = batch[0].shape[1] == batch[0].shape[2]
    return _laid(batch, rng.choice(np.arange(8) if square else np.array([0, 2, 4, 6]), len(batch[0])))


def _laid(batch: Batch, ways: np.ndarray) -> Batch:
    """Quarter turns against the clock, and from 4 on then mirrored left to right."""
    pictures, boxes = batch[0].copy(), batch[1].copy()
    for row, way in enumerate(ways):
        picture, found = pictures[row], boxes[row]
        kind = found[:, 4] >= 0
        for _ in range(way % 4):
            picture = np.rot90(picture)
            top, left, bottom, right = found[kind, :4].T
            found[kind, :4] = np.stack([picture.shape[0] - right, top, picture.shape[0] - left, bottom], -1)
        if way >= 4:
            picture = picture[:, ::-1]
            found[kind, 1], found[kind, 3] = picture.shape[1] - found[kind, 3], picture.shape[1] - found[kind, 1]
        pictures[row] = picture
    return pictures, boxes
