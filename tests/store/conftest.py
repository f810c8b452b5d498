"""A web server on this machine that misbehaves as it is told, an empty cache, and manifest entries to fetch."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kerazoo import manifest
from kerazoo.manifest import Entry, File


@dataclass
class Site:
    """What the server sends, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    length: bool = True
    cuts: list[int] = field(default_factory=list)
    delay: float = 0.0
    drip: float = 0.0
    redirects: dict[str, str] = field(default_factory=dict)
    first_byte: int | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    own = Site()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            span = self.headers.get("Range")
            own.requests.append((name, span))
            time.sleep(own.delay)
            if name in own.redirects:
                self.send_response(302)
                self.send_header("Location", own.redirects[name])
                self.end_headers()
                return
            if name not in own.files:
                self.send_error(404)
                return
            content = own.files[name]
            start = 0
            if span and own.ranges:
                start = int(span.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                told = start if own.first_byte is None else own.first_byte
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if own.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if own.length:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            rest = content[start:]
            rest = rest[: own.cuts.pop(0)] if own.cuts else rest
            while own.drip and rest:
                self.wfile.write(rest[:10])
                rest = rest[10:]
                time.sleep(own.drip)
            self.wfile.write(rest)

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as server:
        own.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield own
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAZOO_MIRROR", raising=False)
    monkeypatch.delenv("KERAZOO_OFFLINE", raising=False)
    # The server on this machine speaks plain http; what forbids that is tested by itself.
    monkeypatch.setenv("KERAZOO_ALLOW_HTTP", "1")
    return tmp_path / "home"


Make = Callable[..., Entry]


@pytest.fixture
def make() -> Make:
    def build(
        *urls: str,
        content: bytes = b"",
        name: str = "net:data",
        file: str = "net.h5",
        kind: str | None = "sha256",
        sized: bool = True,
    ) -> Entry:
        value = hashlib.new(kind, content).hexdigest() if kind else None
        one = File(file, "full", urls, kind, value, len(content) if sized else None, "keras_h5")
        return Entry(name, (one,), "Apache-2.0", "a test", None, {})

    return build


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the manifest consist of these entries."""
    return lambda *entries: monkeypatch.setattr(manifest, "load", lambda: {entry.name: entry for entry in entries})
