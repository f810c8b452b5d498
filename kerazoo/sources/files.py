"""Files of a folder or of a .tar by name, and samples made of them."""

from __future__ import annotations

import fnmatch
import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kerazoo.codecs._files import MAX_BYTES, read_file
from kerazoo.errors import InputError, UsageError
from kerazoo.printable import printable

HELD_OUT = ("test", "val", "valid", "validation")
"""Folders, and the ends of the names of an .npz file's arrays, of what is measured on rather than learnt from; the
first that is there is taken."""

Say = Callable[[str], Any]


def silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class Sample:
    """One thing to ask, and what is right.

    Attributes:
        name: What people call it.
        item: What a predictor takes, or a function that returns it.
        truth: What is right, or a function that reads it; what it is depends on the kind of source.
    """

    name: str
    item: Any
    truth: Any = None


def item_of(sample: Sample) -> Any:
    """What a predictor takes, read where it has to be."""
    return sample.item() if callable(sample.item) else sample.item


@dataclass(frozen=True)
class Files:
    """The files of a folder or an archive.

    Attributes:
        source: The folder or the .tar.
        names: Paths within it, or within one of its folders, with forward slashes, sorted.
        root: That folder, with a slash behind it; empty for the whole.
    """

    source: Path
    names: tuple[str, ...]
    root: str = ""
    _places: dict[str, tuple[int, int]] | None = field(default=None, repr=False)

    def called(self, name: str = "") -> str:
        """What people call one of the names, or the folder itself."""
        if self._places is None:
            return printable(str(self.source / self.root / name))
        inner = printable(self.root + name).rstrip("/")
        return f"{self.source}: {inner}" if inner else str(self.source)

    def folders(self) -> tuple[str, ...]:
        """The outermost folders that hold anything, sorted."""
        return tuple(sorted({name.partition("/")[0] for name in self.names if "/" in name}))

    def within(self, folder: str) -> Files:
        """What lies in one of the folders."""
        start = f"{folder}/"
        names = tuple(name.removeprefix(start) for name in self.names if name.startswith(start))
        return Files(self.source, names, self.root + start, self._places)

    def read(self, name: str) -> bytes:
        """The bytes of one of the names.

        Raises:
            InputError: It cannot be read, or is larger than any input may be.
        """
        if self._places is None:
            return read_file(self.source / self.root / name)
        start, size = self._places[self.root + name]
        if size > MAX_BYTES:
            raise InputError(f"{self.called(name)} is larger than {MAX_BYTES >> 20} MiB.")
        try:
            with self.source.open("rb") as file:
                file.seek(start)
                data = file.read(size)
        except OSError as error:
            raise InputError(f"{self.source} cannot be read: {error.strerror or error}") from None
        if len(data) < size:
            raise InputError(f"{self.called(name)}: the archive ends within it.")
        return data

    def text(self, name: str) -> str:
        """The same in UTF-8, unpacked where the name ends in .gz.

        Raises:
            UsageError: It cannot be read, or is no text.
        """
        try:
            return decoded(self.read(name), self.called(name), name.endswith(".gz"))
        except InputError as error:
            raise UsageError(str(error)) from None

    def those(self, suffixes: Iterable[str]) -> list[str]:
        """The names that end so, in any case."""
        ends = tuple(suffixes)
        return [name for name in self.names if name.lower().endswith(ends)]


def is_tree(source: Path) -> bool:
    """Whether it can be `opened`."""
    return source.is_dir() or (source.suffix == ".tar" and source.is_file())


def opened(source: Path, only: str | None = None) -> Files:
    """What lies in a folder, in all its folders, or in a .tar; hidden files are not seen, nor links in an archive.

    Args:
        source: The folder or archive.
        only: A pattern of names (`*` and `?` and `[...]` as shells have them), of the path within the source or of its
            end: `2[4-9].png`, `Set5/*`.

    Raises:
        UsageError: There is neither at `source`, or no name matches.
    """
    places: dict[str, tuple[int, int]] | None = None
    if source.is_dir():
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    elif is_tree(source):
        try:
            with tarfile.open(source, "r:") as archive:
                members = [member for member in archive.getmembers() if member.isreg() and not member.issparse()]
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UsageError(f"{source} cannot be read as a tar: {error}") from None
        places = {member.name.removeprefix("./"): (member.offset_data, member.size) for member in members}
        names = list(places)
    else:
        raise UsageError(f"{source} is {'no folder or .tar' if source.exists() else 'no such file or folder'}.")
    names = sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))
    return Files(source, tuple(matching(names, only, source)), "", places)


def matching(names: Sequence[str], only: str | None, source: Path) -> list[str]:
    """The names that match a pattern, see `opened`; all where there is none.

    Raises:
        UsageError: None of them does.
    """
    if only is None:
        return list(names)
    kept = [name for name in names if fnmatch.fnmatchcase(name, only) or fnmatch.fnmatchcase(name, f"*/{only}")]
    if names and not kept:
        raise UsageError(f"{source}: none of {len(names)} files matches {only!r}; one is {printable(names[0])}.")
    return kept


def held_out(samples: Sequence[Sample], source: Path, say: Say = silent) -> list[Sample]:
    """Those to measure on, where the outermost folders that differ are called as parts of a data set are.

    A part that is learnt from is left out only where there is another; which one is measured on is said.
    """
    paths = [PurePosixPath(sample.name).parts[:-1] for sample in samples]
    depth = 0
    while paths and all(len(path) > depth for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    parts = {path[depth] if len(path) > depth else "" for path in paths}
    chosen = next((part for part in HELD_OUT if part in parts), None)
    if chosen is None or len(parts) < 2 or not parts <= {"train", *HELD_OUT}:
        return list(samples)
    kept = [sample for sample, path in zip(samples, paths, strict=True) if path[depth] == chosen]
    say(f"{source}: {chosen} is measured on; {', '.join(sorted(parts - {chosen}))} is left out.")
    return kept


def arrays(
    source: Path, names: Sequence[str], only: str | None = None, parts: Sequence[str] = HELD_OUT
) -> tuple[str, list[np.ndarray]]:
    """Arrays of an .npz file, called as they are or with the end of a part: `x_test` and `y_test`, or `x` and `y`.

    Args:
        source: The file.
        names: Of the arrays, without an end.
        only: Refused; see `opened`.
        parts: Ends; the first that is there is taken.

    Returns:
        The end (`_test`), and the arrays in the order of the names.

    Raises:
        UsageError: One is missing, or the file is damaged.
    """
    if only is not None:
        raise UsageError(f"{source} holds arrays; {only!r} chooses among files.")
    ends = [*(f"_{part}" for part in parts), ""]
    try:
        # NumPy leaves a file open that is no archive.
        with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            held = list(stored.files)
            end = next((end for end in ends if {f"{name}{end}" for name in names} <= set(held)), None)
            if end is not None:
                return end, [stored[f"{name}{end}"] for name in names]
    except Exception as error:  # zipfile, zlib and NumPy each raise their own.
        raise UsageError(f"{source} is no .npz file, or a damaged one: {error}") from None
    wanted = " or ".join(" and ".join(f"{name}{end}" for name in names) for end in ends)
    raise UsageError(f"{source} holds {', '.join(held) or 'nothing'}; it must hold {wanted}.")


def check_pictures(array: np.ndarray, source: Path, name: str) -> None:
    """Refuses an array that holds no pictures.

    Raises:
        UsageError: It is not uint8 [n, h, w] or [n, h, w, 1, 3 or 4], or is empty.
    """
    fits = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise UsageError(
            f"{source} holds no pictures: {name} must be uint8 [n, h, w] or [n, h, w, 1, 3 or 4]; "
            f"it is {array.dtype} {list(array.shape)}."
        )


def decoded(data: bytes, name: str, packed: bool = False) -> str:
    """UTF-8 text of at most `MAX_BYTES`.

    Raises:
        UsageError: It is none.
    """
    try:
        if packed:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"{name} is larger than {MAX_BYTES >> 20} MiB.")
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{name} is no text in UTF-8: {error}") from None


def text(path: Path) -> str:
    """The text of one file, unpacked where its name ends in .gz.

    Raises:
        UsageError: It is none.
    """
    try:
        return decoded(read_file(path), str(path), path.suffix == ".gz")
    except InputError as error:
        raise UsageError(str(error)) from None
