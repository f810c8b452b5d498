"""Files whose publisher named no sha256, sources that anybody on the way could change, and sources that never end."""

import dataclasses
import hashlib
import json
import time

import pytest

from kerazoo import store
from kerazoo.errors import KerazooError, UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.store import limits, paths

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def with_prefix(entry, content: bytes = CONTENT):
    """The same model, of whose sha256 only the beginning was published."""
    file = dataclasses.replace(entry.file(), hash_kind="sha256_prefix", hash_value=sha256(content)[:8])
    return dataclasses.replace(entry, files=(file,))


@pytest.mark.parametrize("kind", [None, "md5", "sha1"])
def test_the_first_sha256_is_remembered_when_the_file_is_gone(site, make, cache, kind, capsys):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT, kind=kind)
    path = store.fetch(entry)
    assert f"trusted from now on: sha256 {sha256(CONTENT)}" in capsys.readouterr().err
    found = store.trusted(entry)
    assert (found.sha256, len(found.date)) == (sha256(CONTENT), 10)
    for gone in (path, path.with_name("net.h5.receipt.json")):
        gone.unlink()
    assert store.fetch(entry) == path
    assert capsys.readouterr().err == ""


def test_another_sha256_is_refused_until_it_is_accepted(site, make, cache):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT, kind=None)
    path = store.fetch(entry)
    path.unlink()
    path.with_name("net.h5.receipt.json").unlink()
    site.files["net.h5"] = OTHER
    for _ in range(2):
        with pytest.raises(WeightsDamaged) as caught:
            store.fetch(entry)
        message = str(caught.value)
        assert sha256(CONTENT) in message
        assert sha256(OTHER) in message
        assert "kerazoo fetch --trust-new net:data" in message
        assert len(message.splitlines()) <= 3
    assert not path.exists()
    assert store.fetch(entry, trust_new=True).read_bytes() == OTHER
    assert store.trusted(entry).sha256 == sha256(OTHER)
    site.files["net.h5"] = CONTENT
    assert store.fetch(entry, trust_new=True).read_bytes() == CONTENT
    del site.files["net.h5"]
    with pytest.raises(WeightsUnavailable):
        store.fetch(entry, trust_new=True)
    assert store.fetch(entry).read_bytes() == CONTENT


def test_what_shares_only_the_published_beginning_is_refused(site, make):
    site.files["net.h5"] = CONTENT
    entry = with_prefix(make(f"{site.url}/net.h5", content=CONTENT))
    path = store.fetch(entry)
    # Found by somebody who tried 2**32 files; here the published beginning is made to fit the other file.
    other = with_prefix(entry, OTHER)
    path.unlink()
    site.files["net.h5"] = OTHER
    with pytest.raises(WeightsDamaged, match="trusted was"):
        store.fetch(other)


def test_a_published_sha256_needs_no_trust(site, make, cache):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    store.fetch(entry)
    assert store.trusted(entry) is None
    assert not (cache / "known-hashes.json").exists()
    store.fetch(entry, trust_new=True)
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    "junk",
    [b"", b"[]", b"{", b"null", b'{"files": 3}', b'{"files": {"a": 3}}', b"[" * 100_000, b"\xff", b" " * (5 << 20),
     b'{"files": {"net/data/net.h5": {"sha256": "x", "date": "2026-01-01"}}}',
     b'{"files": {"net/data/net.h5": {"sha256": null, "date": null}}}'],
)  # fmt: skip
def test_a_damaged_record_is_never_taken_as_empty(site, make, cache, junk):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT, kind=None)
    cache.mkdir()
    (cache / "known-hashes.json").write_bytes(junk)
    with pytest.raises(KerazooError, match="known-hashes.json"):
        store.fetch(entry)
    assert not store.present(entry)
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT, name="net:pinned")).is_file()


def test_many_are_remembered_side_by_side(site, make, cache):
    site.files["net.h5"] = CONTENT
    for number in range(3):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT, kind=None, name=f"net:n{number}"))
    rows = json.loads((cache / "known-hashes.json").read_text())["files"]
    assert list(rows) == [f"net/n{number}/net.h5" for number in range(3)]
    assert not list(cache.rglob("*.part"))


def test_plain_http_without_a_full_hash_must_be_allowed(site, make, cache, monkeypatch, tmp_path):
    site.files["net.h5"] = CONTENT
    monkeypatch.delenv("KERAZOO_ALLOW_HTTP")
    bare = make(f"{site.url}/net.h5", content=CONTENT, kind=None)
    for entry in (bare, with_prefix(bare)):
        with pytest.raises(WeightsUnavailable, match="--allow-http.*KERAZOO_ALLOW_HTTP=1") as caught:
            store.fetch(entry)
        assert len(str(caught.value).splitlines()) <= 3
    assert not site.requests
    assert not cache.exists()
    assert store.fetch(bare, allow_http=True).is_file()
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT, name="net:pinned")).is_file()
    monkeypatch.setenv("KERAZOO_MIRROR", site.url)
    assert store.fetch(make("https://127.0.0.1:9/x", content=CONTENT, kind=None, name="net:mirrored")).is_file()


@pytest.mark.parametrize("length", [True, False])
def test_a_file_without_a_size_is_bounded(site, make, cache, monkeypatch, length):
    site.files["net.h5"], site.length = CONTENT, length
    monkeypatch.setenv("KERAZOO_FETCH_BYTES", "10239")
    entry = make(f"{site.url}/net.h5", content=CONTENT, sized=False)
    with pytest.raises(WeightsUnavailable, match="10,239.*KERAZOO_FETCH_BYTES"):
        store.fetch(entry)
    monkeypatch.setenv("KERAZOO_FETCH_BYTES", "10240")
    assert store.fetch(entry).read_bytes() == CONTENT


def test_a_published_size_is_held_before_the_bytes_are_taken(site, make, cache):
    site.files["net.h5"] = CONTENT * 100
    seen = []
    with pytest.raises(WeightsDamaged, match="more than the expected 10240"):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT), progress=lambda done, _: seen.append(done))
    assert not seen


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("KERAZOO_FETCH_SECONDS", "0.4", r"not done within 0\.\d+ s"),
        ("KERAZOO_FETCH_RATE", "1e6", "fewer than 1,000,000 bytes a second"),
    ],
)
def test_a_source_that_drips_is_left_its_lock_is_free_and_its_bytes_are_kept(
    site, make, cache, monkeypatch, name, value, why
):
    monkeypatch.setattr(limits, "GRACE_SECONDS", 0.4)
    site.files["net.h5"], site.drip = CONTENT, 0.01
    monkeypatch.setenv(name, value)
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    begin = time.monotonic()
    with pytest.raises(WeightsUnavailable, match=f"{why}.*{name}"):
        store.fetch(entry)
    assert time.monotonic() - begin < 10
    target = store.path_of(entry, entry.file())
    have = target.with_name("net.h5.part").stat().st_size
    assert have > 0
    monkeypatch.delenv(name)
    site.drip = 0.0
    with paths.locked(target):
        pass
    assert store.fetch(entry).read_bytes() == CONTENT
    assert site.requests[-1] == ("net.h5", f"bytes={have}-")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1 h"])
@pytest.mark.parametrize("name", list(limits.DEFAULTS))
def test_a_limit_must_be_a_number(make, monkeypatch, site, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=name):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT, sized=False))
