import errno
import hashlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo import store
from kerazoo.errors import KerazooError, UnknownModel, UsageError, WeightsDamaged, WeightsUnavailable

CONTENT = bytes(range(256)) * 5 + b"odd"
ANY = settings(max_examples=60)


@pytest.fixture
def entry(make, known, tmp_path):
    """A model whose only source is gone, so that its bytes can come from the cache or a bundle alone."""
    one = make((tmp_path / "gone.h5").as_uri(), content=CONTENT)
    known(one)
    return one


@pytest.fixture
def bundle(entry, tmp_path, monkeypatch):
    """A bundle with that model, written in another cache."""
    with monkeypatch.context() as patch:
        patch.setenv("KERAZOO_HOME", str(tmp_path / "elsewhere"))
        put(entry)
        store.export_bundle([entry], tmp_path / "all.tar")
    return tmp_path / "all.tar"


def put(entry, content: bytes = CONTENT) -> None:
    path = store.path_of(entry, entry.file())
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_bundle_carries_weights_over(entry, bundle, cache, monkeypatch):
    monkeypatch.setenv("KERAZOO_OFFLINE", "1")
    assert not store.present(entry)
    assert store.import_bundle(bundle) == ["net:data"]
    assert store.fetch(entry).read_bytes() == CONTENT
    assert store.import_bundle(bundle) == ["net:data"]
    assert files(cache) == ["net.h5", "net.h5.receipt.json"]


def test_a_bundle_is_a_plain_tar_that_is_the_same_each_time(entry, bundle, tmp_path):
    with tarfile.open(bundle, "r:") as tar:
        assert tar.getnames() == ["index.json", "net/data/net.h5"]
    put(entry)
    store.export_bundle([entry, entry], tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()


def test_what_is_not_cached_cannot_be_exported(entry, make, tmp_path):
    with pytest.raises(WeightsUnavailable, match="kerazoo fetch net:data"):
        store.export_bundle([entry], tmp_path / "all.tar")
    with pytest.raises(UsageError, match="nothing to export"):
        store.export_bundle([make("package:labels/mnist.txt")], tmp_path / "all.tar")
    assert not (tmp_path / "all.tar").exists()


def test_what_is_damaged_cannot_be_exported(entry, tmp_path):
    put(entry, CONTENT[::-1])
    with pytest.raises(WeightsDamaged, match="net:data"):
        store.export_bundle([entry], tmp_path / "all.tar")
    assert not (tmp_path / "all.tar").exists()


def test_a_full_disk_leaves_no_half_bundle(entry, tmp_path, monkeypatch):
    put(entry)

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", no_space)
    with pytest.raises(KerazooError, match="1,283 bytes are needed"):
        store.export_bundle([entry], tmp_path / "all.tar")
    assert files(tmp_path) == ["net.h5"]


def test_what_no_hash_was_published_for_is_held_to_the_index(make, known, tmp_path, monkeypatch, capsys):
    entry = make("file:///gone/net.h5", content=CONTENT, kind=None, sized=False)
    known(entry)
    put(entry)
    store.export_bundle([entry], tmp_path / "all.tar")
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "other"))
    assert store.import_bundle(tmp_path / "all.tar") == ["net:data"]
    assert "trusted from now on: sha256" in capsys.readouterr().err
    damaged = (tmp_path / "all.tar").read_bytes().replace(CONTENT, CONTENT[::-1])
    (tmp_path / "all.tar").write_bytes(damaged)
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "third"))
    with pytest.raises(WeightsDamaged, match="index says"):
        store.import_bundle(tmp_path / "all.tar")
    assert files(tmp_path / "third") == []


def test_a_recorded_hash_is_held_against_a_bundle(make, known, tmp_path, monkeypatch):
    entry = make("file:///gone/net.h5", content=CONTENT, kind=None, sized=False)
    known(entry)
    put(entry)
    store.export_bundle([entry], tmp_path / "all.tar")
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "other"))
    put(entry, CONTENT[::-1])
    path = store.fetch(entry)
    with pytest.raises(WeightsDamaged, match=r"trusted was.*\n.*--trust-new"):
        store.import_bundle(tmp_path / "all.tar")
    assert path.read_bytes() == CONTENT[::-1]
    store.import_bundle(tmp_path / "all.tar", trust_new=True)
    assert store.fetch(entry).read_bytes() == CONTENT
    assert store.trusted(entry).sha256 == hashlib.sha256(CONTENT).hexdigest()


def write(path: Path, *members: tuple[tarfile.TarInfo, bytes], index: object = None, **form: int) -> Path:
    """A tar file as somebody else might write it; the default index lists the true weights."""
    with tarfile.open(path, "w", **({"format": tarfile.USTAR_FORMAT} | form)) as tar:
        if index is not False:
            content = json.dumps(listing() if index is None else index).encode()
            tar.addfile(member("index.json", content), io.BytesIO(content))
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info


def listing(name: str = "net/data/net.h5", **other: object) -> dict:
    row = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return {"schema": 1, "files": {name: row | other}}


GOOD = (member("net/data/net.h5", CONTENT), CONTENT)


def refused(entry, cache: Path, path: Path, match: str | None = None) -> None:
    with pytest.raises(WeightsDamaged, match=match) as caught:
        store.import_bundle(path)
    assert len(str(caught.value).splitlines()) <= 3
    assert not store.present(entry)
    assert files(cache) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../evil", tarfile.REGTYPE),
        ("/etc/evil", tarfile.REGTYPE),
        ("net/data/../data/net.h5", tarfile.REGTYPE),
        ("net/data/net.h5", tarfile.SYMTYPE),
        ("net/data/net.h5", tarfile.LNKTYPE),
        ("net/data/net.h5", tarfile.FIFOTYPE),
        ("net/data/net.h5", tarfile.CHRTYPE),
        ("net/data/net.h5", tarfile.DIRTYPE),
    ],
)
def test_members_that_lead_out_are_refused(entry, cache, tmp_path, name, kind):
    refused(entry, cache, write(tmp_path / "bad.tar", (member(name, kind=kind, link="/etc/passwd"), b"")), "holds")


@ANY
@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
def test_any_other_member_name_is_refused(entry, cache, tmp_path, name):
    refused(entry, cache, write(tmp_path / "bad.tar", (member(name, b"x"), b"x"), GOOD))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("name", ["a" * 300, "../" * 100 + "evil"])
def test_names_in_extension_headers_are_refused(entry, cache, tmp_path, form, name):
    refused(entry, cache, write(tmp_path / "bad.tar", (member(name, b"x"), b"x"), format=form), "does not list")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [1 << 40, 1 << 62, 1 << 70, -1, -(1 << 40)])
def test_an_extension_header_of_any_size_is_survived(entry, cache, tmp_path, kind, size):
    info = member("x", kind=kind)
    info.size = size
    (tmp_path / "bad.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    refused(entry, cache, tmp_path / "bad.tar")


@pytest.mark.parametrize("size", [0, len(CONTENT) - 1, len(CONTENT) + 1, 1 << 40, -1, "9", None])
def test_sizes_are_bounded_by_the_index_and_the_manifest(entry, cache, tmp_path, size):
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, index=listing(size=size)))


def test_a_member_longer_than_its_index_says_is_refused(entry, cache, tmp_path):
    more = CONTENT + b"x"
    refused(entry, cache, write(tmp_path / "bad.tar", (member("net/data/net.h5", more), more)), "1284 bytes")


def test_a_sparse_member_is_refused_before_anything_is_written(entry, cache, tmp_path, monkeypatch):
    """Some hundred bytes that say they are terabytes of zeros."""
    size = 5 << 40
    info = member("GNUSparseFile.0/net.h5", b"1\n0\n0\n")
    sparse = {"major": "1", "minor": "0", "name": "net/data/net.h5", "realsize": str(size)}
    info.pax_headers = {f"GNU.sparse.{key}": value for key, value in sparse.items()}
    monkeypatch.setattr("kerazoo.store.bundle.write", None)
    path = write(tmp_path / "bad.tar", (info, b"1\n0\n0\n"), index=listing(size=size), format=tarfile.PAX_FORMAT)
    refused(entry, cache, path)


def test_headers_that_ask_for_headers_without_end_are_refused(entry, cache, tmp_path):
    header = member("x", kind=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "bad.tar").write_bytes(header * 5000 + bytes(1024))
    refused(entry, cache, tmp_path / "bad.tar")


def test_other_weights_than_the_manifest_s_are_refused(entry, cache, tmp_path):
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, index=listing(sha256="0" * 64)), "index says")
    other = CONTENT[::-1]
    refused(entry, cache, write(tmp_path / "bad.tar", (member("net/data/net.h5", other), other)), "sha256")


@pytest.mark.parametrize("index", [False, [], {}, 1, {"files": 3}, {"files": [1]}, {"files": {"a": {}}}, "\ud800"])
def test_an_index_that_cannot_be_read_is_refused(entry, cache, tmp_path, index):
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, index=index))


def test_a_member_twice_is_refused(entry, cache, tmp_path):
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, GOOD), "does not list")


def test_what_the_index_lists_must_be_there(entry, cache, tmp_path):
    refused(entry, cache, write(tmp_path / "bad.tar"), "lacks net/data/net.h5")


def test_unknown_models_are_refused_by_name_before_anything_lands(entry, cache, tmp_path):
    rows = listing()["files"] | listing("later/data/net.h5")["files"] | listing("../net.h5")["files"]
    with pytest.raises(UnknownModel, match="later/data") as caught:
        store.import_bundle(write(tmp_path / "bad.tar", GOOD, index={"files": rows}))
    assert "../net.h5" in str(caught.value)
    assert files(cache) == []


def test_no_bundle_at_all_is_told(entry, cache, tmp_path):
    with pytest.raises(UsageError, match="none.tar"):
        store.import_bundle(tmp_path / "none.tar")
    with pytest.raises(UsageError):
        store.import_bundle(tmp_path)
    for content in (b"", b"\0" * 1024, b"PK\3\4" * 1000):
        (tmp_path / "bad.tar").write_bytes(content)
        refused(entry, cache, tmp_path / "bad.tar")


@ANY
@given(data=st.data())
def test_any_damaged_byte_is_refused_or_without_effect(entry, bundle, monkeypatch, data):
    content = bytearray(bundle.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    lands_or_is_refused(entry, monkeypatch, bytes(content))


@ANY
@given(data=st.data())
def test_any_truncation_is_refused_or_without_effect(entry, bundle, monkeypatch, data):
    content = bundle.read_bytes()
    lands_or_is_refused(entry, monkeypatch, content[: data.draw(st.integers(0, len(content) - 1))])


def lands_or_is_refused(entry, monkeypatch, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        patch.setenv("KERAZOO_HOME", f"{folder}/home")
        path = Path(folder, "all.tar")
        path.write_bytes(content)
        try:
            store.import_bundle(path)
        except KerazooError:
            assert files(Path(folder)) == ["all.tar"]
        else:
            assert store.path_of(entry, entry.file()).read_bytes() == CONTENT


def old_sparse(path: Path, size: int) -> Path:
    """A bundle of some kB whose one member, sparse as GNU tar writes it, declares `size` bytes."""
    content = json.dumps(listing(size=size)).encode()
    info = bytearray(member("net/data/net.h5", kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    info[124:136] = b"%011o\0" % 512
    info[386:410] = b"%011o\0%011o\0" % (size - 512, 512)
    info[483:495] = b"%011o\0" % size
    info[148:156] = b" " * 8
    info[148:156] = b"%06o\0 " % sum(info)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(member("index.json", content), io.BytesIO(content))
    path.write_bytes(path.read_bytes().rstrip(b"\0").ljust(1024, b"\0") + bytes(info) + bytes(512 + 1024))
    return path


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), 1 << 28, 5_700_000_000])
def test_sparse_members_are_refused_before_a_byte_is_written(make, known, cache, tmp_path, monkeypatch, sized, size):
    known(entry := make((tmp_path / "gone.h5").as_uri(), content=CONTENT, sized=sized))
    path = old_sparse(tmp_path / "bad.tar", size)
    with tarfile.open(path) as tar:
        assert [(one.name, one.size, one.issparse()) for one in tar][1] == ("net/data/net.h5", size, True)
    assert path.stat().st_size < 4096

    def fail(*_, **__):
        raise AssertionError("written")

    monkeypatch.setattr("kerazoo.store.bundle.write", fail)
    refused(entry, cache, path)


def test_sparse_members_in_extension_headers_are_refused(entry, cache, tmp_path):
    info, _ = GOOD
    info = tarfile.TarInfo(info.name)
    info.size = len(CONTENT)
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(len(CONTENT)),
                        "GNU.sparse.map": f"0,{len(CONTENT)}"}  # fmt: skip
    refused(entry, cache, write(tmp_path / "bad.tar", (info, CONTENT), format=tarfile.PAX_FORMAT), "no plain file")


def test_a_bundle_is_held_to_the_manifest_and_to_its_own_length(make, known, cache, tmp_path, monkeypatch):
    known(entry := make("file:///gone/net.h5", content=CONTENT, sized=False))
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, index=listing(size=1 << 30)), "is only")
    monkeypatch.setenv("KERAZOO_FETCH_BYTES", "1000")
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD), "KERAZOO_FETCH_BYTES")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_extension_headers_without_end_are_survived(entry, cache, tmp_path, kind):
    info = member("x", kind=kind)
    info.size = 512
    one = info.tobuf(tarfile.GNU_FORMAT) + b"11 path=ab\n".ljust(512, b"\0")
    (tmp_path / "bad.tar").write_bytes(one * 3000 + bytes(1024))
    refused(entry, cache, tmp_path / "bad.tar")


@pytest.mark.parametrize("size", [True, 1283.0, "1283", [1283], {}])
@pytest.mark.parametrize("sha256", ["", "x" * 64, None, 3])
def test_an_index_of_other_types_is_refused(entry, cache, tmp_path, size, sha256):
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, index=listing(size=size)), "index")
    refused(entry, cache, write(tmp_path / "bad.tar", GOOD, index=listing(sha256=sha256)), "index")


def test_a_pipe_is_no_bundle(entry, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no plain file"):
        store.import_bundle(tmp_path / "pipe")
