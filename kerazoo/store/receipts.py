"""Whether the bytes are right: held against the manifest once, then against the receipt beside the file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from kerazoo.errors import KerazooError
from kerazoo.manifest import Entry, File
from kerazoo.printable import printable
from kerazoo.store.known import Known, known, remember
from kerazoo.store.paths import beside, is_sha256, packaged, path_of, say, small_json, write

RECEIPT = ".receipt.json"
LIMIT = 1 << 16
"""A longer receipt, in bytes, is none of ours."""


@dataclass(frozen=True)
class Receipt:
    """What was noted when a file was last verified: its size in bytes, its time, its sha256, the published hash."""

    size: int
    mtime_ns: int
    sha256: str
    published: str | None


def present(entry: Entry, role: str | None = None) -> bool:
    """Whether `fetch` (without a role, `fetch_all`) would answer from this machine's disk, with sound bytes."""
    files = [entry.file(role) for role in ([role] if role else (*entry.roles(), *entry.assets()))]
    return all(state(file, path_of(entry, file)) == "ok" for file in files)


def sha256_of(entry: Entry, role: str = "full") -> str | None:
    """The sha256 of a file in the cache as it was when it was last verified; its bytes are not read again.

    `None` where the file is not there, comes with the package, or has no receipt with its present size and
    modification time.

    Raises:
        UsageError: the entry has no file with this role.
    """
    file = entry.file(role)
    path = path_of(entry, file)
    note = None if packaged(file) else receipt(path)
    try:
        stat = path.stat()
    except OSError:
        return None
    return note.sha256 if note and (note.size, note.mtime_ns) == (stat.st_size, stat.st_mtime_ns) else None


def trusted(entry: Entry, role: str = "full") -> Known | None:
    """The sha256 that was trusted at the first fetch, for a file whose publisher named none."""
    file = entry.file(role)
    return None if file.pinned or packaged(file) else known(path_of(entry, file))


def state(file: File, path: Path, trust_receipt: bool = True) -> str:
    """`ok`, `damaged` or `absent`. A sound file without a receipt gets one, to be hashed once only."""
    try:
        stat = path.stat()
    except OSError:
        return "absent"
    note = None if packaged(file) else receipt(path)
    # The manifest's size is compared even so: a file without a published hash may get its size published later.
    fits = file.size in (None, stat.st_size)
    now = (stat.st_size, stat.st_mtime_ns, file.hash_value)
    if trust_receipt and fits and note and (note.size, note.mtime_ns, note.published) == now:
        return "ok"
    sha256, wrong = check(file, path, recorded(file, path))
    if wrong is not None:
        return "damaged"
    if not packaged(file):
        record(file, path, sha256)
    return "ok"


def recorded(file: File, path: Path) -> str | None:
    """The sha256 that a file is held to where its published hash alone does not say which bytes it has."""
    if file.pinned or packaged(file):
        return None
    found = known(path) or receipt(path)
    return found.sha256 if found else None


def check(file: File, path: Path, recorded: str | None) -> tuple[str, str | None]:
    """The sha256 of a file, and how the file differs from what it should be: `None` where it does not.

    Args:
        recorded: What `recorded` says, or `None` where another sha256 than the trusted one is welcome.
    """
    try:
        if not path.is_file():
            return "", "is no plain file"  # A pipe would be waited for, a device be read without end.
        size = path.stat().st_size
        if file.size not in (None, size):
            return "", f"is {size} bytes long, expected {file.size}"
        sha256 = digest(path, "sha256")
        found = _published(path, file, sha256)
    except OSError as error:
        raise KerazooError(f"Cannot read {printable(str(path))}: {error.strerror or error}.") from error
    if file.hash_kind is not None and found != file.hash_value:
        return sha256, f"has {file.hash_kind} {found}, expected {file.hash_value}"
    if recorded not in (None, sha256):
        return sha256, f"has sha256 {sha256}, trusted was {recorded}"
    return sha256, None


def _published(path: Path, file: File, sha256: str) -> str:
    """The hash of the kind that was published, as long as it was published."""
    if file.hash_kind in (None, "sha256"):
        return sha256
    if file.hash_kind == "sha256_prefix":
        return sha256[: len(str(file.hash_value))]
    return digest(path, str(file.hash_kind))


def digest(path: Path, kind: str) -> str:
    """A hash of a file, in hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def receipt(path: Path) -> Receipt | None:
    """What was noted when the file was last verified; `None` where there is no sound note."""
    try:
        found = Receipt(**small_json(beside(path, RECEIPT), LIMIT))
    except (OSError, ValueError, TypeError):
        return None
    sound = type(found.size) is int and type(found.mtime_ns) is int and is_sha256(found.sha256)
    return found if sound and isinstance(found.published, str | None) else None


def record(file: File, path: Path, sha256: str) -> None:
    """Writes the receipt of a verified file; where no sha256 was published, trusts this one from now on and says so."""
    if not file.pinned and sha256 != getattr(known(path), "sha256", None):
        published = {None: "no hash", "sha256_prefix": "only the beginning of a sha256"}
        what = published.get(file.hash_kind, f"only an {file.hash_kind}")
        try:
            remember(path, sha256)
            say(f"{what} was published for {path}; trusted from now on: sha256 {sha256}")
        except KerazooError as error:
            why = str(error).splitlines()[0]
            say(f"{what} was published for {path}, and its sha256 {sha256} cannot be remembered: {why}")
    stat = path.stat()
    note = Receipt(stat.st_size, stat.st_mtime_ns, sha256, file.hash_value)
    draft = beside(path, f".receipt.{os.getpid()}.part")
    # A cache that may only be read still serves; it is then hashed at each start.
    with contextlib.suppress(OSError, KerazooError):
        try:
            write(draft, [json.dumps(dataclasses.asdict(note), indent=2).encode() + b"\n"])
            os.replace(draft, beside(path, RECEIPT))
        finally:
            draft.unlink(missing_ok=True)
