"""One input's bytes, wherever they lie."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from kerazoo.errors import InputError

MAX_BYTES = 256 * 2**20
"""Largest file, stream or download that is read as one input."""


def read_bytes(item: Any, what: str) -> bytes | None:
    """The bytes of an item that is bytes, an open file, or a path (`~` is the home folder); `None` for anything else.

    Args:
        item: `bytes`, `bytearray`, `memoryview`, an object with `read`, a `str` or a `pathlib.Path`.
        what: What messages call it: "A picture".

    Raises:
        InputError: It cannot be read, or is larger than `MAX_BYTES`.
    """
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
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
    try:
        path = path.expanduser()
        # A pipe that nobody writes to would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}.")
        with path.open("rb") as file:
            # Asking a file for more than it holds costs the allocation; some in /proc do not know their size.
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES) + 1 if size else MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"No such file: {path}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _bounded(data, str(path))


def _bounded(data: bytes, what: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise InputError(f"{what} is larger than {MAX_BYTES >> 20} MiB.")
    return data
