"""Zip archives that hold weights, checked as a whole before anything is unpacked.

Bounds: a directory of `LONGEST_DIRECTORY` bytes with `MOST_MEMBERS` members; each has a name and a place of its own, so
that what is read never adds up to more than the file; and all unpack to `EXPANSION` times its size and `SPARE` bytes.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights._arrays import EXPANSION, SPARE

SIGNATURE = b"PK"
LONGEST_DIRECTORY = 2 << 20
MOST_MEMBERS = 10_000
"""More than any network has arrays; each member takes half a kilobyte before a byte of it is read."""

HEADER = 30
"""Bytes that stand before a member's own name and content, at the least."""


class _Directory(io.BufferedReader):
    """A file whose long pieces are refused as long as the directory is being read."""

    most: int | None = LONGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise WeightsDamaged(f"its directory takes {size} bytes")
        return super().read(size)


@contextlib.contextmanager
def _archive(path: Path | io.BytesIO) -> Iterator[zipfile.ZipFile]:
    raw = cast(io.RawIOBase, path) if isinstance(path, io.BytesIO) else io.FileIO(path)
    with _Directory(raw) as file, zipfile.ZipFile(file) as archive:
        file.most = None
        if len(archive.filelist) > MOST_MEMBERS:
            raise WeightsDamaged(f"it has {len(archive.filelist)} members, more than {MOST_MEMBERS}")
        yield archive


def names(path: Path) -> list[str]:
    """Names of the members, with their folders; nothing of them is read."""
    with _archive(path) as archive:
        return archive.namelist()


@contextlib.contextmanager
def opened(path: Path | io.BytesIO, packed: bool = True) -> Iterator[zipfile.ZipFile]:
    """The archive, whose members can all be read without more checks.

    Args:
        path: Of a file, or the content of a member of another archive.
        packed: Whether members may be compressed.

    Raises:
        UsageError: They are compressed in a way that they must not be.
        WeightsDamaged: Two have the same name or place, or together they are larger than so small a file can hold.
    """
    with _archive(path) as archive:
        size = len(path.getbuffer()) if isinstance(path, io.BytesIO) else path.stat().st_size
        members = archive.infolist()
        methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if packed else (zipfile.ZIP_STORED,)
        if any(member.compress_type not in methods for member in members):
            raise UsageError(f"The archive is compressed{' in an uncommon way' if packed else ''}; save it without.")
        if len(archive.NameToInfo) != len(members):
            raise WeightsDamaged("it holds two arrays or files of the same name")
        end = 0
        for member in sorted(members, key=lambda member: member.header_offset):
            if member.header_offset < end:
                raise WeightsDamaged(f"{member.filename[:80]} lies over what stands before it")
            end = member.header_offset + HEADER + member.compress_size
        declared = sum(member.file_size for member in members)
        if end > size or declared > EXPANSION * size + SPARE:
            raise WeightsDamaged(f"it declares {declared} bytes, more than so small a file can hold")
        yield archive
