"""Answers as lines for people, as JSON, and as files."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kerazoo.codecs._files import is_url
from kerazoo.contract import Result
from kerazoo.errors import UsageError
from kerazoo.printable import printable

PICTURES = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""What a name after -o can make of a PNG."""

_LONGEST = 100
"""Bytes of the longest stem of a file name that an input gives."""


def dumps(value: Any) -> str:
    """One line of JSON that every reader takes, whatever bytes file names were made of.

    A byte that is not UTF-8 becomes the four letters `\\xff`: JSON is Unicode and has no other way to hold it.
    """
    text = re.sub("[\ud800-\udfff]", _byte, json.dumps(value, ensure_ascii=False))
    return text if (sys.stdout.encoding or "").lower().startswith("utf") else json.dumps(json.loads(text))


def _byte(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\\\u{code:04x}"


def rows(result: Result, top: int, label: str | None, written: Iterable[str] = ()) -> Iterator[str]:
    """Lines for people: the input's name, if there are several, and the answer below it."""
    indent = ""
    if label is not None:
        yield printable(label)
        indent = "  "
    for row in (*result.rows(top), *written):
        yield f"{indent}{printable(row)}"


def unseen(result: Result) -> list[str]:
    """What an answer holds beside its rows: pictures, sounds."""
    return [name for name in result.files() if not name.endswith(".txt")]


def named(plain: dict[str, Any], result: Result, written: dict[str, str]) -> dict[str, Any]:
    """The JSON of an answer whose files were written: their names, and not once more in base64 what they hold."""
    files = result.files()
    kept = {key: value for key, value in plain.items() if not (key in written and value == _base64(files, key))}
    # One file has one name; of several each has that of its key.
    return {**kept, **({"file": next(iter(written.values()))} if len(written) == 1 else {"files": written})}


def _base64(files: Mapping[str, bytes], key: str) -> str:
    return next(base64.b64encode(data).decode() for name, data in files.items() if Path(name).stem == key)


class Writer:
    """Writes the files of answers: to the path itself for one input, into it as a folder for many.

    Attributes:
        path: As it was typed after -o.
        many: Whether there can be several answers.
        from_files: Whether inputs are files, whose stems name the answers.
        inputs: What was typed: in the folders of inputs nothing that was there before is overwritten.
        recursive: Whether that holds for the folders within them, too.
    """

    def __init__(self, path: Path, many: bool, from_files: bool, inputs: Iterable[str], recursive: bool) -> None:
        self.path = path
        self.many = many
        self.folder = many or path.is_dir() or str(path).endswith(os.sep)
        self.from_files = from_files
        self.taken: set[str] = set()
        self.guarded: set[Path] = set()
        for text in inputs if from_files and self.folder else ():
            given = Path(text).expanduser()
            self.guarded.add((given if given.is_dir() else given.parent).resolve())
        here = path.resolve()
        if recursive and not self.guarded.isdisjoint(here.parents):
            self.guarded.add(here)

    def __call__(self, label: str, result: Result) -> dict[str, str]:
        """Writes all files of an answer, each whole or not at all; where each lies, by its key.

        Raises:
            UsageError: The answer has no files.
        """
        files = result.files()
        if self.from_files and not is_url(label):
            self.guarded.add(Path(label).parent.resolve())
        if not files:
            raise UsageError(
                "-o writes pictures, sounds and texts; this answer holds none. --json > FILE keeps answers."
            )
        # A name without an ending is a folder for the several files of one answer, which then need no other name.
        alone = len(files) > 1 and not self.many and (self.folder or not self.path.suffix)
        folder = self.folder or alone
        (self.path if folder else self.path.parent).mkdir(parents=True, exist_ok=True)
        written = {}
        for name, data in files.items():
            key, suffix = os.path.splitext(name)
            between = f"-{key}" if len(files) > 1 else ""
            if alone:
                target = self._free(key, suffix)
            elif folder:
                target = self._free(f"{self._stem(label)}{between}", suffix)
            elif between:
                target = self.path.with_name(f"{self.path.stem}{between}{suffix}")
            else:
                target = self.path
                data = _as_named(data, suffix, target.suffix.lower())
            write(target, data)
            written[key] = str(target)
        return written

    def _stem(self, label: str) -> str:
        if label == "-":
            return "stdin"
        name = label.rstrip("/").rpartition("/")[2].partition("?")[0] if self.from_files else label
        stem = Path(name).stem if self.from_files and name else name
        stem = re.sub(r"[^\w.,()+=@ -]+", "_", stem).strip(". ")
        return stem.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore").strip(". ") or "item"

    def _free(self, stem: str, suffix: str) -> Path:
        """A name that no other answer has, whatever case the file system thinks alike, and no input may have."""
        count, name = 1, f"{stem}{suffix}"
        guarded = self.path.resolve() in self.guarded
        while name.casefold() in self.taken or (guarded and os.path.lexists(self.path / name)):
            count += 1
            name = f"{stem}-{count}{suffix}"
        self.taken.add(name.casefold())
        return self.path / name


def _as_named(data: bytes, suffix: str, wanted: str) -> bytes:
    """A picture in the format that its file's name says; what has no such name stays as it is."""
    form = PICTURES.get(wanted)
    if suffix != ".png" or form is None:
        return data
    from PIL import Image

    out = io.BytesIO()
    picture = Image.open(io.BytesIO(data))
    (picture if picture.mode == "L" else picture.convert("RGB")).save(out, form, quality=95)
    return out.getvalue()


def write(target: Path, data: bytes) -> None:
    """Whole or not at all."""
    new = target.with_name(f".{os.getpid()}.new")
    try:
        new.write_bytes(data)
        os.replace(new, target)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
