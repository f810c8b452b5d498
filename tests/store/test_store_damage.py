"""Caches and sources in every state of disrepair: each answers with one of our own errors, or with sound bytes."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo import store
from kerazoo.errors import KerazooError, UsageError, WeightsUnavailable
from tests.wire import Wire, serving

CONTENT = bytes(range(256)) * 4
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 1024\r\n"


@pytest.fixture(autouse=True)
def ends() -> Iterator[None]:
    """A pipe that is opened by mistake is waited for without end."""

    def fail(*_):
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as start:
        yield start


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source.h5").write_bytes(CONTENT)
    return (tmp_path / "source.h5").as_uri()


def outcome(entry) -> str:
    """`sound` where the true bytes came, else the error, which is one of ours and no longer than it should be."""
    try:
        path = store.fetch(entry)
    except KerazooError as error:
        assert len(str(error).splitlines()) <= 3
        assert all(line.isprintable() for line in str(error).splitlines())
        return str(error)
    assert path.read_bytes() == CONTENT
    return "sound"


def put_folder(path: Path) -> None:
    path.mkdir()


def put_file(path: Path) -> None:
    path.write_text("something")


def put_loop(path: Path) -> None:
    path.symlink_to(path.name)


def put_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


@pytest.mark.parametrize("kind", ["sha256", "md5"])
@pytest.mark.parametrize("put", [put_folder, put_file, put_loop, put_nowhere, os.mkfifo])
@pytest.mark.parametrize("suffix", ["", ".part", ".lock", ".receipt.json"])
def test_what_lies_where_a_file_should_lie(make, cache, source, suffix, put, kind):
    entry = make(source, content=CONTENT, kind=kind, sized=False)
    target = store.path_of(entry, entry.file())
    target.parent.mkdir(parents=True)
    put(target.with_name(target.name + suffix))
    assert outcome(entry) == "sound" or suffix in ("", ".part", ".lock")
    store.present(entry)
    list(store.cached())


@pytest.mark.parametrize("put", [put_folder, put_file, put_loop, os.mkfifo])
@pytest.mark.parametrize("name", ["", "weights", "weights/net", "known-hashes.json", "known-hashes.json.lock"])
def test_what_lies_where_the_cache_should_lie(make, known, cache, source, name, put):
    entry = make(source, content=CONTENT, kind=None)
    known(entry)
    (cache / name).parent.mkdir(parents=True, exist_ok=True)
    put(cache / name)
    outcome(entry)
    list(store.cached())
    store.prune()
    store.sha256_of(entry)


@pytest.mark.parametrize(
    "name", ["~nobody_has_this_name/x", "/dev/null", "/dev/null/x", "/proc/1/x", "a" * 300, "/" + "a/" * 3000]
)
def test_homes_that_cannot_be(make, known, source, monkeypatch, name):
    monkeypatch.setenv("KERAZOO_HOME", name)
    known(entry := make(source, content=CONTENT))
    assert "KERAZOO_HOME" in outcome(entry)


def test_a_home_of_any_letters_serves_and_is_told_harmlessly(make, cache, monkeypatch, source):
    monkeypatch.setenv("KERAZOO_HOME", f"{cache}\udc80\n\x1b[31m \u202e")
    assert outcome(make(source, content=CONTENT)) == "sound"
    assert r"\x1b[31m" in outcome(make("file:///nowhere", content=CONTENT, name="net:other"))


@pytest.mark.parametrize("name", ["KERAZOO_MIRROR"])
def test_a_mirror_of_nobody(make, monkeypatch, name):
    monkeypatch.setenv(name, "~nobody_has_this_name/x")
    with pytest.raises(UsageError, match=name):
        store.fetch(make("file:///nowhere", content=CONTENT))


def test_a_mirror_whose_file_is_none(make, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAZOO_MIRROR", str(tmp_path))
    os.mkfifo(tmp_path / "net.h5")
    assert "no plain file" in outcome(make("file:///a%00b", content=CONTENT))
    (tmp_path / "other.h5").mkdir()
    assert "no plain file" in outcome(make("file:///nowhere", content=CONTENT, file="other.h5"))


SOUND = {"size": len(CONTENT), "mtime_ns": 1, "sha256": "0" * 64, "published": None}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60)
@given(
    junk=st.binary(max_size=60)
    | ODD.map(lambda value: json.dumps(value).encode())
    | st.tuples(st.sampled_from(list(SOUND)), ODD).map(lambda one: json.dumps(SOUND | dict([one])).encode())
)
def test_any_receipt_costs_no_more_than_a_hashing(make, cache, source, junk):
    entry = make(source, content=CONTENT)
    path = store.fetch(entry)
    note = path.with_name("net.h5.receipt.json")
    note.write_bytes(junk)
    assert store.sha256_of(entry) is None
    assert store.present(entry)
    assert store.sha256_of(entry) == entry.file().hash_value


@pytest.mark.parametrize("junk", [b"[" * 60_000, b'{"size": ' + b"9" * 5000 + b"}", b" " * (1 << 17), b"\xff\xfe"])
def test_a_receipt_of_any_length_costs_no_more_than_a_hashing(make, cache, source, junk):
    entry = make(source, content=CONTENT)
    path = store.fetch(entry)
    path.with_name("net.h5.receipt.json").write_bytes(junk)
    assert store.present(entry)
    os.chmod(path.with_name("net.h5.receipt.json"), 0)
    assert store.present(entry)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + b"\r\n" + CONTENT, "how long"),
        (OK + b"Content-Length: -1\r\n\r\n" + CONTENT, "no number of bytes"),
        (OK + b"Content-Length: many\r\n\r\n" + CONTENT, "no number of bytes"),
        (OK + b"Content-Encoding: gzip\r\n" + LENGTH + b"\r\n" + CONTENT, "content encoding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + CONTENT, "broke off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + CONTENT[:9], "broke off"),
        (b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1023/1024\r\n" + LENGTH + b"\r\n" + CONTENT, "HTTP 206"),
        (b"HTTP/1.1 416 Range\r\nContent-Length: 0\r\n\r\n", "HTTP 416"),
        (b"HTTP/1.1 204 None\r\n\r\n", "HTTP 204"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n", "redirected more than"),
        (b"HTTP/1.1 500 \x1b]0;owned\x07\r\nContent-Length: 0\r\n\r\n", "HTTP 500 Internal"),
        (b"220 mail.example ESMTP\r\n", "no HTTP"),
        (b"", "without an answer"),
    ],
)  # fmt: skip
def test_servers_that_answer_oddly(make, cache, wire, answer, why):
    entry = make(wire(answer), content=CONTENT, kind=None, sized=False)
    with pytest.raises(WeightsUnavailable, match=why):
        store.fetch(entry)
    assert "sound" not in outcome(entry)
    assert not list(cache.rglob("*.part"))


@pytest.mark.parametrize(
    "told",
    [
        b"bytes 0-1023/1024", b"bytes 101-1023/1024", b"bytes 100-1022/1024", b"bytes 100-2000/1024", b"bytes */1024",
        b"bytes -100-1023/1024", b"100-1023/1024", b"items 100-1023/1024", b"", b"bytes 100-" + b"9" * 5000 + b"/*",
    ],
)  # fmt: skip
def test_a_part_is_never_continued_with_another_range(make, cache, wire, told):
    answer = b"HTTP/1.1 206 Partial\r\nContent-Range: " + told + b"\r\nContent-Length: 924\r\n\r\n" + CONTENT[100:]
    entry = make(wire(answer), content=CONTENT)
    target = store.path_of(entry, entry.file())
    target.parent.mkdir(parents=True)
    target.with_name("net.h5.part").write_bytes(CONTENT[:100])
    with pytest.raises(WeightsUnavailable, match="another range"):
        store.fetch(entry)
    assert target.with_name("net.h5.part").read_bytes() == CONTENT[:100]


def test_a_server_without_tls_is_told(make, wire):
    assert "TLS" in outcome(make(wire(b"\x15\x03\x01\x00\x02\x02\x28").replace("http", "https"), content=CONTENT))
