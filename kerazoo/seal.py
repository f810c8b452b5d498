"""Whole or not: every artefact carries the sha256 of its own bytes, checked whenever it is opened.

A golden shows that a conversion is right, not that a file is whole: most damage to weights changes some answers and
not the golden's. The hash is no signature: it tells damage, not malice.

A file holds 64 hexadecimal digits, the sha256 of everything before and after them. They stand where the format has
room near its end: in the comment of the last file in a zip archive (`.keras`, and the associated files of `.tflite`;
Android's reader of these takes no archive that has a comment itself), or as the last entry of an ONNX model's metadata.
A folder has `manifest.json`, which names the hash of every file, and its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from kerazoo.errors import WeightsDamaged

DIGITS = 64
_BLANK = b"0" * DIGITS

_ZIP = b"kerazoo sha256:"
_AFTER = 22  # Bytes that end a zip archive without a comment.
_KEY = b"kerazoo.sha256"
# A ModelProto's field 14, metadata_props: an entry of key (field 1) and value (field 2). Protobuf messages may be
# continued by appending to them.
_ENTRY = b"\x0a" + bytes([len(_KEY)]) + _KEY + b"\x12" + bytes([DIGITS])
_ONNX = b"\x72" + bytes([len(_ENTRY) + DIGITS]) + _ENTRY


def seal_zip(path: Path) -> None:
    """Seals a file that ends with a zip archive, which has no comment afterwards."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.infolist()[-1].comment = _ZIP + _BLANK
        archive.comment = b""  # Also has the list of its files written anew.
    _write(path, _AFTER)


def seal_onnx(path: Path) -> None:
    """Seals an ONNX model."""
    with path.open("ab") as file:
        file.write(_ONNX + _BLANK)
    _write(path, 0)


def _write(path: Path, after: int) -> None:
    with path.open("r+b") as file:
        at = file.seek(0, os.SEEK_END) - after - DIGITS
        digest = _digest(file, at)
        file.seek(at)
        file.write(digest.encode())


def _place(file: BinaryIO) -> int | None:
    """Where the digits begin; `None` where no seal stands."""
    size = file.seek(0, os.SEEK_END)
    for words, after in ((_ZIP, _AFTER), (_ONNX, 0)):
        at = size - after - DIGITS
        if at >= len(words):
            file.seek(at - len(words))
            if file.read(len(words)) == words:
                return at
    return None


def _digest(file: BinaryIO, at: int) -> str:
    """Of all but the digits."""
    found = hashlib.sha256()
    file.seek(0)
    while (left := at - file.tell()) > 0 and (block := file.read(min(left, 1 << 20))):
        found.update(block)
    file.seek(at + DIGITS)
    found.update(file.read())
    return found.hexdigest()


def is_sealed(path: Path) -> bool:
    """Whether a seal's words stand somewhere near the end of a file: then it was ours, whatever became of it."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4 * (DIGITS + len(_ONNX)), 0))
            end = file.read()
    except OSError as error:
        raise WeightsDamaged(f"{path} cannot be read: {error.strerror or error}") from None
    return _ZIP in end or _KEY in end


def check_file(path: Path) -> None:
    """Whether a sealed file is whole.

    Raises:
        WeightsDamaged: It has no seal, or its bytes are not those that were sealed.
    """
    try:
        with path.open("rb") as file:
            at = _place(file)
            if at is None:
                raise _damaged(path, "the hash of its bytes does not stand where it should")
            digest = _digest(file, at)
            file.seek(at)
            whole = file.read(DIGITS).decode("ascii", "replace") == digest
    except OSError as error:
        raise WeightsDamaged(f"{path} cannot be read: {error.strerror or error}") from None
    if not whole:
        raise _damaged(path, "its bytes are not those that were written")


def _damaged(path: Path, why: str) -> WeightsDamaged:
    return WeightsDamaged(f"{path} is damaged: {why}.\nMake it again, or copy it again from where it is whole.")


MANIFEST = "manifest.json"


def seal_folder(folder: Path, where: Path) -> None:
    """Writes the hashes of all files of a folder into `manifest.json` of its sub-folder `where`."""
    manifest = folder / where / MANIFEST
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != manifest:
            with path.open("rb") as file:
                files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    new = manifest.with_name(f".{MANIFEST}.new")
    new.write_text(json.dumps({"files": files, "sha256": _of_files(files)}, indent=1), encoding="utf-8")
    os.replace(new, manifest)


def _of_files(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def check_folder(folder: Path, where: Path, used: Callable[[str], bool] = lambda name: True) -> None:
    """Whether a sealed folder is whole.

    Args:
        where: The sub-folder of its manifest.
        used: Says of a file, by its path from the folder, whether it is going to be used; others are not read.

    Raises:
        WeightsDamaged: It has no seal, or a file is missing or is not what was sealed.
    """
    manifest = folder / where / MANIFEST
    try:
        stored = json.loads(manifest.read_bytes())
        files, own = dict(stored["files"]), stored["sha256"]
    except FileNotFoundError:
        raise _damaged(folder, f"it has no {where / MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(folder, f"its {where / MANIFEST} cannot be read") from None
    if own != _of_files(files):
        raise _damaged(folder, f"its {where / MANIFEST} is not what was written")
    for name, expected in files.items():
        if not used(name):
            continue
        if Path(name).is_absolute() or ".." in Path(name).parts or not (folder / name).is_file():
            raise _damaged(folder, f"{name} is not there")
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _damaged(folder, f"{name} cannot be read ({error.strerror or error})") from None
        if found != expected:
            raise _damaged(folder, f"the bytes of {name} are not those that were written")
