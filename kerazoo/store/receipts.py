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
from kerazoo.store.paths import beside, packaged, path_of, write

RECEIPT = ".receipt.json"


def present(entry: Entry, role: str = "full") -> bool:
    """Whether `fetch` would answer from this machine's disk, with sound bytes."""
    file = entry.file(role)
    return state(file, path_of(entry, file)) in ("ok", "unrecorded")


def state(file: File, path: Path, trust_receipt: bool = True) -> str:
    """`ok`, `damaged`, `unrecorded` or `absent`. A sound file without a receipt gets one, to be hashed once only."""
    try:
        stat = path.stat()
    except OSError:
        return "absent"
    note = {} if packaged(file) else receipt(path)
    # The manifest's size is compared even so: a file without a published hash may get its size published later.
    now = {"published": file.hash_value, "size": file.size or stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if trust_receipt and stat.st_size == now["size"] and now.items() <= note.items():
        return "ok"
    recorded = note.get("sha256")
    sha256, wrong = check(file, path, recorded)
    if wrong is not None:
        return "damaged"
    if file.hash_kind is None and recorded is None:
        return "unrecorded"
    if not packaged(file):
        record(file, path, sha256)
    return "ok"


def check(file: File, path: Path, recorded: str | None) -> tuple[str, str | None]:
    """The sha256 of a file, and how the file differs from what it should be: `None` where it does not.

    Args:
        recorded: sha256 from the receipt; it counts where no hash was published.
    """
    try:
        size = path.stat().st_size
        if file.size is not None and size != file.size:
            return "", f"is {size} bytes long, expected {file.size}"
        sha256 = digest(path, "sha256")
        kind = file.hash_kind or "sha256"
        found = sha256 if kind == "sha256" else digest(path, kind)
    except OSError as error:
        raise KerazooError(f"Cannot read {path}: {error.strerror or error}.") from error
    if file.hash_kind is not None and found != file.hash_value:
        return sha256, f"has {kind} {found}, expected {file.hash_value}"
    if file.hash_kind is None and recorded not in (None, sha256):
        return sha256, f"has sha256 {sha256}, recorded was {recorded}"
    return sha256, None


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
    """Writes the receipt. A cache that may only be read still serves; it is then hashed at each start."""
    stat = path.stat()
    note = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256, "published": file.hash_value}
    draft = beside(path, f".receipt.{os.getpid()}.part")
    with contextlib.suppress(OSError, KerazooError):
        write(draft, [json.dumps(note, indent=2).encode() + b"\n"], None)
        os.replace(draft, beside(path, RECEIPT))
