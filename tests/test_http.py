"""The client against servers of every kind: raw sockets that send what they are told, and stop when they please."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kerazoo import http
from kerazoo.errors import InputError
from tests.wire import Wire, serving

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "KERAZOO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as start:
        yield start


def read(url: str, most_bytes: int = 1000, seconds: float = 5.0) -> bytes:
    return http.read(url, most_bytes=most_bytes, seconds=seconds)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Encoding: identity\r\n\r\nhello and more",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.0 200 Fine\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    ],
)
def test_what_is_answered_is_read(wire, answer):
    assert read(wire(answer)) == b"hello"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"\x16\x03\x01\x00\xff\x00", "no HTTP"),
        (b"\0" * 70_000, "no HTTP|cannot be read"),
        (b"HTTP/1.1 2000 Much\r\n\r\n", "no HTTP"),
        (OK + b"a: b\r\n" * 200 + b"\r\n", "headers cannot be read"),
        (OK + b"a: " + b"b" * 70_000 + b"\r\n\r\n", "headers cannot be read"),
        (OK + b"Content-Length: -5\r\n\r\nhello", "no number of bytes"),
        (OK + b"Content-Length: five\r\n\r\nhello", "no number of bytes"),
        (OK + "Content-Length: \u00b2\r\n\r\nhello".encode("latin-1"), "no number of bytes"),
        (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello", "no number of bytes"),
        (OK + b"Content-Length: 5, 6\r\n\r\nhello", "headers cannot be read"),
        (OK + b"Content-Length: 9\r\n\r\nhello", "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello", "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello", "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "broke off"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", "content encoding"),
        (OK + b"Content-Length: 1001\r\n\r\n", "1,001 bytes long, more than 1,000"),
        (OK + b"\r\n" + b"x" * 1001, "longer than 1,000"),
        (b"HTTP/1.1 404 \x1b[31mRed\r\n\r\n", "HTTP 404 Not Found"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello", "HTTP 206"),
        (b"HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n", "redirected more than 10"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "neither http nor https"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", "no address"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://:80/\r\n\r\n", "no http or https address"),
        (b"HTTP/1.1 302 Found\r\n\r\n", "HTTP 302"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_in_a_few_words(wire, answer, why):
    with pytest.raises(InputError, match=why) as caught:
        read(wire(answer))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "url",
    [
        "", "a", "http:", "http://", "http:///a", "ftp://a/b", "file:///etc/passwd", "http://[", "http://a:b/", "http://a:99999/",
        "http://" + "a" * 300, "http://a..b/", "http://\udc80/", "http://a\0b/", "http://a b/",
    ],
)  # fmt: skip
def test_what_is_no_address_is_told(url, monkeypatch):
    def fail(*_):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(InputError, match="Cannot be fetched"):
        read(url)


@pytest.mark.parametrize(
    ("pieces", "forever"),
    [
        ([], b"H"),
        ([b"HTTP/1.1 "], b"2"),
        ([OK], b"a"),
        ([OK + b"\r\n"], b"x"),
        ([OK + b"Content-Length: 900\r\n\r\n"], b"x"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n"], b"0"),
        ([], b"HTTP/1.1 100 Continue\r\n\r\n"),
        ([], b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["status", "version", "header", "endless", "body", "chunk-size", "continue", "redirect"],
)
def test_a_server_that_drips_is_left_wherever_it_drips(wire, pieces, forever):
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"not done within 0\.3 s|redirected more than"):
        read(wire(*pieces, forever=forever, pause=0.05), seconds=0.3)
    assert time.monotonic() - begin < 5


def test_silence_is_left_even_before_the_total_limit(wire, monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.1)
    with pytest.raises(InputError, match="no answer in time"):
        read(wire(b"HTTP", pause=10))


def test_a_rate_is_held_after_its_grace(wire):
    url = wire(OK + b"\r\n", forever=b"x", pause=0.02)
    with (
        pytest.raises(http.TooSlow, match=r"fewer than 1,000 bytes a second for 0\.2 s"),
        http.opened(url, http.Limits(20.0, 10**9, 1000.0, 0.2)) as answer,
    ):
        list(answer.chunks)
    with http.opened(
        wire(OK + b"\r\n", *[b"x" * 1000] * 5, pause=0.1), http.Limits(20.0, 10**9, 1000.0, 0.3)
    ) as answer:
        assert len(b"".join(answer.chunks)) == 5000


def test_nobody_listens(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match="refused"):
        read(f"http://127.0.0.1:{port}/")
    with pytest.raises(InputError, match="TLS|HTTP"):
        read("https://" + _tls_less(monkeypatch))


def _tls_less(monkeypatch) -> str:
    """A server that answers TLS with plain text."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as peer:
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}/"


def test_redirects_are_followed_but_never_from_https_to_http(wire):
    end = wire(OK + b"Content-Length: 5\r\n\r\nhello")
    assert read(wire(f"HTTP/1.1 307 Temporary\r\nLocation: {end}\r\nContent-Length: 0\r\n\r\n".encode())) == b"hello"
    assert http._redirected("http://a/b", "https://a/c") == "https://a/c"
    assert http._redirected("https://a/b", "/c") == "https://a/c"
    for target in ("http://a/c", "HTTP://a/c"):
        with pytest.raises(http.Failed, match="from https to http"):
            http._redirected("https://a/b", target)


@pytest.mark.parametrize("word", ["1", "true", "YES"])
def test_offline_nothing_is_asked(monkeypatch, word):
    monkeypatch.setenv("KERAZOO_OFFLINE", word)
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(InputError, match="KERAZOO_OFFLINE"):
        read("http://127.0.0.1:9/")


def test_a_proxy_of_the_environment_is_asked(wire, monkeypatch):
    monkeypatch.setenv("http_proxy", wire(OK + b"Content-Length: 9\r\n\r\nthe proxy").removesuffix("/a"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert read("http://pictures.example/a.png") == b"the proxy"
    assert read(wire(OK + b"Content-Length: 5\r\n\r\nhello")) == b"hello"
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(InputError, match="Cannot be fetched"):
        read("http://pictures.example/a.png")


def test_an_exchange_keeps_its_connection_and_survives_its_end(wire):
    limits = http.Limits(5.0, 1000)
    kept = wire(OK + b"Content-Length: 2\r\n\r\n{}", keep=True)
    ended = wire(OK + b"Content-Length: 2\r\n\r\n{}")
    for url in (kept, ended):
        for _ in range(3):
            assert http.exchange("POST", url, limits, body=b"{}", headers={"Authorization": "Bearer x"}) == (200, b"{}")
    assert http.exchange("GET", wire(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}"), limits) == (503, b"{}")
    with pytest.raises(http.Failed, match="without an answer"):
        http.exchange("GET", wire(b""), limits)
