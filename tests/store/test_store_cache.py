import os
from pathlib import Path

import pytest

from kerazoo import store
from kerazoo.store import paths

CONTENT = b"weights" * 100


def put(entry, content: bytes = CONTENT) -> Path:
    path = store.path_of(entry, entry.file())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_home_is_read_when_asked_and_never_made(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "one"))
    assert store.home() == tmp_path / "one"
    monkeypatch.setenv("KERAZOO_HOME", "~/two")
    assert store.home() == Path.home() / "two"
    monkeypatch.delenv("KERAZOO_HOME")
    assert store.home().name == "kerazoo"
    assert store.artefacts("net:data") == store.home() / "artefacts" / "net" / "data"
    assert not (tmp_path / "one").exists()


def test_an_empty_cache_has_no_rows_and_nothing_to_prune(cache):
    assert list(store.cached()) == []
    assert list(store.verify()) == []
    assert store.prune() == 0
    assert not cache.exists()


def test_verify_tells_sound_from_damaged_and_records_what_has_no_published_hash(make, known, capsys):
    sound = make("file:///x", content=CONTENT, name="a:data")
    damaged = make("file:///x", content=CONTENT, name="b:data")
    bare = make("file:///x", content=CONTENT, name="c:data", kind=None, sized=False)
    absent = make("file:///x", content=CONTENT, name="d:data")
    known(sound, damaged, bare, absent, make("package:labels/mnist.txt", name="e:data"))
    put(sound)
    put(damaged, CONTENT[::-1])
    put(bare)
    assert [(row.name, row.file, row.state) for row in store.verify()] == [
        ("a:data", "net.h5", "ok"),
        ("b:data", "net.h5", "damaged"),
        ("c:data", "net.h5", "ok"),
    ]
    assert "trusted from now on: sha256" in capsys.readouterr().err
    assert [row.state for row in store.cached()] == ["ok", "damaged", "ok"]
    assert [row.size for row in store.cached()] == [len(CONTENT)] * 3
    put(bare, CONTENT[::-1])
    assert [row.state for row in store.verify()] == ["ok", "damaged", "damaged"]
    assert capsys.readouterr().err == ""


def test_verify_finds_what_a_receipt_hides(make, known):
    entry = make("file:///x", content=CONTENT)
    known(entry)
    path = put(entry)
    store.fetch(entry)
    stat = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [row.state for row in store.verify()] == ["damaged"]


@pytest.mark.parametrize("artefacts", [True, False])
def test_prune_removes_what_can_be_had_again(make, known, cache, artefacts):
    entry = make("file:///x", content=CONTENT)
    gone = make("file:///x", content=CONTENT, name="gone:data")
    known(entry, gone)
    path = put(entry)
    store.fetch(entry)
    put(gone)
    store.fetch(gone)
    known(entry)
    path.with_name("net.h5.part").write_bytes(b"12345")
    path.with_name("old.h5").write_bytes(b"123")
    (orphan := path.parent.parent / "late" / "x.h5.receipt.json").parent.mkdir()
    orphan.write_text("{}")
    prepared = store.artefacts("net:data") / "model.onnx"
    prepared.parent.mkdir(parents=True)
    prepared.write_bytes(b"1234567")
    (cache / "notes.txt").write_text("mine")
    receipt = (cache / "weights" / "gone" / "data" / "net.h5.receipt.json").stat().st_size
    freed = store.prune(artefacts=artefacts)
    assert freed == len(CONTENT) + receipt + 5 + 3 + 2 + 7 * artefacts
    left = {str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"}
    kept = {"weights/net/data/net.h5", "weights/net/data/net.h5.receipt.json", "notes.txt"}
    assert left == kept | (set() if artefacts else {"artefacts/net/data/model.onnx"})
    assert not (cache / "weights" / "gone").exists()
    assert store.present(entry)


def test_prune_leaves_a_download_that_is_going_on(make, known):
    entry = make("file:///x", content=CONTENT)
    known(entry)
    part = put(entry).with_name("net.h5.part")
    part.write_bytes(b"12345")
    with paths.locked(part.with_name("net.h5")):
        assert store.prune() == 0
    assert store.prune() == 5


def test_prune_does_not_follow_links(make, known, cache, tmp_path):
    known(make("file:///x", content=CONTENT))
    (outside := tmp_path / "outside").mkdir()
    (outside / "mine.h5").write_bytes(b"mine")
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "link").symlink_to(outside)
    (cache / "artefacts").symlink_to(outside)
    store.prune()
    assert (outside / "mine.h5").exists()
