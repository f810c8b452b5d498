"""Where weights come from: a word of the manifest or a file of one's own, resolved to files on this machine."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerazoo import manifest, store
from kerazoo.errors import UsageError, near


@dataclass(frozen=True)
class Source:
    """Weights that lie on this machine.

    Attributes:
        name: `variant:weights`, or the path of a file of one's own.
        files: Role (`full`, `no_top`, `part:encoder`, `asset:vocabulary`) -> path.
        format: Which reader must open the weights, as the manifest says; `None` where their content alone says it.
        noted: Role -> sha256, as it was noted when the file was fetched; other files are read for it.
    """

    name: str
    files: Mapping[str, Path]
    format: str | None
    noted: Mapping[str, str]

    @property
    def weights(self) -> dict[str, Path]:
        """The files that hold weights."""
        return {role: path for role, path in self.files.items() if not role.startswith(manifest.ASSET)}

    @functools.cached_property
    def sha256(self) -> str:
        """Of the weight file; of several, of their hashes in order."""
        hashes = [self.noted.get(role) or _digest(path) for role, path in self.weights.items()]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def words(variant: str) -> tuple[str, ...]:
    """The names of a variant's weights in the manifest, its default first; empty where it has none."""
    return tuple(entry.weights for entry in manifest.entries_of(variant))


def check(variant: str, weights: str | os.PathLike[str] | None) -> None:
    """Refuses, before anything is built, `weights` that are neither `None`, a word of the variant, nor a file."""
    known = words(variant)
    if weights is None or weights in known or Path(weights).is_file():
        return
    others = [entry.variant for entry in manifest.load().values() if entry.weights == weights]
    there = f"it has {', '.join(known)}" if known else "it has no pretrained ones"
    elsewhere = f" {others[0]} has weights of that name." if others else near(str(weights), known)
    raise UsageError(
        f"weights={str(weights)!r} is not known for {variant}: {there}; None and the path of an existing file "
        f"are allowed too.{elsewhere}"
    )


def resolve(
    variant: str,
    weights: str | os.PathLike[str],
    include_top: bool = True,
    progress: store.Progress | None = None,
) -> Source:
    """The weights of a word or a path, fetched once where they are not in the cache.

    Args:
        variant: Whose weights a word means.
        include_top: Whether the classifier's are wanted; without, the smaller file is taken where there is one.
        progress: As `kerazoo.store.fetch` takes it.

    Raises:
        UsageError: The word is not known and no such file exists.
        WeightsUnavailable: The weights are not in the cache and cannot be fetched.
        WeightsDamaged: The bytes are not what the manifest says.
    """
    check(variant, weights)
    if weights not in words(variant):
        return Source(str(weights), {"full": Path(weights)}, None, {})
    entry = next(entry for entry in manifest.entries_of(variant) if entry.weights == weights)
    files = store.fetch_all(entry, include_top, progress)
    noted = {role: sha256 for role in files if (sha256 := store.sha256_of(entry, role)) is not None}
    return Source(entry.name, files, entry.file(entry.roles(include_top)[0]).format, noted)
