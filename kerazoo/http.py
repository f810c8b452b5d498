"""HTTP as a client, over urllib3: bounded in time and bytes, wherever a server hangs or drips.

`read` is for an address that a person gave, `exchange` for requests to one server, `opened` for those who take the body
piece by piece. A redirect never leads from https to http. Proxies are those of the environment (`https_proxy`,
`no_proxy`, ...). Import this module where it is used: urllib3 takes longer to import than all of `kerazoo`.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import queue
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from kerazoo.errors import InputError
from kerazoo.store.paths import offline

CONNECT_SECONDS = 3.0
"""Longest wait for a connection: name resolution, every address of the name and the TLS handshake together."""

READ_SECONDS = 20.0
"""Longest silence of a server that has answered the connection."""

REDIRECTS = 10
"""How often a server may send elsewhere."""

CHUNK = 1 << 20
"""Most bytes that are read at a time."""


class Failed(Exception):
    """No answer, or none that can be used. Says why in a few words, without the address: it may hold a token."""


class TooSlow(Failed):
    """A limit of time ended the exchange; asking again would be no better."""


class TooLarge(Failed):
    """The body has more bytes than were allowed."""


@dataclass(frozen=True)
class Limits:
    """What one exchange may take.

    Attributes:
        seconds: From the first step to the last byte.
        most_bytes: Of the body.
        least_rate: Bytes a second that must come, as a mean over each `grace` seconds.
    """

    seconds: float
    most_bytes: int
    least_rate: float = 0.0
    grace: float = 30.0


@dataclass(frozen=True)
class Answer:
    """A server's answer, whatever its status.

    Attributes:
        headers: Without regard to upper and lower case.
        length: Bytes of the body as the server says; `None` where it does not.
        chunks: The body as it arrives, once; raises `Failed` where it breaks off.
    """

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunks: Iterator[bytes]


def read(url: str, *, most_bytes: int, seconds: float) -> bytes:
    """The whole body of an address that a person gave.

    Args:
        most_bytes: Of the body; a longer one is refused as soon as that is known.
        seconds: For all of it, redirects included.

    Raises:
        InputError: The address is none, `KERAZOO_OFFLINE` is set, or nothing usable was answered in time.
    """
    if offline():
        raise InputError("KERAZOO_OFFLINE is set: addresses are not fetched.")
    try:
        with opened(url, Limits(seconds, most_bytes)) as answer:
            if answer.status != 200:
                raise Failed(status_words(answer.status))
            return b"".join(answer.chunks)
    except Failed as error:
        raise InputError(f"Cannot be fetched: {error}.") from None


def exchange(
    method: str, url: str, limits: Limits, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body of one request, over a kept connection where there is one; redirects are not followed.

    Raises:
        Failed: The server does not answer, or not within the limits.
    """
    watch = _Watch(limits)
    with watch, _asked(method, url, headers, body, watch) as answer:
        return answer.status, b"".join(answer.chunks)


@contextlib.contextmanager
def opened(url: str, limits: Limits, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
    """The answer to a GET, after redirects; what is not read of it is dropped at the end.

    Raises:
        Failed: The server does not answer, or not within the limits.
    """
    with _Watch(limits) as watch:
        for _ in range(REDIRECTS + 1):
            with _asked("GET", url, headers, None, watch) as answer:
                target = answer.headers.get("Location")
                if answer.status not in (301, 302, 303, 307, 308) or not target:
                    yield answer
                    return
            url = _redirected(url, target)
        raise Failed(f"it was redirected more than {REDIRECTS} times")


def status_words(status: int) -> str:
    """`HTTP 404 Not Found`, in the standard's words and not the server's own, which can hold anything."""
    return f"HTTP {status} {http.client.responses.get(status, '')}".strip()


def _redirected(url: str, target: str) -> str:
    try:
        target = urljoin(url, target)
        before, after = urlsplit(url).scheme, urlsplit(target).scheme
    except ValueError:
        raise Failed("it was redirected to what is no address") from None
    if after not in ("http", "https"):
        raise Failed("it was redirected to neither http nor https")
    if (before, after) == ("https", "http"):
        raise Failed("it was redirected from https to http, which anybody on the way could change")
    return target


@contextlib.contextmanager
def _asked(
    method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None, watch: _Watch
) -> Iterator[Answer]:
    sent = {"User-Agent": "kerazoo", "Accept-Encoding": "identity"} | dict(headers or {})
    with _told(watch):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise Failed("it is no http or https address")
        # Half of the time, so that one address that swallows packets leaves some for the next.
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS / 2, read=min(READ_SECONDS, watch.limits.seconds))
        _current.watch = watch
        ask = functools.partial(
            _pool(_proxy(url), os.getpid()).urlopen, method, url, body=body, headers=sent, timeout=timeout,
            retries=False, redirect=False, preload_content=False,
        )  # fmt: skip
        watch.kept = True
        try:
            response = ask()
        except ProtocolError:
            # A server may end a kept connection at any time; a new one is tried once.
            if not watch.kept or watch.ended:
                raise
            response = ask()
        except InvalidHeader:
            watch.drop()  # urllib3 leaves the answer open whose headers it refuses.
            raise
    try:
        with _told(watch):
            length = _length(response.headers)
            coding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if length is not None and length > watch.limits.most_bytes:
                raise TooLarge(f"it is {length:,} bytes long, more than {watch.limits.most_bytes:,}")
            if coding not in ("", "identity"):
                raise Failed("it answered in a content encoding, which was not asked for")
        yield Answer(response.status, response.headers, length, _chunks(response, watch))
    finally:
        # One that was read to its end has given its connection back by now; any other cannot be used again.
        response.close()


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length")
    if text is None or "Transfer-Encoding" in headers:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Failed("it answered a Content-Length that is no number of bytes")
    return int(text)


def _chunks(response: urllib3.BaseHTTPResponse, watch: _Watch) -> Iterator[bytes]:
    got = 0
    while True:
        # What is there, rather than a full chunk: a line that breaks off then costs nothing that had arrived.
        with _told(watch):
            chunk = response.read1(CHUNK, decode_content=False)
        if not chunk:
            break
        got += len(chunk)
        watch.got += len(chunk)
        if got > watch.limits.most_bytes:
            raise TooLarge(f"it is longer than {watch.limits.most_bytes:,} bytes")
        yield chunk


@contextlib.contextmanager
def _told(watch: _Watch) -> Iterator[None]:
    """Turns all that can go wrong into a few words."""
    try:
        yield
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise (TooSlow(watch.ended) if watch.ended else Failed(_words(error))) from error
    if watch.ended:
        # A socket that was shut down reads like one whose server had no more to say.
        raise TooSlow(watch.ended)


def _words(error: Exception) -> str:
    cause: BaseException = error
    if isinstance(error, ProxyError):
        return f"its proxy fails: {_words(error.original_error)}"
    if isinstance(error, ProtocolError) and len(error.args) > 1 and isinstance(error.args[1], Exception):
        cause = error.args[1]
    elif isinstance(error, HTTPError) and isinstance(error.__cause__, OSError):
        cause = error.__cause__
    if isinstance(error, NameResolutionError) or isinstance(cause, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, (ReadTimeoutError, TimeoutError)) and not getattr(error, "strerror", None):
        return "no answer in time"
    if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate cannot be verified"
    if isinstance(error, SSLError) or isinstance(cause, ssl.SSLError):
        return "no TLS connection can be made with it"
    if isinstance(cause, http.client.RemoteDisconnected):
        return "it ended the connection without an answer"
    if isinstance(cause, http.client.BadStatusLine):
        return "its answer is no HTTP"
    if isinstance(cause, http.client.IncompleteRead):
        return "its answer broke off"
    if isinstance(cause, (http.client.HTTPException, InvalidHeader)):
        return "its answer's headers cannot be read"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "it is no address that can be opened" if isinstance(error, ValueError) else type(cause).__name__


class _Watch:
    """Ends an exchange at its limits of time: shutting the socket down is all that wakes a reader wherever it hangs."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.got = 0
        self.ended = ""
        self.kept = False
        self._socket: socket.socket | None = None
        self._done = threading.Event()

    def __enter__(self) -> _Watch:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def hold(self, connection: http.client.HTTPConnection) -> None:
        """From now on it is this connection that is ended."""
        self._socket = getattr(connection.sock, "socket", connection.sock)  # TLS within TLS, to an https proxy.
        if self.ended:
            self._end()

    def drop(self) -> None:
        """Closes the socket, whoever else still has a hold on it."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.close(socket.socket.detach(self._socket))

    def _run(self) -> None:
        limits = self.limits
        end = time.monotonic() + limits.seconds
        window, before = (time.monotonic() + limits.grace if limits.least_rate else end), 0
        while not self._done.wait(max(min(end, window) - time.monotonic(), 0)):
            if time.monotonic() >= end:
                self.ended = f"it was not done within {limits.seconds:,.1f} s"
            elif self.got - before < limits.least_rate * limits.grace:
                self.ended = f"it sent fewer than {limits.least_rate:,.0f} bytes a second for {limits.grace:g} s"
            else:
                window, before = window + limits.grace, self.got
                continue
            return self._end()

    def _end(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not that of an SSLSocket, which would pull the rug from under its reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_current = threading.local()
"""The watch of the exchange that this thread is at: urllib3 makes and chooses connections by itself."""


class _Plain(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        _bounded(super().connect)

    def request(self, *args, **kwargs) -> None:
        _held(self)
        super().request(*args, **kwargs)


class _Secure(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        _bounded(super().connect)

    def request(self, *args, **kwargs) -> None:
        _held(self)
        super().request(*args, **kwargs)


def _held(connection: http.client.HTTPConnection) -> None:
    if connection.sock is None:
        connection.connect()
    _current.watch.hold(connection)


def _bounded(connect: Callable[[], None]) -> None:
    """Connects, or gives up: urllib3 bounds the wait for each address, but not name resolution, and not the sum."""
    _current.watch.kept = False
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
        error = outcome.get(timeout=min(CONNECT_SECONDS, _current.watch.limits.seconds))
    except queue.Empty:
        error = ConnectTimeoutError()
    if error is not None:
        raise error


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


@functools.cache
def _pool(proxy: str | None, process: int) -> urllib3.PoolManager:
    """Kept connections; a process that was forked has its own."""
    if proxy is None:
        pool = urllib3.PoolManager(maxsize=16)
    else:
        user = urllib3.util.parse_url(proxy).auth
        pool = urllib3.ProxyManager(
            proxy, maxsize=16, proxy_headers=urllib3.make_headers(proxy_basic_auth=user) if user else None
        )
    pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return pool


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
