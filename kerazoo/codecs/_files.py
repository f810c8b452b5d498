"""One input's bytes, wherever they lie."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path
from typing import IO, Any

from kerazoo.errors import InputError
from kerazoo.printable import printable

MAX_BYTES = 256 * 2**20
"""Largest file, stream or download that is read as one input."""

SECONDS = 60.0
"""Longest that an address may take, from the first step to the last byte."""


def is_url(item: Any) -> bool:
    """Whether an item is an address that is fetched rather than a path."""
    return isinstance(item, str) and item.lower().startswith(("http://", "https://"))


def read_bytes(item: Any, what: str) -> bytes | None:
    """The bytes of an item that is bytes, an open file, a path or an address; `None` for anything else.

    Args:
        item: `bytes`, `bytearray`, `memoryview`, an object with `read`, a `str` (a path, where `~` is the home folder,
            or an http or https address) or a `pathlib.Path`.
        what: What messages call it: "A picture".

    Raises:
        InputError: It cannot be read, or is larger than `MAX_BYTES`.
    """
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    if is_url(item):
        from kerazoo import http

        return http.read(item, most_bytes=MAX_BYTES, seconds=SECONDS)
    if isinstance(item, str) and not item:
        raise InputError(f"{what} cannot be read: an empty name is no path.")
    if isinstance(item, (str, Path)):
        return read_file(Path(item))
    if hasattr(item, "read"):
        try:
            data = item.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise InputError(f"{what} cannot be read: {error}") from None
        if not isinstance(data, bytes):
            raise InputError(f'{what} is an open file of text; open it with "rb".')
        return _bounded(data, what)
    return None


def read_file(path: Path) -> bytes:
    """The bytes of one file.

    Raises:
        InputError: No such file, no regular file, not allowed, or larger than `MAX_BYTES`.
    """
    with open_file(path) as file:
        try:
            # Asking a file for more than it holds costs the allocation; some in /proc do not know their size.
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES) + 1 if size else MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
    return _bounded(data, printable(str(path)))


def open_file(path: Path) -> IO[bytes]:
    """One file, open for reading.

    Raises:
        InputError: No such file, no regular file, or not allowed.
    """
    named = printable(str(path))
    try:
        path = path.expanduser()
        # A pipe that nobody writes to would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{named} is {'a folder' if path.is_dir() else 'no regular file'}.")
        return path.open("rb")
    except FileNotFoundError:
        if glob.has_magic(str(path)):
            raise InputError(f"No file matches {named}, and none is called so.") from None
        raise InputError(f"No such file: {named}") from None
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{printable(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}")


def _bounded(data: bytes, what: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise InputError(f"{what} is larger than {MAX_BYTES >> 20} MiB.")
    return data
