"""What sources have in common: their parts, the pictures in a folder, and what is done about what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs.image import SUFFIXES
from kerazoo.errors import InputError, UsageError

PARTS = {"train": ("train",), "held out": ("val", "valid", "validation", "test")}
"""Sub-folders, and the ends of the names of an .npz file's arrays, that say which part of the data they hold."""

NAMED = 5
"""What cannot be read is named so many times; the rest is counted."""


def folders(source: Path) -> dict[str, Path]:
    """The folders in a folder by name, sorted; hidden ones are not seen."""
    return {path.name: path for path in sorted(source.iterdir()) if path.is_dir() and not path.name.startswith(".")}


def part_of(source: Path, part: str) -> Path:
    """The folder of a part, where `source` holds folders of parts and nothing else; else `source` itself.

    Raises:
        UsageError: It holds parts, and not this one.
    """
    inner = folders(source)
    if "train" not in inner or not set(inner) <= {name for names in PARTS.values() for name in names}:
        return source
    chosen = next((inner[name] for name in PARTS[part] if name in inner), None)
    if chosen is None:
        raise UsageError(f"{source} has no folder {' or '.join(PARTS[part])}; it has {', '.join(inner)}.")
    return chosen


def holds_out(source: Path) -> bool:
    """Whether a folder says itself what is to be measured on: it has `train` and `val`. A `test` is not for that."""
    if not source.is_dir() or part_of(source, "train") == source:
        return False
    return bool(folders(source).keys() & set(PARTS["held out"]) - {"test"})


def pictures(folder: Path, *, deep: bool = True) -> list[Path]:
    """The pictures in a folder and, where it is to be `deep`, in those within it, by suffix, sorted."""
    found = folder.rglob("*") if deep else folder.glob("*")
    return [path for path in sorted(found) if path.suffix.lower() in SUFFIXES and path.is_file()]


def arrays(source: Path, part: str, names: Sequence[str]) -> tuple[str, list[np.ndarray]]:
    """Arrays of an .npz file, called as they are or with the end of a part: `x_train` and `y_train`, or `x` and `y`.

    Returns:
        The end, and the arrays in the order of the names.

    Raises:
        UsageError: One is missing, or the file is damaged.
    """
    ends = [*(f"_{name}" for name in PARTS[part]), ""]
    try:
        # NumPy leaves a file open that is no archive.
        with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            end = next((end for end in ends if {f"{name}{end}" for name in names} <= set(stored.files)), None)
            if end is not None:
                return end, [stored[f"{name}{end}"] for name in names]
            held = ", ".join(stored.files) or "nothing"
    except Exception as error:  # zipfile, zlib and NumPy each raise their own.
        raise UsageError(f"{source} is a damaged .npz file: {error}") from None
    wanted = " or ".join(" and ".join(f"{name}{end}" for name in names) for end in ends)
    raise UsageError(f"{source} holds {held}; it must hold {wanted}.")


def check_pictures(source: Path, name: str, array: np.ndarray) -> None:
    """Refuses what is not pictures, uint8 [n, height, width] or [n, height, width, 1 or 3]."""
    fits = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise UsageError(
            f"{source}: {name} must be uint8 [n, height, width] or [n, height, width, 1 or 3]; "
            f"it is {array.dtype} {list(array.shape)}."
        )


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [h, w] or [h, w, 1 or 3] to [h, w, channels]."""
    from PIL import Image as Pillow

    picture = picture if picture.ndim == 3 else picture[..., None]
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
