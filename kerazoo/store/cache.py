"""What lies in the cache, and what of it can go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kerazoo import manifest
from kerazoo.manifest import Entry, File
from kerazoo.store.making import PREFIX, sweep
from kerazoo.store.paths import beside, home, packaged, path_of
from kerazoo.store.receipts import RECEIPT, state


@dataclass(frozen=True)
class Row:
    """One file of the cache: `name` is `variant:weights`, `size` in bytes, `state` `ok` or `damaged`."""

    name: str
    file: str
    role: str
    path: Path
    size: int
    state: str


def cached() -> Iterator[Row]:
    """The weight files that lie in the cache, in the manifest's order; large ones are not hashed again."""
    return _rows(trust_receipt=True)


def verify() -> Iterator[Row]:
    """The weight files that lie in the cache, each hashed anew."""
    return _rows(trust_receipt=False)


def _rows(trust_receipt: bool) -> Iterator[Row]:
    for entry, file, path in manifest_files():
        if path.is_file():
            found = state(file, path, trust_receipt)
            yield Row(entry.name, file.name, file.role, path, path.stat().st_size, found)


def manifest_files() -> Iterator[tuple[Entry, File, Path]]:
    """Every file of the manifest that does not come with the package, and where it lies once it is fetched."""
    for entry in manifest.load().values():
        for file in entry.files:
            if not packaged(file):
                yield entry, file, path_of(entry, file)


def prune(artefacts: bool = True) -> int:
    """Removes what can be had again: interrupted downloads, weights that no manifest entry names, prepared `artefacts`.

    What another process is fetching or making is left to it.

    Returns:
        Bytes freed.
    """
    import filelock

    freed = 0
    keep = {beside(path, suffix) for *_, path in manifest_files() for suffix in ("", ".lock", RECEIPT)}
    keep -= {beside(path, RECEIPT) for *_, path in manifest_files() if not path.exists()}
    locks = {beside(path, ".part"): beside(path, ".lock") for *_, path in manifest_files()}
    # Contents come before their folder in this order; a folder that still holds something stays.
    for path in sorted((home() / "weights").rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            if path not in keep:
                # A download that another process is at work on is left to it.
                with filelock.FileLock(locks[path], timeout=0) if path in locks else contextlib.nullcontext():
                    freed += _removed(path)
    return freed + _prune_artefacts(home() / "artefacts", artefacts)


def _prune_artefacts(folder: Path, all_of_it: bool) -> int:
    """Removes what killed processes left, or `all_of_it` but the folders in which a process is making something."""
    if folder.is_symlink() or not folder.is_dir():
        return 0
    freed = sum(sweep(parent) for parent in {path.parent for path in folder.rglob(f"{PREFIX}*")})
    if not all_of_it:
        return freed
    busy = {path.parent for path in folder.rglob(f"{PREFIX}*") if path.is_dir()}
    for path in sorted(folder.rglob("*"), reverse=True):
        if not any(path.is_relative_to(maker) for maker in busy):
            with contextlib.suppress(OSError):
                freed += _removed(path)
    with contextlib.suppress(OSError):
        folder.rmdir()
    return freed


def _removed(path: Path) -> int:
    """Removes a file, or a folder that is empty; the bytes freed."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
        return 0
    size = path.lstat().st_size
    path.unlink()
    return size
