"""Pictures and sentences with their classes."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from kerazoo.assets import identifiers
from kerazoo.codecs import image
from kerazoo.errors import UsageError, near
from kerazoo.printable import printable
from kerazoo.sources import files
from kerazoo.sources.files import Sample, Say, silent

INDEX = re.compile(r"(?:^|/)(\d+)_[^/]*\.(?:jpe?g|png)$", re.IGNORECASE)
"""A picture whose name begins with its class index and an underscore: `0088_n01818515_macaw.JPEG`."""


def pictures(source: Path, labels: Sequence[str], only: str | None = None, say: Say = silent) -> list[Sample]:
    """Pictures, the truth of each its class's number; all are held against the model's classes before one is read.

    Args:
        source: An .npz with `x_test` (uint8 [n, h, w] or [n, h, w, 3]) and `y_test`; a .csv of path and label, whose
            paths begin at its own folder; or a .tar or folder of pictures whose names begin with the class index
            (`INDEX`), or which lie in folders called as their class is.
        labels: The model's, in the order of its classes.
        only: See `files.opened`.
        say: Is told which part of the data is taken.

    Raises:
        UsageError: There is nothing of the kind at `source`, or a class that the model does not have.
    """
    if source.suffix == ".npz" and source.is_file():
        return _arrays(source, labels, only)
    if source.suffix.lower() == ".csv" and source.is_file():
        return _table(source, labels)
    if not source.is_dir() and source.suffix != ".tar":
        raise UsageError(f"{source} is no .npz, .csv, .tar or folder of labelled pictures.")
    found = files.opened(source, only)
    names = [Sample(name, functools.partial(found.read, name)) for name in found.those(image.SUFFIXES)]
    kept = files.held_out(names, source, say)
    truths = _classes([sample.name for sample in kept], labels, source)
    return [Sample(sample.name, sample.item, truths[sample.name]) for sample in kept if sample.name in truths]


def sentences(source: Path, labels: Sequence[str]) -> list[Sample]:
    """Sentences, the truth of each its class's number.

    Args:
        source: A .tsv of label and text, or a .csv whose first row names the columns `text` and `label`.
        labels: The model's; a label of the file is one of them, or a number where none is called so.

    Raises:
        UsageError: There is nothing of the kind at `source`, or a class that the model does not have.
    """
    rows = table(source, ("text", "label"), ("label", "text"))
    known = called(labels)
    return [
        Sample(f"line {number}", text, _class_of(label, known, labels, f"{source}, line {number}"))
        for number, (text, label) in rows
    ]


def table(source: Path, columns: Sequence[str], plain: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Rows of a .csv, or of a file with tabs in its lines: line number, and the cells in the order of `columns`.

    Args:
        source: The file, which may end in .gz.
        columns: Names of what is wanted; where the first row holds them all, it says which columns they are.
        plain: The order of the columns where no first row says it.

    Raises:
        UsageError: It cannot be read, holds no rows, or one that is too short.
    """
    if not source.is_file():
        raise UsageError(f"{source} is no file, .csv or .tsv, of {' and '.join(plain)}.")
    return rows_of(files.text(source), str(source), columns, plain)


def rows_of(text: str, name: str, columns: Sequence[str], plain: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The same of the text of a file of this name."""
    if not name.lower().removesuffix(".gz").endswith(".csv"):  # Quotes are signs like others there.
        rows = [
            (number, line.split("\t"))
            for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1)
            if line.strip()
        ]
    else:
        reader = csv.reader(io.StringIO(text, newline=""))
        try:
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise UsageError(f"{name} cannot be read as a CSV: {error}") from None
    head = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    named = set(columns) <= set(head)
    places = [(head if named else list(plain)).index(column) for column in columns]
    rows = rows[named:]
    if not rows:
        raise UsageError(f"{name} holds no rows of {' and '.join(plain)}.")
    for number, row in rows:
        if len(row) <= max(places) or not all(row[place].strip() for place in places):
            raise UsageError(f"{name}, line {number}: must hold {' and '.join(plain)}: {printable(str(row))[:100]}")
    return [(number, [row[place].strip() for place in places]) for number, row in rows]


def _arrays(source: Path, labels: Sequence[str], only: str | None) -> list[Sample]:
    end, (pictures, truths) = files.arrays(source, ("x", "y"), only)
    truths = truths.reshape(-1)
    files.check_pictures(pictures, source, f"x{end}")
    if len(truths) != len(pictures):
        raise UsageError(f"{source}: y{end} must hold one class index a picture; {len(truths)} for {len(pictures)}.")
    if truths.dtype.kind not in "iuf" or not np.array_equal(truths, np.rint(truths)):
        raise UsageError(f"{source}: y{end} must hold class indices, whole numbers; it is {truths.dtype}.")
    for truth in (truths.min(), truths.max()):
        within(int(truth), labels, f"{source}: y{end}")
    rows = zip(pictures, truths.astype(int).tolist(), strict=True)
    return [Sample(f"row {row}", picture, truth) for row, (picture, truth) in enumerate(rows)]


def _table(source: Path, labels: Sequence[str]) -> list[Sample]:
    known = called(labels)
    return [
        Sample(path, source.parent / path, _class_of(label, known, labels, f"{source}, line {number}"))
        for number, (path, label) in table(source, ("path", "label"), ("path", "label"))
    ]


def within(truth: int, labels: Sequence[str], where: str) -> int:
    """The class's number.

    Raises:
        UsageError: The model has no such class.
    """
    if not 0 <= truth < len(labels):
        raise UsageError(
            f"{where} holds the class {truth}; the model has {len(labels)}, 0 to {len(labels) - 1}: {_some(labels)}."
        )
    return truth


def _some(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}"


def _class_of(label: str, known: dict[str, int | None], labels: Sequence[str], where: str) -> int:
    found = known.get(_plain(label), -1)
    if found is None:
        raise UsageError(f"{where}: two classes are called {label!r}; give the class's number.")
    if found >= 0:
        return found
    if label.isascii() and label.isdecimal():
        return within(int(label), labels, where)
    raise UsageError(f"{where}: {printable(label)!r} is no class of the model ({_some(labels)}).{near(label, known)}")


def _classes(names: Sequence[str], labels: Sequence[str], source: Path) -> dict[str, int]:
    """Name -> class: of the folder that a picture lies in, where one of them is called as a class is, else its own."""
    known = called(labels)
    folders = {name: _plain(PurePosixPath(name).parent.name) for name in names}
    unknown = sorted({folder for folder in folders.values() if folder not in known})
    indexed = {name: int(found.group(1)) for name in names if (found := INDEX.search(name))}
    if not names or (not indexed and unknown == [""]):
        raise UsageError(
            f"{source} holds no pictures named by their class index, as 0088_macaw.jpg is, nor folders called as the "
            f"model's classes: {_some(labels)}."
        )
    if indexed and len(unknown) == len(set(folders.values())):
        return {name: within(truth, labels, f"{source}: {printable(name)}") for name, truth in indexed.items()}
    for folder in unknown:
        where = f"the folder {printable(folder)!r} is" if folder else "pictures outside of the classes' folders are of"
        raise UsageError(f"{source}: {where} no class of the model.{near(folder, known)}")
    for name, folder in folders.items():
        if known[folder] is None:
            raise UsageError(
                f"{source}: two classes are called {folder!r}; name the picture {printable(name)} by index."
            )
    return {name: known[folder] for name, folder in folders.items()}  # type: ignore[misc]


def called(labels: Sequence[str]) -> dict[str, int | None]:
    """What folders of the classes can be called -> class; `None` where two classes are called so."""
    known: dict[str, int | None] = {}
    for names in (labels, identifiers(tuple(labels))):
        for index, name in enumerate(names):
            known[_plain(name)] = None if _plain(name) in known else index
    return known


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ")
