"""What sources have in common: their parts, and what is done about what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import InputError, UsageError
from kerazoo.sources import files
from kerazoo.sources.files import Files
from kerazoo.sources.pictures import SEEN

PARTS = {"train": ("train",), "held out": ("val", "valid", "validation", "test")}
"""Sub-folders, and the ends of the names of an .npz file's arrays, that say which part of the data they hold."""

NAMED = 5
"""What cannot be read is named so many times; the rest is counted."""


def opened(source: Path) -> Files:
    """What lies in a folder, or in a .tar: in the one folder that everything in it lies in, where there is one.

    Raises:
        UsageError: It is neither, or cannot be read.
    """
    found = files.opened(source)
    while not source.is_dir() and len(found.folders()) == 1 and all("/" in name for name in found.names):
        found = found.within(found.folders()[0])
    return found


def part_of(found: Files, part: str) -> Files:
    """What a part holds, where there are folders of parts and nothing else; else everything.

    Raises:
        UsageError: There are parts, and not this one.
    """
    inner = found.folders()
    if "train" not in inner or not set(inner) <= {name for names in PARTS.values() for name in names}:
        return found
    chosen = next((name for name in PARTS[part] if name in inner), None)
    if chosen is None:
        raise UsageError(f"{found.called()} has no folder {' or '.join(PARTS[part])}; it has {', '.join(inner)}.")
    return found.within(chosen)


def holds_out(source: Path) -> bool:
    """Whether a source says itself what is to be measured on: it has `train` and `val`, or its pictures' folder has.

    A `test` is not for that.
    """
    if not files.is_tree(source):
        return False
    found = opened(source)
    pictures = (found.within(folder) for folder in found.folders() if folder.casefold() in SEEN)
    return any(
        part_of(each, "train") is not each and bool(set(each.folders()) & set(PARTS["held out"]) - {"test"})
        for each in (found, *pictures)
    )


def arrays(source: Path, part: str, names: Sequence[str]) -> tuple[str, list[np.ndarray]]:
    """Arrays of a part of an .npz file: see `kerazoo.sources.files.arrays`."""
    return files.arrays(source, names, parts=PARTS[part])


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [h, w] or [h, w, 1, 3 or 4] to [h, w, channels]; what is transparent is seen as if it were not."""
    from PIL import Image as Pillow

    picture = picture if picture.ndim == 3 else picture[..., None]
    picture = picture[..., :3]
    if picture.shape[-1] == channels:
        return picture
    if channels == 3:
        return np.repeat(picture, 3, axis=-1)
    return np.asarray(Pillow.fromarray(picture).convert("L"))[..., None]


def each(
    names: Sequence[Any],
    read: Callable[[int], Any],
    *,
    what: str = "pictures",
    strict: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> np.ndarray:
    """Reads each sample, in parallel; what cannot be read is named and counted, or refused.

    Args:
        names: What to call each sample.
        read: Reads one by its number, and keeps it; an `InputError` or `OSError` says why it cannot be.
        what: What the samples are, in the plural.
        strict: Refuse where one cannot be read.
        say: Is told what is left out.

    Returns:
        Which could be read, bool [n].

    Raises:
        InputError: One cannot be read, and `strict`; or none can.
    """

    def fault(row: int) -> str | None:
        try:
            read(row)
        except OSError as error:
            return error.strerror or str(error)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(fault, range(len(names))))
    bad = [f"{name}: {why}" for name, why in zip(names, faults, strict=True) if why is not None]
    if bad and (strict or len(bad) == len(names)):
        raise InputError(f"{len(bad)} of {len(names)} {what} cannot be read.\n{bad[0]}")
    for line in bad[:NAMED]:
        say(f"left out {line}")
    if bad:
        say(f"{len(bad)} of {len(names)} {what} cannot be read and are left out.")
    return np.array([why is None for why in faults])
