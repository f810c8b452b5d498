"""Pictures with the class of each of their pixels: a folder of pictures and one of masks, or an .npz."""

from __future__ import annotations

import functools
import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerazoo.codecs.image import SUFFIXES, Image
from kerazoo.errors import InputError, UsageError
from kerazoo.ops import numpy as ops
from kerazoo.ops.pictures import FORMATS
from kerazoo.own.stating import labels_of
from kerazoo.sources.files import check_pictures, is_tree
from kerazoo.sources.pictures import MASKS, SEEN
from kerazoo.train.data import files
from kerazoo.train.recipe import Batch

NAMES = "classes.txt"
"""Beside the two folders: a name a line, in the order of the classes."""

VOID = 255
"""The value of pixels whose class is not known, which are not learnt from."""


@dataclass(frozen=True)
class Masked:
    """Pictures and masks, read.

    Attributes:
        pictures: uint8 [h, w, channels], each of its own size.
        masks: uint8 [h, w], the numbers of classes, and `VOID`.
        names: Of the classes; `None` where the source does not say.
        white: Whether the masks are black and white, 0 and 255, which are then the classes 0 and 1.
        skipped: How many pictures could not be read.
    """

    pictures: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    names: tuple[str, ...] | None = None
    white: bool = False
    skipped: int = 0

    @property
    def count(self) -> int:
        """Classes that the masks hold: one more than the largest number."""
        return 1 + max((int(mask[mask != VOID].max()) for mask in self.masks if (mask != VOID).any()), default=-1)

    def take(self, rows: np.ndarray) -> Masked:
        pictures, masks = ([several[row] for row in rows] for several in (self.pictures, self.masks))
        return replace(self, pictures=pictures, masks=masks)


def read(
    source: Path,
    channels: int,
    part: str = "train",
    *,
    white: bool | None = None,
    strict: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> Masked:
    """What a source holds.

    Args:
        source: A folder or .tar with `images` and `masks` (or called as `kerazoo.sources.pictures` says), whose files
            have equal names up to their suffix, or with `train` and `val` that are such; or an .npz of x (pictures) and
            y (masks), or x_train, y_train and so on.
        channels: 1 for grey pictures, 3 for colour.
        part: A key of `kerazoo.train.data.files.PARTS`.
        white: Whether 0 and 255 are the classes 0 and 1; by default if the masks hold nothing else.
        strict: Refuse where a picture or a mask cannot be read, or they differ in size, instead of leaving both out.
        say: Is told what is left out.

    Raises:
        UsageError, InputError: There is nothing of the kind.
    """
    if is_tree(source):
        pictures, masks, names, kept = _folder(source, channels, part, strict, say)
    elif source.suffix.lower() == ".npz" and source.is_file():
        pictures, masks, names, kept = *_arrays(source, channels, part), None, np.ones(1, bool)
    else:
        what = "no such file or folder" if not source.exists() else "not a kind that is known"
        raise UsageError(
            f"{source} is {what}.\nA folder or .tar with the folders {SEEN[0]} and {MASKS[0]}, or an .npz of x_train "
            "and y_train is."
        )
    values = np.zeros(256, bool)
    for mask in masks:
        values |= np.bincount(mask.ravel(), minlength=256) > 0
    if white is None:
        white = bool(values[255]) and int(values.sum()) <= 2 and not values[2:255].any() and not values[1]
    if white:
        masks = [(mask == 255).astype(np.uint8) for mask in masks]
        values[1], values[255] = values[255], False
    if part == "train" and values[:VOID].sum() < 2:
        raise UsageError(
            f"The masks of {source} hold {int(values[:VOID].sum())} class; there is nothing to tell apart."
        )
    found = Masked(pictures, masks, names, white, int(np.sum(~kept)))
    if names is not None and found.count > len(names):
        raise UsageError(
            f"A mask of {source} holds the class {found.count - 1}; {NAMES} names {len(names)}, from 0 on."
        )
    return found


def _folder(
    source: Path, channels: int, part: str, strict: bool, say: Callable[[str], Any]
) -> tuple[list[np.ndarray], list[np.ndarray], tuple[str, ...] | None, np.ndarray]:
    whole = files.opened(source)
    held = files.part_of(whole, part)
    inner = {folder.casefold(): held.within(folder) for folder in held.folders()}
    where = [next((inner[name] for name in names if name in inner), None) for names in (SEEN, MASKS)]
    seen, known = where
    if seen is None or known is None:
        raise UsageError(
            f"{held.called()} has no folders {SEEN[0]} and {MASKS[0]}; it has {', '.join(held.folders()) or 'none'}.\n"
            "A picture and its mask have the same name in them."
        )
    seen, known = files.part_of(seen, part), files.part_of(known, part)
    names = seen.those(SUFFIXES)
    if not names:
        raise UsageError(f"{seen.called()} holds no pictures.")
    places = {_key(name): name for name in known.those(SUFFIXES)}
    out: list[Any] = [None] * len(names)

    def read_one(row: int) -> None:
        key = _key(names[row])
        if key not in places:
            raise InputError(f"there is no mask {key} in {known.called()}")
        picture = ops.decode_image(seen.read(names[row]), channels)
        mask = mask_of(known.read(places[key]))
        if mask.shape != picture.shape[:2]:
            sizes = (f"{shape[1]} x {shape[0]}" for shape in (mask.shape, picture.shape))
            raise InputError("its mask is {} pixels, it is {}".format(*sizes))
        out[row] = picture, mask

    kept = files.each([seen.called(name) for name in names], read_one, strict=strict, say=say)
    alone = len(places.keys() - {_key(name) for name in names})
    if alone:
        say(f"{alone} masks have no picture.")
    pairs = [pair for pair in out if pair is not None]
    told = next((each for each in (held, whole) if NAMES in each.names), None)
    classes = labels_of(told.text(NAMES), told.called(NAMES)) if told is not None else None
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs], classes, kept


def _key(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def mask_of(data: bytes) -> np.ndarray:
    """The class numbers that an encoded picture holds: its grey levels or, of a picture with a palette, its indices.

    Returns:
        uint8 [h, w].

    Raises:
        InputError: It is no picture, has colours, or is of a format that blurs.
    """
    from PIL import Image as Pillow

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            with Pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.format == "JPEG":
                    raise InputError("a mask cannot be a JPEG, which blurs the numbers of classes")
                mode = opened.mode
                array = np.asarray(opened.convert("L") if mode == "1" else opened)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Pillow.DecompressionBombError, Warning) as error:
        raise InputError(f"its mask cannot be read: {error}") from None
    if array.ndim == 3:
        colour = array[..., :3] if array.shape[-1] > 2 else array[..., :1]
        if (colour != colour[..., :1]).any():
            raise InputError("its mask is coloured; grey levels, or indices of a palette, number the classes")
        array = colour[..., 0]
    if array.dtype.kind not in "uib" or array.min() < 0 or array.max() > 255:
        raise InputError("its mask holds numbers beyond 0 to 255")
    return array.astype(np.uint8)


def _arrays(source: Path, channels: int, part: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    end, (pictures, masks) = files.arrays(source, part, ("x", "y"))
    check_pictures(pictures, source, f"x{end}")
    masks = masks[..., 0] if masks.ndim == 4 and masks.shape[-1] == 1 else masks
    if masks.dtype.kind not in "uib" or masks.shape != pictures.shape[:3] or masks.min() < 0 or masks.max() > 255:
        raise UsageError(
            f"{source}: y{end} must be the class of each pixel, whole numbers 0 to 255 of the shape "
            f"{list(pictures.shape[:3])}; it is {masks.dtype} {list(masks.shape)}."
        )
    return [files.with_channels(picture, channels) for picture in pictures], list(masks.astype(np.uint8))


def fitted(picture: np.ndarray, mask: np.ndarray, image: Image) -> tuple[np.ndarray, np.ndarray]:
    """A picture as a network sees it, and the class of each pixel there: the nearest one's, `VOID` beyond the picture.

    Returns:
        uint8 [height, width, channels] and uint8 [height, width].
    """
    pixels, placement = image.fit(ops, picture)
    rows, columns = (
        np.floor((np.arange(extent) + 0.5 - float(placement.offset[axis])) / float(placement.scale[axis])).astype(int)
        for axis, extent in enumerate((image.height, image.width))
    )
    inside = ((rows >= 0) & (rows < mask.shape[0]))[:, None] & ((columns >= 0) & (columns < mask.shape[1]))
    seen = mask[np.clip(rows, 0, mask.shape[0] - 1)][:, np.clip(columns, 0, mask.shape[1] - 1)]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), np.where(inside, seen, np.uint8(VOID))


def weighted(pictures: np.ndarray, masks: np.ndarray) -> Batch:
    """Pictures, masks with a class everywhere, and 1.0 for each pixel whose class is known, else 0.0."""
    known = masks != VOID
    return pictures, np.where(known, masks, 0).astype(np.int32), known.astype(np.float32)


@dataclass(frozen=True)
class Pieces:
    """Square pieces of pictures, drawn anew each time, and the classes in their middle.

    Attributes:
        pictures: uint8 [h, w, channels] of any size; beyond their borders they are mirrored, as a task's tiles are.
        masks: uint8 [h, w].
        side: Of a piece in pixels.
        shrink: Pixels that the classes' square is smaller on each side.
        times: Pieces of each picture an epoch.
    """

    pictures: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    side: int
    shrink: int
    times: int = 1

    def __len__(self) -> int:
        return len(self.pictures) * self.times

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.side} {self.shrink} {self.times}".encode())
        for array in (*self.pictures, *self.masks):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Pieces uint8 [batch, side, side, channels] and classes uint8 [batch, side - 2 shrink, ...], or `VOID`."""
        pairs = [self._pair(int(row) % len(self.pictures), rng) for row in rows]
        pictures, masks = zip(*pairs, strict=True)
        return np.stack(pictures), np.stack(masks)

    def _pair(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        picture, mask, core = self.pictures[number], self.masks[number], self.side - 2 * self.shrink
        corner = [int(rng.integers(0, max(extent - core, 0) + 1)) for extent in mask.shape]
        places = [at - self.shrink + np.arange(self.side) for at in corner]
        mirrored = [_mirrored(each, extent) for each, extent in zip(places, mask.shape, strict=True)]
        piece = picture[mirrored[0][:, None], mirrored[1]]
        seen = mask[corner[0] : corner[0] + core, corner[1] : corner[1] + core]
        missing = [(0, core - extent) for extent in seen.shape]
        return piece, np.pad(seen, missing, constant_values=VOID)


def _mirrored(places: np.ndarray, size: int) -> np.ndarray:
    period = max(2 * (size - 1), 1)
    places = places % period
    return np.minimum(places, period - places)
