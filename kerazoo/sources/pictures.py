"""Pictures alone, pictures with the pictures that they should become, and pictures with masks."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image as Pillow

from kerazoo.codecs import image, mask
from kerazoo.contract import Port
from kerazoo.errors import UsageError
from kerazoo.ops.pictures import open_image
from kerazoo.printable import printable
from kerazoo.sources import files
from kerazoo.sources.files import Files, Sample, Say, item_of, silent

SEEN = ("images", "image", "pictures", "jpegimages", "input", "inputs", "small", "lr", "low")
"""What a folder of pictures is called beside which another folder says what they should become."""

MASKS = ("masks", "mask", "labels", "label", "annotations", "segmentationclass")
"""What a folder of masks is called."""

TARGETS = ("target", "targets", "large", "hr", "high")
"""What a folder is called of what pictures should become."""


def opened(sample: Sample) -> Pillow.Image:
    """A sample's picture, upright, of mode L or RGB.

    Raises:
        InputError: It cannot be read.
    """
    return open_image(image.read(item_of(sample), Port("picture", "string", (None,), "image")))


def alone(source: Path, only: str | None = None, say: Say = silent) -> list[Sample]:
    """Pictures, each its own truth.

    Args:
        source: An .npz with `x_test`, uint8 [n, h, w] or [n, h, w, 3]; or a folder or .tar of pictures.
        only: See `files.opened`.
        say: Is told which part of the data is taken.

    Raises:
        UsageError: There are none.
    """
    if source.suffix == ".npz" and source.is_file():
        end, (array,) = files.arrays(source, ("x",), only)
        files.check_pictures(array, source, f"x{end}")
        return [Sample(f"row {row}", picture) for row, picture in enumerate(array)]
    found = files.opened(source, only)
    samples = [Sample(name, functools.partial(found.read, name)) for name in found.those(image.SUFFIXES)]
    if not samples:
        raise UsageError(f"{source} holds no pictures (by suffix: {', '.join(image.SUFFIXES)}).")
    return files.held_out(samples, source, say)


def pairs(source: Path, only: str | None = None, say: Say = silent) -> list[Sample]:
    """Pictures, the truth of each a function that reads the picture that it should become; none where it holds no
    two folders called as `SEEN` and `TARGETS`.

    Args:
        source: A folder or .tar with two folders in which pictures have the same names, whatever their suffix.
        only, say: As for `alone`.
    """
    if not source.is_dir() and source.suffix != ".tar":
        return []
    found = files.opened(source, only)
    return _paired(found, found.those(image.SUFFIXES), TARGETS, image.SUFFIXES, say)


def masked(source: Path, only: str | None = None, say: Say = silent) -> list[Sample]:
    """Pictures, the truth of each a function that reads its mask: encoded bytes, or an array uint8 [h, w].

    Args:
        source: An .npz with `x_test`, uint8 [n, h, w] or [n, h, w, 3], and `y_test`, uint8 [n, h, w]; or a folder or
            .tar with folders called as `SEEN` and `MASKS`, in which pictures and masks have the same names, whatever
            their suffix.
        only, say: As for `alone`.

    Raises:
        UsageError: There are none, or a picture has no mask.
    """
    if source.suffix == ".npz" and source.is_file():
        end, (pictures, masks) = files.arrays(source, ("x", "y"), only)
        files.check_pictures(pictures, source, f"x{end}")
        masks = masks[..., 0] if masks.ndim == 4 and masks.shape[-1] == 1 else masks
        if masks.ndim != 3 or masks.dtype.kind not in "iub" or len(masks) != len(pictures):
            raise UsageError(
                f"{source}: y{end} must be masks of whole numbers [n, h, w], one for each of {len(pictures)} pictures; "
                f"it is {masks.dtype} {list(masks.shape)}."
            )
        rows = zip(pictures, masks, strict=True)
        return [
            Sample(f"row {row}", picture, functools.partial(np.asarray, each))
            for row, (picture, each) in enumerate(rows)
        ]
    found = files.opened(source, only)
    samples = _paired(found, found.those(image.SUFFIXES), MASKS, mask.SUFFIXES, say)
    if not samples:
        raise UsageError(
            f"{source} holds no pictures with masks: it must have a folder images and a folder masks, in which a "
            "picture and its mask have the same name."
        )
    return samples


def _paired(
    found: Files, names: Iterable[str], others: Sequence[str], suffixes: Sequence[str], say: Say
) -> list[Sample]:
    """Of each folder that has a partner beside it."""
    by_place: dict[tuple[str, ...], str] = {}
    folders: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        parts = PurePosixPath(name).with_suffix("").parts
        for at, part in enumerate(parts[:-1]):
            kind = part.casefold()
            if kind in SEEN or kind in others:
                folders.setdefault(parts[:at], {})[kind] = part
        if PurePosixPath(name).suffix.lower() in suffixes:
            by_place[parts] = name
    samples = []
    for name in names:
        parts = PurePosixPath(name).with_suffix("").parts
        for at, part in enumerate(parts[:-1]):
            beside = folders.get(parts[:at], {})
            partner = next((beside[kind] for kind in others if kind in beside), None)
            if part.casefold() in SEEN and partner is not None:
                other = by_place.get((*parts[:at], partner, *parts[at + 1 :]))
                if other is None:
                    raise UsageError(f"{found.source}: {printable(name)} has no partner in {partner}.")
                samples.append(Sample(name, functools.partial(found.read, name), functools.partial(found.read, other)))
                break
    return files.held_out(samples, found.source, say)
