"""Models by whatever names them: a word of the zoo, or a file of one's own that holds a network."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from kerazoo import formats, registry
from kerazoo.errors import UsageError
from kerazoo.own.files import SUFFIXES, KerasFile, SavedModelFolder
from kerazoo.registry import Built


class Subject(Protocol):
    """A model that can be built, exported and prepared: `kerazoo.registry.Model`, or a file of one's own."""

    @property
    def name(self) -> str:
        """What `find` finds it by, in another process too."""
        ...

    @property
    def stem(self) -> str:
        """What its artefacts are called."""
        ...

    @property
    def cached(self) -> str:
        """What its place in the cache is called."""
        ...

    def identity(self) -> list[Any]:
        """What artefacts of it depend on."""
        ...

    def fetch(self) -> None:
        """Brings what it is built from onto this machine."""
        ...

    def build(self) -> Built: ...


def _silent(line: str) -> None:
    pass


def find(word: str | os.PathLike[str], say: Callable[[str], Any] = _silent) -> Subject:
    """The model of a name, or in a file.

    Args:
        word: A name of the zoo, or the path of a `.keras` file or of a SavedModel folder with a card.
        say: Is told, in a line, what had to be assumed about a file without a card.

    Raises:
        UnknownModel, UsageError: There is no such model, or the file is not one.
    """
    path = Path(word).expanduser()
    if path.suffix == SUFFIXES[0] and ":" not in str(word) or path.is_file() and path.suffix == SUFFIXES[0]:
        if not path.is_file():
            raise UsageError(f"{path} is a folder, no .keras file." if path.is_dir() else f"No such file: {path}")
        return KerasFile(path.absolute(), say)
    if (path / "saved_model.pb").is_file():
        return SavedModelFolder(path.absolute())
    for form in formats.NETWORKS:
        if path.suffix == form.suffix and path.exists():
            raise UsageError(
                f"{path} is an artefact of the format {form.name} already: it is asked and served as it is,\n"
                "and becomes no other format. Export the .keras file or the SavedModel that it was made from."
            )
    found = registry.find(str(word))
    registry.require_weights(found)
    return found


@contextlib.contextmanager
def subject(
    model: Any, *, labels: Any = None, task: Any = None, normalise: Any = None, say: Callable[[str], Any] = _silent
) -> Iterator[Subject]:
    """The model of a name or in a file, or a `keras.Model`, which is saved for as long as the block runs.

    Raises:
        UsageError: `labels`, `task` or `normalise` are given beside a name or a file, which say it themselves.
    """
    if isinstance(model, (str, os.PathLike)):
        if not (labels is None and task is None and normalise is None):
            raise UsageError(
                "labels, task and normalise are those of a keras.Model; a name or a file says its own.\n"
                "`kerazoo card FILE` states them for a file that does not."
            )
        yield find(model, say)
        return
    from kerazoo.own.saving import save

    with tempfile.TemporaryDirectory(prefix="kerazoo-") as folder:
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", getattr(model, "name", "") or "model").strip(".") or "model"
        path = Path(folder) / f"{stem}.keras"
        save(model, path, labels=labels, task=task, normalise=normalise)
        yield find(path, say)
