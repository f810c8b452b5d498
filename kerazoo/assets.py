"""What belongs to weights besides the numbers: labels, preprocessing, vocabulary. All of it ships with the package."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError, near
from kerazoo.manifest import Entry


@dataclass(frozen=True)
class Assets:
    """What a task needs to read requests and name answers.

    Attributes:
        labels: One name a class, in the order of the logits.
        preprocessing: The manifest's recipe from pixels to tensor.
        vocabulary: One token an id; or two vocabularies, `source` and `target`.
    """

    labels: tuple[str, ...] | None = None
    preprocessing: Mapping[str, Any] | None = None
    vocabulary: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = None


@functools.cache
def labels(name: str) -> tuple[str, ...]:
    """Human names of the classes of a data set, in class order; names of two classes can be equal (two `crane`)."""
    folder = importlib.resources.files("kerazoo").joinpath("labels")
    path = folder.joinpath(f"{name}.txt")
    if not path.is_file():
        known = sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))
        raise UsageError(f"There are no labels {name!r}; there are {', '.join(known)}.{near(name, known)}")
    # A line is the name, or an identifier (a WordNet id), a tab and the name.
    return tuple(line.rpartition("\t")[2] for line in path.read_text(encoding="utf-8").splitlines())


def of(entry: Entry) -> Assets:
    """The assets of one manifest entry."""
    return Assets(labels=labels(entry.labels) if entry.labels else None, preprocessing=entry.preprocessing or None)
