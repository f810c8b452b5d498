"""Where files lie, and how they are written there: locked, forced to the disk, with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import importlib.resources
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kerazoo.errors import KerazooError, UsageError
from kerazoo.manifest import PACKAGE, Entry, File
from kerazoo.printable import printable

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be, `None` where that is not known."""

CHUNK = 1 << 20
"""Bytes read and written at a time."""


def home() -> Path:
    """The cache's folder, which need not exist; `UsageError` where `KERAZOO_HOME` begins with nobody's `~name`."""
    if own := os.environ.get("KERAZOO_HOME"):
        return expanded(own, "KERAZOO_HOME")
    import platformdirs

    return platformdirs.user_cache_path("kerazoo")


def expanded(path: str, name: str) -> Path:
    """A path that the variable `name` of the environment holds, its `~` resolved."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name} is {printable(path, 200)}: nobody has such a home folder; write the path.") from error


def switch(name: str) -> bool:
    """Whether a variable of the environment says yes."""
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes")


def offline() -> bool:
    """Whether `KERAZOO_OFFLINE` forbids the network."""
    return switch("KERAZOO_OFFLINE")


def path_of(entry: Entry, file: File) -> Path:
    """Where this file lies once it is fetched; inside the package for those that came with it."""
    if packaged(file):
        return Path(str(importlib.resources.files("kerazoo"))) / file.urls[0].removeprefix(PACKAGE)
    return home() / "weights" / entry.variant / entry.weights / file.name


def artefacts(model_name: str) -> Path:
    """The folder for exports of `variant:weights` that were prepared on this machine; it need not exist."""
    variant, _, weights = model_name.partition(":")
    return home() / "artefacts" / variant / weights


def packaged(file: File) -> bool:
    """Whether the file comes with Kerazoo."""
    return file.packaged


def beside(path: Path, suffix: str) -> Path:
    """`net.h5` -> `net.h5.part`, and so on."""
    return path.with_name(path.name + suffix)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links count as themselves."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(size_of(inner) for inner in path.iterdir())


def say(line: str) -> None:
    """One line for people, on stderr."""
    print(f"kerazoo: {printable(line)}", file=sys.stderr)


def is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def small_json(path: Path, most_bytes: int) -> Any:
    """What a JSON file holds that is plain and not too long; `OSError` or `ValueError` where it is none."""
    # A pipe would be waited for, a device be read without end.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise ValueError("is no plain file")
        content = source.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError("is too long")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Holds the lock beside a target, so that of many processes one fetches and the others wait."""
    import filelock

    lock = filelock.FileLock(beside(target, ".lock"))
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=2)
        except filelock.Timeout:
            say(f"waiting for another process that fetches {target.name}.")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turns the system's errors about a path into ours; `needed` is how many bytes are to be written, if known."""
    try:
        yield
    except OSError as error:
        place = printable(str(path))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            amount = "more room is needed" if needed is None else f"{needed:,} bytes are needed"
            why, what = f"The disk is full: {amount} for {place}.", "Free some, or use another disk"
        else:
            why, what = f"Cannot write {place}: {error.strerror or error}.", "Use a folder that can be written"
        raise KerazooError(f"{why}\n{what}; KERAZOO_HOME says where the cache is.") from error


def write(
    path: Path, chunks: Iterable[bytes], needed: int | None = None, append: bool = False, keep: bool = False
) -> None:
    """Writes a file and forces it to the disk: a rename must not outrun the bytes.

    Where the chunks break off, the file goes unless `keep`; where the disk fails, it always goes.
    """
    try:
        with writing(path, needed), path.open("ab" if append else "wb") as out:
            for chunk in chunks:
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    except BaseException as error:
        if not keep or isinstance(error, KerazooError):
            with contextlib.suppress(OSError):
                path.unlink()
        raise
