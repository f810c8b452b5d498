"""Files out of `.tar.gz`, `.tgz` and `.zip`, into memory: nothing is unpacked to the disk.

Bounds: `EXPANSION` times the file's size and `SPARE` bytes unpacked, the headers among them, and `MOST_MEMBERS`
members; no sparse ones, which are longer than what is stored of them.
"""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast

from kerazoo.errors import WeightsDamaged
from kerazoo.weights import _zip
from kerazoo.weights._arrays import EXPANSION, SPARE
from kerazoo.weights._zip import MOST_MEMBERS

GZIP, ZIP = b"\x1f\x8b", _zip.SIGNATURE


class _Bounded:
    """A stream that ends with an error where it has given more than it may."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self.stream = stream
        self.left = most

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise WeightsDamaged("it unpacks to more than so small a file can hold")
        return data


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name (without folders) of every plain file, and what reads it, to be called before the next one comes."""
    with path.open("rb") as file:
        zipped = file.read(2) == ZIP
    if zipped:
        with _zip.opened(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename.rpartition("/")[2], partial(archive.read, info)
        return
    most = EXPANSION * path.stat().st_size + SPARE
    with gzip.open(path) as stream:
        # As a stream that only goes forward: headers of any length are then bounded too.
        bounded = cast(IO[bytes], _Bounded(cast(IO[bytes], stream), most))
        with tarfile.open(fileobj=bounded, mode="r|") as tar:
            for index, member in enumerate(tar):
                if index == MOST_MEMBERS:
                    return
                if member.isreg() and not member.issparse():
                    yield member.name.rpartition("/")[2], partial(_whole, tar, member)
        # The checksum comes at the very end.
        while bounded.read(SPARE):
            pass


def _whole(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    data = cast(IO[bytes], tar.extractfile(member)).read()
    if len(data) != member.size:
        raise WeightsDamaged(f"it ends within {member.name[:80]}")
    return data


def names(path: Path) -> Iterator[str]:
    """Names of the files in it, in order, as far as they can be read; none where it is no archive of files."""
    try:
        for name, _ in _members(path):
            yield name
    except (tarfile.TarError, OSError, EOFError, zlib.error, zipfile.BadZipFile):
        return


def contents(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted files, whose names must differ."""
    taken = set()
    for name, content in _members(path):
        if wanted(name):
            if name in taken:
                raise WeightsDamaged(f"it holds two files {name}")
            taken.add(name)
            yield name, content()
