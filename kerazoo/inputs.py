"""Inputs as people give them: folders, patterns and batches are opened into items, one by one as they are needed."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerazoo import codecs
from kerazoo.codecs._files import is_url
from kerazoo.contract import Port
from kerazoo.errors import InputError
from kerazoo.printable import printable


@dataclass(frozen=True)
class Source:
    """One input: what it is called, and how it is had when its turn comes."""

    label: str
    get: Callable[[], Any]

    def __call__(self) -> Any:
        return self.get()


def bad(label: str, message: str) -> Source:
    """An input that cannot be had, as its turn will show."""

    def fail() -> Any:
        raise InputError(message)

    return Source(label, fail)


def are_many(items: Any, port: Port) -> bool:
    """Whether these are items for a port, and not one."""
    is_item = getattr(codecs.of(port), "is_item", None)
    if is_item is not None and is_item(items):
        return False
    if isinstance(items, (str, bytes, bytearray, memoryview, Mapping, os.PathLike)):
        return False
    # Open files and arrays can be walked through, too.
    return isinstance(items, Iterable) and not hasattr(items, "read") and not hasattr(items, "__array__")


def stands_for_many(item: Any, port: Port) -> bool:
    """Whether `expand` makes other items of it: a folder, a pattern that files match, or a batch."""
    return _batch(item, port) is not None or _folder(item, port) or bool(_matching(item, port))


def expand(item: Any, port: Port, recursive: bool = False) -> Iterator[Any]:
    """The items that an item stands for.

    Args:
        item: A folder: its files of the port's media, by suffix, in the order of their names. A pattern (`*.jpg`,
            `**/*.png`): the files that match, in that order. A batch, where the media knows one: its rows. Anything
            else, and every item of a media that is typed rather than read from files: itself.
        port: What is filled.
        recursive: Folders within the folder too, each once, however many links lead to it.

    Returns:
        Items of the kind that was given, or a `Source` that raises where something cannot be listed.
    """
    batch = _batch(item, port)
    if batch is not None:
        yield from batch if len(batch) else [bad("", "The batch holds no items.")]
    elif _folder(item, port):
        yield from _files(item, set(codecs.of(port).SUFFIXES), recursive)
    elif found := _matching(item, port):
        yield from map(type(item), found)
    else:
        yield item


def _batch(item: Any, port: Port) -> Any:
    rows = getattr(codecs.of(port), "rows", None)
    return rows(item) if rows is not None else None


def _is_path(item: Any, port: Port) -> bool:
    return isinstance(item, (str, Path)) and bool(codecs.of(port).SUFFIXES) and not is_url(item)


def _folder(item: Any, port: Port) -> bool:
    return _is_path(item, port) and str(item) != "" and os.path.isdir(os.path.expanduser(item))


def _matching(item: Any, port: Port) -> list[str]:
    """The files that a pattern matches, sorted; none where it is no pattern, or a file is called so."""
    if not _is_path(item, port) or not glob.has_magic(str(item)):
        return []
    pattern = os.path.expanduser(str(item))
    found: dict[Any, str] = {}
    try:
        if os.path.lexists(pattern):
            return []
        for path in sorted(glob.iglob(pattern, recursive=True)):
            if not os.path.isdir(path):
                # `**` follows links, also those that lead round in a circle.
                folder = os.stat(os.path.dirname(path) or ".")
                found.setdefault((folder.st_dev, folder.st_ino, os.path.basename(path)), path)
    except (OSError, ValueError):
        pass  # No path at all: whoever reads it says so.
    return list(found.values())


def _files(folder: Any, suffixes: set[str], recursive: bool) -> Iterator[Any]:
    found = False
    for each in _walk(os.path.expanduser(str(folder)), recursive):
        if isinstance(each, Source) or _ends(os.path.basename(each).lower(), suffixes):
            found = True
            yield each if isinstance(each, Source) else type(folder)(each)
    if not found:
        more = "" if recursive else "\nIts folders are looked into with --recursive, or by a pattern such as **/*.png."
        yield bad(str(folder), f"No files to read in this folder (by suffix: {', '.join(sorted(suffixes))}).{more}")


def _ends(name: str, suffixes: set[str]) -> bool:
    return any(name.endswith(suffix) and name != suffix for suffix in suffixes)


def _walk(folder: str, recursive: bool) -> Iterator[str | Source]:
    seen: set[tuple[int, int]] = set()
    waiting = [iter([(folder, True)])]
    while waiting:
        path, is_folder = next(waiting[-1], ("", False))
        if not path:
            waiting.pop()
        elif not is_folder:
            yield path
        elif recursive or path == folder:
            try:
                waiting.append(iter(_listed(path, seen)))
            except OSError as error:
                yield bad(path, f"{printable(path)} cannot be listed: {error.strerror or error}.")


def _listed(folder: str, seen: set[tuple[int, int]]) -> list[tuple[str, bool]]:
    """What lies in a folder, sorted, and whether that is a folder too; nothing of one that was listed before."""
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    return [(path, os.path.isdir(path)) for path in (os.path.join(folder, name) for name in sorted(os.listdir(folder)))]
