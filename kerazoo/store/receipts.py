"""Whether the bytes are right: held against the manifest once, then against the receipt beside the file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from kerazoo.errors import KerazooError
from kerazoo.manifest import Entry, File
from kerazoo.store.paths import beside, packaged, path_of, say, write

RECEIPT = ".receipt.json"


def present(entry: Entry, role: str | None = None) -> bool:
    """Whether `fetch` (without a role, `fetch_all`) would answer from this machine's disk, with sound bytes."""
    files = [entry.file(role) for role in ([role] if role else (*entry.roles(), *entry.assets()))]
    return all(state(file, path_of(entry, file)) == "ok" for file in files)


def sha256(file: File, path: Path) -> str:
    """Of a file that `fetch` gave: as it was noted when it was verified; only where nothing could be noted, as read."""
    if packaged(file) and file.hash_kind == "sha256":
        return str(file.hash_value)
    note, stat = receipt(path), path.stat()
    current = (note.get("size"), note.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    noted = note.get("sha256") if current else None
    return noted if isinstance(noted, str) else digest(path, "sha256")


def state(file: File, path: Path, trust_receipt: bool = True) -> str:
    """`ok`, `damaged` or `absent`. A sound file without a receipt gets one, to be hashed once only."""
    try:
        stat = path.stat()
    except OSError:
        return "absent"
    note = {} if packaged(file) else receipt(path)
    # The manifest's size is compared even so: a file without a published hash may get its size published later.
    fits = file.size in (None, stat.st_size)
    now = {"published": file.hash_value, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if trust_receipt and fits and now.items() <= note.items():
        return "ok"
    sha256, wrong = check(file, path, note.get("sha256"))
    if wrong is not None:
        return "damaged"
    if not packaged(file):
        record(file, path, sha256)
    return "ok"


def check(file: File, path: Path, recorded: str | None) -> tuple[str, str | None]:
    """The sha256 of a file, and how the file differs from what it should be: `None` where it does not.

    The sha256 of the receipt, `recorded`, counts where no hash was published.
    """
    try:
        size = path.stat().st_size
        if file.size not in (None, size):
            return "", f"is {size} bytes long, expected {file.size}"
        sha256 = digest(path, "sha256")
        found = _published(path, file, sha256)
    except OSError as error:
        raise KerazooError(f"Cannot read {path}: {error.strerror or error}.") from error
    if file.hash_kind is not None and found != file.hash_value:
        return sha256, f"has {file.hash_kind} {found}, expected {file.hash_value}"
    if file.hash_kind is None and recorded not in (None, sha256):
        return sha256, f"has sha256 {sha256}, recorded was {recorded}"
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


def receipt(path: Path) -> dict[str, Any]:
    """What was noted when the file was last verified; empty where there is no readable note."""
    try:
        found = json.loads(beside(path, RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def record(file: File, path: Path, sha256: str) -> None:
    """Writes the receipt of a verified file, and says so where no other hash is known."""
    if file.hash_kind is None and receipt(path).get("sha256") != sha256:
        say(f"no hash was published for {path}; recorded sha256 {sha256}, later checks hold it.")
    stat = path.stat()
    note = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256, "published": file.hash_value}
    draft = beside(path, f".receipt.{os.getpid()}.part")
    # A cache that may only be read still serves; it is then hashed at each start.
    with contextlib.suppress(OSError, KerazooError):
        write(draft, [json.dumps(note, indent=2).encode() + b"\n"])
        os.replace(draft, beside(path, RECEIPT))
