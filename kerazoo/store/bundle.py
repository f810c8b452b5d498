"""Bundles: cached weights and an index with their hashes in one tar file, for a machine without a network."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from kerazoo.errors import KerazooError, UnknownModel, UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.manifest import Entry, File
from kerazoo.printable import printable
from kerazoo.store import limits
from kerazoo.store.cache import manifest_files
from kerazoo.store.paths import CHUNK, beside, home, is_sha256, locked, packaged, path_of, write, writing
from kerazoo.store.receipts import check, record, recorded

if TYPE_CHECKING:
    import tarfile

INDEX = "index.json"
INDEX_LIMIT = 4 << 20
"""A longer index, in bytes, is none that `export_bundle` wrote."""


def export_bundle(entries: Iterable[Entry], path: str | os.PathLike[str]) -> None:
    """Writes the cached files of these entries and an index with their hashes into one file.

    Raises:
        WeightsUnavailable: an entry has nothing in the cache.
        WeightsDamaged: a cached file is not what it should be.
        UsageError: all entries come with the package.
    """
    index: dict[str, dict[str, Any]] = {}
    sources: dict[str, Path] = {}
    for entry in entries:
        own = [file for file in entry.files if not packaged(file)]
        found = [file for file in own if path_of(entry, file).is_file()]
        if own and not found:
            raise WeightsUnavailable(
                f"{entry.name} is not in the cache ({home()}).\nRun `kerazoo fetch {entry.name}` first."
            )
        for file in found:
            source = path_of(entry, file)
            sha256, wrong = check(file, source, recorded(file, source))
            if wrong is not None:
                raise WeightsDamaged(f"{entry.name}: {source} {wrong}.\n`kerazoo fetch {entry.name}` replaces it.")
            index[_member(entry, file)] = {"size": source.stat().st_size, "sha256": sha256}
            sources[_member(entry, file)] = source
    if not index:
        raise UsageError(f"There is nothing to export: none of it is in the cache ({home()}).")
    _write_tar(Path(path), index, sources)


def _write_tar(target: Path, index: dict[str, dict[str, Any]], sources: dict[str, Path]) -> None:
    import tarfile

    def add(name: str, size: int, stream: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size = size
        bundle.addfile(info, stream)

    draft = beside(target, f".{os.getpid()}.part")
    listing = json.dumps({"schema": 1, "files": index}, indent=2).encode() + b"\n"
    with writing(target, sum(row["size"] for row in index.values())):
        try:
            with tarfile.open(draft, "w") as bundle:
                add(INDEX, len(listing), io.BytesIO(listing))
                for name, source in sources.items():
                    with source.open("rb") as stream:
                        add(name, index[name]["size"], stream)
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)


def import_bundle(path: str | os.PathLike[str], *, trust_new: bool = False) -> list[str]:
    """Takes the files of a bundle into the cache, each verified against this installation's manifest before it lands.

    Args:
        trust_new: Trust the bundle where no sha256 was published, instead of what was trusted before.

    Returns:
        Names of the models, in the bundle's order.

    Raises:
        UnknownModel: the bundle names models or files that this installation does not know; nothing is taken.
        WeightsDamaged: the bundle is not what `export_bundle` writes.
    """
    import tarfile

    source = Path(path)
    if source.exists() and not source.is_file():
        raise UsageError(f"Cannot read {printable(str(source))}: it is no plain file.")
    known = {_member(entry, file): (entry, file) for entry, file, _ in manifest_files()}
    try:
        with tarfile.open(source, "r:") as bundle:
            listed = _index(bundle, source)
            if unknown := [ascii(name[:120]) for name in listed if name not in known]:
                raise UnknownModel(
                    f"{printable(str(source))} holds what this Kerazoo does not know: {', '.join(unknown[:5])}."
                )
            _check_sizes(source, {name: (known[name][1], size) for name, (size, _) in listed.items()})
            # All headers are checked before any bytes are taken.
            members = list(_members(bundle, source, listed))
            for member in members:
                # Only names that this side worked out from its own manifest are ever turned into a path.
                _take(bundle, member, source, *known[member.name], listed[member.name][1], trust_new)
    except KerazooError:
        raise
    except OSError as error:
        raise UsageError(f"Cannot read {printable(str(source))}: {error.strerror or error}.") from error
    except (tarfile.TarError, ValueError, EOFError, OverflowError, MemoryError, RecursionError) as error:
        raise _bad(source, "is no tar file, or ends too early") from error
    return list(dict.fromkeys(known[member.name][0].name for member in members))


def _member(entry: Entry, file: File) -> str:
    return f"{entry.variant}/{entry.weights}/{file.name}"


def _bad(source: Path, why: str) -> WeightsDamaged:
    return WeightsDamaged(
        f"{printable(str(source))} {why}.\nIt is no sound bundle of `kerazoo cache export`; write it anew."
    )


def _index(bundle: tarfile.TarFile, source: Path) -> dict[str, tuple[int, str]]:
    """Member name -> size and sha256."""
    first = bundle.next()
    if first is None or first.name != INDEX or not first.isfile() or first.size > INDEX_LIMIT:
        raise _bad(source, f"does not begin with {INDEX}")
    try:
        listed = json.loads(cast(IO[bytes], bundle.extractfile(first)).read())["files"]
        rows = {name: (row["size"], row["sha256"]) for name, row in listed.items()}
        if all(type(size) is int and size >= 0 and is_sha256(sha256) for size, sha256 in rows.values()):
            return rows
        raise ValueError("an index row holds no size and sha256")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(source, "has an index that cannot be read") from error


def _check_sizes(source: Path, listed: dict[str, tuple[File, int]]) -> None:
    """Holds the sizes that the index declares to the manifest's, and their sum to the bundle's own, before any write.

    A sparse member declares more bytes than the bundle holds, and would be written out as so many.
    """
    most = int(limits.limit(limits.BYTES))
    for name, (file, size) in listed.items():
        if size != (file.size or size) or size > (file.size or most):
            expected = f"expected {file.size}" if file.size else f"more than {most} ({limits.BYTES} sets the limit)"
            raise _bad(source, f"declares {size!s:.20} bytes for {name}, {expected}")
    declared, own = sum(size for _, size in listed.values()), source.stat().st_size
    if declared > own:
        raise _bad(source, f"declares {declared!s:.20} bytes and is only {own} long")


def _members(bundle: tarfile.TarFile, source: Path, listed: dict[str, tuple[int, str]]) -> Iterator[tarfile.TarInfo]:
    missing = dict(listed)
    while (member := bundle.next()) is not None:
        if member.name not in missing:
            raise _bad(source, f"holds {member.name[:120]!a}, which its index does not list")
        size, _ = missing.pop(member.name)
        if not member.isfile() or member.issparse() or member.size != size:
            raise _bad(source, f"holds {member.name} as {member.size} bytes or no plain file; {size} are listed")
        yield member
    if missing:
        raise _bad(source, f"lacks {next(iter(missing))}, which its index lists")


def _take(
    bundle: tarfile.TarFile,
    member: tarfile.TarInfo,
    source: Path,
    entry: Entry,
    file: File,
    listed: str,
    trust_new: bool,
) -> None:
    target = path_of(entry, file)
    part = beside(target, ".part")
    stream = cast(IO[bytes], bundle.extractfile(member))
    with locked(target), writing(target):
        part.unlink(missing_ok=True)
        write(part, iter(lambda: stream.read(CHUNK), b""), member.size)
        sha256, wrong = check(file, part, None if trust_new else recorded(file, target))
        if wrong is None and sha256 != listed:
            wrong = f"has sha256 {sha256}, its index says {listed}"
        if wrong is not None:
            part.unlink()
            how = " `kerazoo cache import --trust-new` accepts that." if "trusted was" in wrong else ""
            place = printable(str(source))
            raise WeightsDamaged(f"{place}: {file.name} of {entry.name} {wrong}.\nIt was not taken.{how}")
        os.replace(part, target)
        record(file, target, sha256)
