"""One file from one address, http, https or file, with resuming. Imported only when something is to be fetched."""

from __future__ import annotations

import contextlib
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kerazoo import http
from kerazoo.http import Failed, TooLarge, TooSlow
from kerazoo.manifest import File
from kerazoo.store import limits
from kerazoo.store.paths import CHUNK, Progress, write

ATTEMPTS = 5
"""How often a source that breaks off may be resumed within one fetch, as long as each attempt brought something."""


class WrongSize(Failed):
    """The source has another file than the manifest."""


@dataclass(frozen=True)
class Body:
    """What a source sends.

    Attributes:
        start, end: First byte within the file and the byte after the last; `end` is `None` where it is not known.
        resumable: Whether the source could go on from where it breaks off.
    """

    start: int
    end: int | None
    chunks: Iterator[bytes]
    resumable: bool


def download(file: File, url: str, part: Path, report: Progress, end: float) -> None:
    """Brings `part` to its full length, going on from the bytes that are there; nothing is verified yet.

    Args:
        end: When `time.monotonic()` says so, time is over.

    Raises:
        Failed: The source did not deliver; the next one can be tried.
    """
    for _ in range(ATTEMPTS):
        if part.is_symlink() or (part.exists() and not part.is_file()):
            part.unlink()
        have = part.stat().st_size if part.exists() else 0
        # Without a hash nothing would notice that the rest belongs to another version.
        if file.hash_kind is None or (file.size is not None and have > file.size):
            part.unlink(missing_ok=True)
            have = 0
        if have and have == file.size:
            return
        try:
            with (_local if urlsplit(url).scheme == "file" else _web)(file, url, have, end) as body:
                _receive(file, body, part, report)
            return
        except (TooSlow, TooLarge, WrongSize):
            raise
        except Failed:
            if not part.exists() or part.stat().st_size <= have:
                raise
        time.sleep(0.1)
    raise Failed(f"it broke off {ATTEMPTS} times")


@contextlib.contextmanager
def _web(file: File, url: str, have: int, end: float) -> Iterator[Body]:
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TooSlow(f"it was not asked: the time is over ({limits.SECONDS})")
    most = (file.size or int(limits.limit(limits.BYTES))) - have
    allowed = http.Limits(seconds, have + most, limits.limit(limits.RATE), limits.GRACE_SECONDS)
    try:
        with http.opened(url, allowed, {"Range": f"bytes={have}-"} if have else None) as answer:
            if answer.status == 416 and have:
                yield Body(have, have, iter(()), True)  # There are no more bytes than are here.
                return
            start = _start(answer, have)
            if answer.length is None and file.hash_kind is None and "Transfer-Encoding" not in answer.headers:
                raise Failed("it does not say how long the file is, and no hash would show that its end is missing")
            length = None if answer.length is None else start + answer.length
            yield Body(start, length, answer.chunks, start > 0 or answer.headers.get("Accept-Ranges") == "bytes")
    except TooSlow as error:
        raise TooSlow(f"{error} ({limits.SECONDS} and {limits.RATE} set the limits)") from error
    except TooLarge as error:
        if file.size is not None:
            raise WrongSize(f"has more than the expected {file.size} bytes") from error
        raise TooLarge(f"{error} ({limits.BYTES} sets the limit)") from error


def _start(answer: http.Answer, asked: int) -> int:
    """The first byte that an answer holds."""
    if answer.status == 200:
        return 0
    if answer.status != 206 or not asked:
        raise Failed(http.status_words(answer.status))
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", answer.headers.get("Content-Range", ""), re.A)
    if not found or int(found[1]) != asked or answer.length not in (None, int(found[2]) + 1 - asked):
        raise Failed("it answered another range than was asked for")
    return asked


@contextlib.contextmanager
def _local(file: File, url: str, have: int, end: float) -> Iterator[Body]:
    try:
        path = Path(urllib.request.url2pathname(urlsplit(url).path))
        # A pipe or a device would be read without end.
        if path.exists() and not path.is_file():
            raise Failed("it is no plain file")
        with path.open("rb") as source:
            length = source.seek(0, 2)
            source.seek(have)
            yield Body(have, length, iter(lambda: source.read(CHUNK), b""), True)
    except (OSError, ValueError) as error:
        raise Failed(getattr(error, "strerror", None) or "it is no path that can be opened") from error


def _receive(file: File, body: Body, part: Path, report: Progress) -> None:
    """Writes a body to `part`, which stays behind on failure only where it can be resumed."""
    end = body.end or file.size
    if file.size is not None and body.end not in (None, body.start, file.size):
        raise WrongSize(f"is {body.end} bytes long, expected {file.size}")

    def chunks() -> Iterator[bytes]:
        done = body.start
        report(done, end)
        try:
            for chunk in body.chunks:
                done += len(chunk)
                yield chunk
                report(done, end)
        except (TooSlow, TooLarge):
            raise
        except Failed as error:
            raise Failed(f"{error} after {done} of {end or 'unknown'} bytes") from error
        if end is not None and done < end:
            raise Failed(f"it broke off after {done} of {end} bytes")

    write(part, chunks(), end, append=body.start > 0, keep=file.hash_kind is not None and body.resumable)


@contextlib.contextmanager
def reporting(file: File, progress: Progress | None) -> Iterator[Progress]:
    """What is told of the bytes as they come: the caller's function, a bar on a terminal, or nothing."""
    if progress is not None or not sys.stderr.isatty():
        yield progress or (lambda done, total: None)
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (*Bar.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(file.name, total=file.size)
        yield lambda done, total: bar.update(task, completed=done, total=total)
