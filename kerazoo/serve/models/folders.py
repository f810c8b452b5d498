"""What lies on disk: the versions of a model, and what each of them is made of."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from kerazoo.serve.wire.status import Status

log = logging.getLogger("kerazoo.serve")

LARGEST = (1 << 63) - 1
"""A version is an int64 on the wire."""

MOST = 100_000
"""Entries of a version folder."""

Stamp = frozenset[tuple[str, int, int]]
"""Path, size and time of the last change of every file."""


def versions(base: Path) -> dict[int, Path] | None:
    """Version folders by number: direct children whose whole name is a whole number. `None`: no such base folder."""
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return None
    found: dict[int, Path] = {}
    for path in entries:
        if not (path.name.isascii() and path.name.isdigit() and path.is_dir()):
            continue
        number = int(path.name)
        if number > LARGEST:
            continue  # As TF Serving, which takes it for a folder of another kind.
        if number in found:
            log.warning("Version %d stands twice under %s; taking %s", number, base, found[number].name)
            continue
        found[number] = path
    return found


def stamp(folder: Path) -> Stamp | None:
    """What tells one state of a version folder from another; `None` where it cannot be looked at."""
    try:
        return frozenset((entry.path, found.st_size, found.st_mtime_ns) for entry, found in _files(folder))
    except (OSError, Status):
        return None


def check(folder: Path) -> None:
    """Whether everything in a version folder is a file or a folder: whoever opens a pipe waits for ever.

    Raises:
        Status: Something else lies there, or too much.
    """
    try:
        for entry, _ in _files(folder):
            if not entry.is_file():
                raise Status("FAILED_PRECONDITION", f"{entry.path} is neither a file nor a folder.")
    except OSError as error:
        raise Status("UNAVAILABLE", f"{folder} cannot be read: {error.strerror or error}") from None


def _files(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Everything that is no folder, links followed."""
    todo, seen, count = [str(folder)], set(), 0
    while todo:
        where = todo.pop()
        if (real := os.path.realpath(where)) in seen:
            continue
        seen.add(real)
        with os.scandir(where) as entries:
            for entry in entries:
                count += 1
                if count > MOST:
                    raise Status("FAILED_PRECONDITION", f"{folder} holds more than {MOST} files.")
                if entry.is_dir():
                    todo.append(entry.path)
                else:
                    yield entry, entry.stat()
