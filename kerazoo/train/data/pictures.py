"""Pictures alone, of any sizes, and pieces of them, drawn anew each time."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from kerazoo.codecs.image import SUFFIXES
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.sources.files import Sample, check_pictures, is_tree, item_of
from kerazoo.tasks.redraw import luma_chroma
from kerazoo.train.data import files
from kerazoo.train.recipe import Batch


def _hash(pictures: tuple[np.ndarray, ...]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.dtype.str}{picture.shape}".encode())
        digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Enlarged:
    """Small pieces of a picture, with what surrounds them, and the large pieces that they should become.

    Attributes:
        small, large: The same pictures uint8 [h, w, channels] and [h * scale, w * scale, channels].
        side: Of the large pieces, in pixels of the small picture.
        context: Further pixels of the small picture on each side, so that no pixel that is learnt from has seen
            beyond the piece's edge.
        times: Pieces of each picture an epoch.
    """

    small: tuple[np.ndarray, ...]
    large: tuple[np.ndarray, ...]
    side: int
    context: int
    times: int = 1

    @property
    def scale(self) -> int:
        return self.large[0].shape[0] // self.small[0].shape[0]

    def __len__(self) -> int:
        return len(self.small) * self.times

    @functools.cached_property
    def fingerprint(self) -> str:
        return _hash((*self.small, *self.large, np.array([self.side, self.context, self.times])))

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Small pieces uint8 [batch, side + 2 context, ...] and large ones [batch, side * scale, ...]."""
        pairs = [self._pair(int(row) % len(self.small), rng) for row in rows]
        small, large = zip(*pairs, strict=True)
        return np.stack(small), np.stack(large)

    def _pair(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        small, large, scale, around = self.small[number], self.large[number], self.scale, self.context
        whole = self.side + 2 * around
        top, left = (int(rng.integers(0, extent - whole + 1)) for extent in small.shape[:2])
        piece = small[top : top + whole, left : left + whole]
        top, left, side = (top + around) * scale, (left + around) * scale, self.side * scale
        return piece, large[top : top + side, left : left + side]


def read(
    source: Path,
    channels: int,
    part: str = "train",
    *,
    least: int = 1,
    strict: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> tuple[list[np.ndarray], int]:
    """Pictures without anything said of them.

    Args:
        source: A folder or .tar of pictures, those in folders within it too; or with `train` and `val` that are such;
            or an .npz of x, or x_train and so on.
        channels: 1 for grey pictures, 3 for colour.
        part: A key of `kerazoo.train.data.files.PARTS`.
        least: Pixels of a side; smaller ones are left out.
        strict: Refuse where a picture cannot be read or is too small, instead of leaving it out.
        say: Is told which are left out, and how many.

    Returns:
        uint8 [h, w, channels], each of its own size, and how many were left out.

    Raises:
        UsageError, InputError: There is none.
    """
    if is_tree(source):
        held = files.part_of(files.opened(source), part)
        samples = [Sample(held.called(name), functools.partial(held.read, name)) for name in held.those(SUFFIXES)]
        if not samples:
            raise UsageError(f"{source} holds no pictures: {', '.join(SUFFIXES)}.")
    elif source.suffix.lower() == ".npz" and source.is_file():
        end, (array,) = files.arrays(source, part, ("x",))
        check_pictures(array, source, f"x{end}")
        samples = [Sample(f"row {row} of {source}", picture) for row, picture in enumerate(array)]
    else:
        what = "no such file or folder" if not source.exists() else "not a kind that is known"
        raise UsageError(f"{source} is {what}.\nA folder or .tar of pictures, or an .npz of x_train is.")
    out: list[Any] = [None] * len(samples)

    def read_one(row: int) -> None:
        item = item_of(samples[row])
        picture = ops.decode_image(item, channels) if isinstance(item, bytes) else files.with_channels(item, channels)
        if min(picture.shape[:2]) < least:
            raise InputError(f"its sides are {picture.shape[1]} and {picture.shape[0]} pixels; {least} are needed")
        out[row] = picture

    kept = files.each([sample.name for sample in samples], read_one, strict=strict, say=say)
    return [picture for picture in out if picture is not None], int(np.sum(~kept))


def whole(picture: np.ndarray, scale: int) -> np.ndarray:
    """A picture [h, w, ...] cut to sides that the scale divides."""
    height, width = (extent // scale * scale for extent in picture.shape[:2])
    return picture[:height, :width]


def smaller(picture: np.ndarray, scale: int) -> np.ndarray:
    """A picture uint8 [h, w, 3], `scale` times smaller, bicubically as Pillow does it."""
    drawn = Pillow.fromarray(np.ascontiguousarray(picture))
    size = (drawn.width // scale, drawn.height // scale)
    return np.asarray(drawn.resize(size, Pillow.Resampling.BICUBIC))


def luma(picture: np.ndarray) -> np.ndarray:
    """Of a picture uint8 [h, w, 3], as super-resolution sees it: uint8 [h, w, 1]."""
    return luma_chroma(ops, picture)[0]


def enlarged(pictures: Sequence[np.ndarray], scale: int, side: int, context: int, times: int) -> Enlarged:
    """Pictures uint8 [h, w, 3], made smaller, as samples of their luma; see `Enlarged`."""
    large = [whole(picture, scale) for picture in pictures]
    small = tuple(luma(smaller(picture, scale)) for picture in large)
    return Enlarged(small, tuple(map(luma, large)), side, context, times)
