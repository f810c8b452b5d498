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
    known = label_sets()
    if name not in known:
        raise UsageError(f"There are no labels {name!r}; there are {', '.join(known)}.{near(name, known)}")
    return tuple(label for _, label in _lines(name))


def label_sets() -> list[str]:
    """The data sets whose classes are known by name, sorted."""
    folder = importlib.resources.files("kerazoo").joinpath("labels")
    return sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))


def identifiers(known: tuple[str, ...]) -> tuple[str, ...]:
    """What the data set of these labels calls its classes in folders and lists (WordNet ids), if it does."""
    for name in label_sets():
        lines = _lines(name)
        if tuple(label for _, label in lines) == known:
            return tuple(identifier for identifier, _ in lines if identifier)
    return ()


def _lines(name: str) -> list[tuple[str, str]]:
    """Identifier, where there is one, and label of each class."""
    text = importlib.resources.files("kerazoo").joinpath("labels", f"{name}.txt").read_text(encoding="utf-8")
    # A line is the name, or an identifier (a WordNet id), a tab and the name.
    parts = [line.rpartition("\t") for line in text.splitlines()]
    return [(identifier, label) for identifier, _, label in parts]


def of(entry: Entry) -> Assets:
    """The assets of one manifest entry."""
    return Assets(labels=labels(entry.labels) if entry.labels else None, preprocessing=entry.preprocessing or None)
