"""One file from one address, http, https or file, with resuming. Imported only when something is to be fetched."""

from __future__ import annotations

import contextlib
import errno
import http.client
import queue
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kerazoo.manifest import File
from kerazoo.store.paths import CHUNK, Progress, write

CONNECT_SECONDS = 3.0
"""Longest wait for a connection: name resolution, every address of the name and the TLS handshake together."""

READ_SECONDS = 20.0
"""Longest silence of a server that has answered the connection."""

ATTEMPTS = 5
"""How often a source that breaks off may be resumed within one fetch, as long as each attempt brought something."""


class SourceFailed(Exception):
    """One source did not deliver; the next one is tried."""


def download(file: File, url: str, part: Path, report: Progress) -> None:
    """Brings `part` to its full length, going on from the bytes that are there; nothing is verified yet."""
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        # Without a hash nothing would notice that the rest belongs to another version.
        if file.hash_kind is None or (file.size is not None and have > file.size):
            part.unlink(missing_ok=True)
            have = 0
        if have and have == file.size:
            return
        try:
            with _open(url, have) as response:
                _receive(file, response, have, part, report)
            return
        except SourceFailed:
            if not part.exists() or part.stat().st_size <= have:
                raise
        time.sleep(0.1)
    raise SourceFailed(f"broke off {ATTEMPTS} times")


def _open(url: str, start: int) -> Any:
    """The response, whatever its status."""
    headers = {"User-Agent": "kerazoo", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        # Half of the time, so that one address that swallows packets leaves some for the next.
        return _told(urllib.request.build_opener(_Web, _Redirects).open, request, None, CONNECT_SECONDS / 2)
    except urllib.error.HTTPError as error:
        return error


def _receive(file: File, response: Any, asked: int, part: Path, report: Progress) -> None:
    """Writes a body to `part`, which stays behind on failure only where it can be resumed."""
    status, headers = response.status, response.headers
    length = headers.get("Content-Length", "")
    sized = length.isdigit()
    if status == 416 and asked:
        return  # There are no more bytes than are here.
    if status not in (None, 200, 206):
        # Not the server's own wording, which can hold anything.
        raise SourceFailed(f"HTTP {status} {http.client.responses.get(status, '')}".strip())
    if status == 206 and not headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
        raise SourceFailed("answered another range than was asked for")
    if not sized and file.hash_kind is None and "Transfer-Encoding" not in headers:
        raise SourceFailed("does not say how long the file is, and no hash would show that its end is missing")
    start = asked if status == 206 else 0
    end = start + int(length) if sized else file.size

    def chunks() -> Iterator[bytes]:
        done = start
        report(done, file.size or end)
        # What is there, rather than a full chunk: a line that breaks off then costs nothing that had arrived.
        while chunk := _told(response.read1, CHUNK):
            done += len(chunk)
            yield chunk
            report(done, file.size or end)
            if file.size is not None and done > file.size:
                return
        if end is not None and done < end:
            raise SourceFailed(f"broke off after {done} of {end} bytes")

    resumable = file.hash_kind is not None and (start > 0 or headers.get("Accept-Ranges") == "bytes")
    write(part, chunks(), file.size or end, append=start > 0, keep=resumable)


def _told(call: Callable[..., Any], *arguments: Any) -> Any:
    """A call whose errors become a few words on why the source failed, without the address: it may hold a token."""
    try:
        return call(*arguments)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        words = cause.strerror if isinstance(cause, OSError) else type(error).__name__
        if isinstance(cause, socket.gaierror):
            words = "its name cannot be resolved"
        raise SourceFailed(
            words or ("no answer in time" if isinstance(cause, TimeoutError) else repr(cause))
        ) from error


class _Plain(http.client.HTTPConnection):
    def connect(self) -> None:
        _bounded(super().connect)
        self.sock.settimeout(READ_SECONDS)


class _Secure(http.client.HTTPSConnection):
    def connect(self) -> None:
        _bounded(super().connect)
        self.sock.settimeout(READ_SECONDS)


def _bounded(connect: Callable[[], None]) -> None:
    """Connects, or gives up: urllib bounds the wait for each address, but not name resolution, and not the sum."""
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            connect()
            outcome.put(None)
        except Exception as error:
            outcome.put(error)

    # A thread that hangs in name resolution cannot be stopped: it is left to end by itself.
    threading.Thread(target=run, daemon=True).start()
    try:
        error = outcome.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        error = TimeoutError(errno.ETIMEDOUT, f"no connection within {CONNECT_SECONDS:g} s")
    if error is not None:
        raise error


class _Web(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Plain, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Secure, req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in ("http", "https"):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


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
