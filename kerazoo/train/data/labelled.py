"""Pictures with the names of their classes: a folder of class folders, a CSV of path and label, or an .npz."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs._files import read_file
from kerazoo.codecs.image import SUFFIXES, Image
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.sources.files import Sample, check_pictures, is_tree, item_of
from kerazoo.sources.labelled import table
from kerazoo.train.data import files

COLUMNS = ("path", "label")
"""Of a table; without a first row that names them, the first and the second."""


@dataclass(frozen=True)
class Labelled:
    """Pictures and the numbers of their classes.

    Attributes:
        pictures: Functions that read one's bytes, or one array uint8 [n, h, w] or [n, h, w, channels].
        labels: int64 [n].
        names: One a class, in the order of the numbers; where the source holds numbers alone, these.
        numbered: Whether the source holds numbers alone.
    """

    pictures: Sequence[Sample] | np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    numbered: bool = False

    def take(self, rows: np.ndarray) -> Labelled:
        pictures = self.pictures[rows] if isinstance(self.pictures, np.ndarray) else [self.pictures[i] for i in rows]
        return Labelled(pictures, self.labels[rows], self.names, self.numbered)


def read(source: Path, part: str = "train", least: int = 2) -> Labelled:
    """What a source holds.

    Args:
        source: A folder or .tar with a folder of pictures for each class, or with `train` and `val` that are such; a
            .csv of path and label, paths beginning at its own folder; or an .npz with x and y, or x_train, y_train and
            so on.
        part: A key of `kerazoo.train.data.files.PARTS`: which part of a source that says it.
        least: Classes that are learnt from; what is held out in an .npz may have any number.

    Raises:
        UsageError: There is nothing of the kind, or fewer classes.
    """
    loose = 0
    if is_tree(source):
        found, loose = _folder(source, part)
    elif source.suffix.lower() == ".csv" and source.is_file():
        found = _table(source)
    elif source.suffix.lower() == ".npz" and source.is_file():
        return _arrays(source, part, least)
    else:
        what = "no such file or folder" if not source.exists() else "not a kind that is known"
        raise UsageError(
            f"{source} is {what}.\nA folder or .tar with a folder of pictures for each class, a .csv of path and "
            "label, or an .npz of x_train and y_train is."
        )
    names = tuple(sorted({label for _, label in found}))
    if len(names) < least:
        beside = f" {loose} pictures lie in it, in no folder that names their class." if loose else ""
        raise UsageError(
            f"{source} holds {len(found)} pictures of {len(names)} class{'' if len(names) == 1 else 'es'}"
            f"{f' ({names[0]})' if names else ''}; there is nothing to tell apart.{beside}\n"
            f"Pictures end in {', '.join(SUFFIXES)}, and lie in a folder named after their class."
        )
    numbers = {name: number for number, name in enumerate(names)}
    return Labelled([sample for sample, _ in found], np.array([numbers[label] for _, label in found]), names)


def _folder(source: Path, part: str) -> tuple[list[tuple[Sample, str]], int]:
    """Pictures with the name of their class, and how many lie in no class's folder."""
    held = files.part_of(files.opened(source), part)
    found = [
        (Sample(held.called(name), functools.partial(held.read, name)), name.partition("/")[0])
        for name in held.those(SUFFIXES)
        if "/" in name
    ]
    return found, len(held.those(SUFFIXES)) - len(found)


def _table(source: Path) -> list[tuple[Sample, str]]:
    rows = [(source.parent / path, label) for _, (path, label) in table(source, COLUMNS, COLUMNS)]
    return [(Sample(str(path), functools.partial(read_file, path)), label) for path, label in rows]


def _arrays(source: Path, part: str, least: int) -> Labelled:
    end, (pictures, labels) = files.arrays(source, part, ("x", "y"))
    check_pictures(pictures, source, f"x{end}")
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "iu" or len(labels) != len(pictures) or labels.min() < 0:
        raise UsageError(
            f"{source}: y{end} must be one number of a class, 0 or more, for each of {len(pictures)} rows."
        )
    labels = labels.astype(np.int64)
    count = int(labels.max()) + 1
    if part == "train" and len(np.unique(labels)) < least:
        raise UsageError(f"{source} holds {len(labels)} pictures of 1 class; there is nothing to tell apart.")
    return Labelled(pictures, labels, tuple(map(str, range(count))), numbered=True)


def fit(
    found: Labelled, image: Image, *, strict: bool = False, say: Callable[[str], Any] = lambda line: None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The pictures as the network takes them, decoded in parallel, and their classes; and how many were left out.

    Args:
        found: What was read.
        image: How a picture is made to fit, as `kerazoo predict` will do it.
        strict: Refuse where a picture cannot be read, instead of leaving it out.
        say: Is told which pictures are left out, and how many.

    Returns:
        uint8 [n, height, width, channels], int64 [n], and the number of pictures that could not be read.

    Raises:
        InputError: A picture cannot be read, and `strict`; or none can.
        UsageError: A class has no picture that can be read.
    """
    # A class of which a split holds nothing is another matter than one whose files are all damaged.
    before = set(found.labels.tolist())
    out = np.empty((len(found.labels), image.height, image.width, image.channels), np.uint8)

    def read_one(row: int) -> None:
        picture = found.pictures[row]
        pixels: Any = (
            files.with_channels(picture, image.channels)
            if isinstance(picture, np.ndarray)
            else ops.decode_picture(item_of(picture), image.channels)
        )
        out[row] = np.clip(np.rint(image.fit(ops, pixels)[0]), 0, 255)

    arrays = isinstance(found.pictures, np.ndarray)
    names = [f"row {row}" if arrays else found.pictures[row].name for row in range(len(out))]
    kept = files.each(names, read_one, strict=strict, say=say)
    empty = [found.names[number] for number in sorted(before - set(found.labels[kept].tolist()))]
    if empty:
        raise UsageError(f"No picture of {', '.join(empty)} can be read.")
    return (out if kept.all() else out[kept]), found.labels[kept], int(np.sum(~kept))


def split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the samples to learn from, and of a share of every class to measure on; at least one stays."""
    rng = np.random.default_rng((seed, 0x5EED))
    held: list[int] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held += rows[: min(round(share * len(rows)), len(rows) - 1)].tolist()
    kept = np.setdiff1d(np.arange(len(labels)), held)
    return kept, np.array(sorted(held), np.int64)


def renumbered(found: Labelled, names: Iterable[str], source: Path) -> Labelled:
    """The same with the numbers that these class names have.

    Raises:
        UsageError: It holds a class that is not among them.
    """
    names = tuple(names)
    if found.numbered:
        if len(found.names) > len(names):
            raise UsageError(
                f"{source} holds the class number {len(found.names) - 1}; "
                f"there are {len(names)} classes, 0 to {len(names) - 1} ({', '.join(names[:5])}, ...)."
            )
        return Labelled(found.pictures, found.labels, names)
    other = [name for name in found.names if name not in names]
    if other:
        raise UsageError(
            f"{source} holds classes that are not learnt: {', '.join(other[:5])}.\nThere are {', '.join(names[:10])}."
        )
    places = np.array([names.index(name) for name in found.names])
    return Labelled(found.pictures, places[found.labels], names)
