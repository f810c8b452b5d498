import errno
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo import http, store
from kerazoo.errors import KerazooError, UsageError, WeightsDamaged, WeightsUnavailable
from kerazoo.store import receipts

CONTENT = bytes(range(256)) * 40
ANY = settings(max_examples=25)


def leftovers(cache: Path) -> list[str]:
    """Names of files that are neither weights nor their receipts and locks."""
    return [path.name for path in cache.rglob("*.part*")]


def test_a_file_is_fetched_once(site, make, cache):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    assert not store.present(entry)
    path = store.fetch(entry)
    assert path == cache / "weights" / "net" / "data" / "net.h5"
    assert path.read_bytes() == CONTENT
    assert store.present(entry)
    assert store.fetch(entry) == path
    assert site.requests == [("net.h5", None)]
    assert not leftovers(cache)


@pytest.mark.parametrize("kind", ["md5", "sha384"])
def test_other_published_hashes_are_held(site, make, kind):
    site.files["net.h5"] = CONTENT
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT, kind=kind)).read_bytes() == CONTENT
    site.files["other.h5"] = CONTENT[::-1]
    with pytest.raises(WeightsDamaged, match=kind):
        store.fetch(make(f"{site.url}/other.h5", content=CONTENT, kind=kind, file="other.h5"))


def test_stderr_stays_quiet_where_it_is_no_terminal(site, make, capfd):
    site.files["net.h5"] = CONTENT
    store.fetch(make(f"{site.url}/net.h5", content=CONTENT))
    assert capfd.readouterr() == ("", "")


def test_a_bar_is_drawn_on_a_terminal(site, make, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    site.files["net.h5"] = CONTENT
    store.fetch(make(f"{site.url}/net.h5", content=CONTENT))
    out, err = capsys.readouterr()
    assert out == ""
    assert "net.h5" in err


@pytest.mark.parametrize("sized", [True, False])
@ANY
@given(have=st.integers(1, len(CONTENT)))
def test_any_split_resumes_to_the_same_bytes(site, make, monkeypatch, sized, have):
    site.files["net.h5"] = CONTENT
    site.requests.clear()
    entry = make(f"{site.url}/net.h5", content=CONTENT, sized=sized)
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        patch.setenv("KERAZOO_HOME", folder)
        target = store.path_of(entry, entry.file())
        target.parent.mkdir(parents=True)
        target.with_name("net.h5.part").write_bytes(CONTENT[:have])
        assert store.fetch(entry).read_bytes() == CONTENT
    whole = have == len(CONTENT) and sized
    assert site.requests == ([] if whole else [("net.h5", f"bytes={have}-")])


def put_part(entry, content: bytes) -> Path:
    target = store.path_of(entry, entry.file())
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_bytes(content)
    return part


def test_a_server_that_ignores_the_range_starts_over(site, make, cache):
    site.files["net.h5"], site.ranges = CONTENT, False
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    put_part(entry, CONTENT[:100])
    assert store.fetch(entry).read_bytes() == CONTENT
    assert site.requests == [("net.h5", "bytes=100-")]


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("stale", [b"x" * 100, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
def test_a_part_of_another_version_is_thrown_away(site, make, cache, stale, sized):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT, sized=sized)
    put_part(entry, stale)
    assert store.fetch(entry).read_bytes() == CONTENT
    assert site.requests[-1] == ("net.h5", None)
    assert not leftovers(cache)


def test_a_server_that_answers_another_range_is_left(site, make):
    site.files["net.h5"], site.first_byte = CONTENT, 7
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    put_part(entry, CONTENT[:100])
    with pytest.raises(WeightsUnavailable, match="another range"):
        store.fetch(entry)


def test_a_body_that_breaks_off_is_resumed(site, make, cache):
    site.files["net.h5"], site.cuts = CONTENT, [1000, 2000]
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT)).read_bytes() == CONTENT
    assert site.requests == [("net.h5", None), ("net.h5", "bytes=1000-"), ("net.h5", "bytes=3000-")]


def test_a_body_that_breaks_off_without_ranges_leaves_nothing(site, make, cache):
    site.files["net.h5"], site.cuts, site.ranges = CONTENT, [1000], False
    with pytest.raises(WeightsUnavailable, match="broke off after 1000 of 10240 bytes"):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT))
    assert not leftovers(cache)


def test_a_server_that_never_gets_further_is_left_with_what_it_sent(site, make, cache):
    site.files["net.h5"], site.cuts = CONTENT, [1000, 0]
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    with pytest.raises(WeightsUnavailable):
        store.fetch(entry)
    assert leftovers(cache) == ["net.h5.part"]
    assert not store.present(entry)
    assert store.fetch(entry).read_bytes() == CONTENT


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"x", CONTENT + b"x", CONTENT[:-1], b"<html>"])
def test_wrong_bytes_are_refused(site, make, cache, sent, sized):
    site.files["net.h5"] = sent
    with pytest.raises(WeightsDamaged) as caught:
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT, sized=sized))
    if not sized:
        assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
        assert hashlib.sha256(sent).hexdigest() in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
    assert not leftovers(cache)
    assert not list(cache.rglob("net.h5"))


@ANY
@given(at=st.integers(0, len(CONTENT) - 1), bit=st.integers(0, 7))
def test_any_damaged_byte_is_refused(make, monkeypatch, at, bit):
    wrong = bytearray(CONTENT)
    wrong[at] ^= 1 << bit
    entry = make("file:///nowhere", content=CONTENT)
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patch:
        patch.setenv("KERAZOO_HOME", f"{folder}/home")
        patch.setenv("KERAZOO_MIRROR", folder)
        Path(folder, "net.h5").write_bytes(wrong)
        with pytest.raises(WeightsDamaged):
            store.fetch(entry)
        assert not store.present(entry)


def test_the_next_address_is_tried(site, make):
    site.files["good.h5"] = CONTENT
    site.files["wrong.h5"] = CONTENT[::-1]
    entry = make(*(f"{site.url}/{name}" for name in ("absent.h5", "wrong.h5", "good.h5")), content=CONTENT)
    assert store.fetch(entry).read_bytes() == CONTENT
    assert [name for name, _ in site.requests] == ["absent.h5", "wrong.h5", "good.h5"]


def test_the_error_says_what_to_do_in_three_lines(site, make, cache):
    with pytest.raises(WeightsUnavailable) as caught:
        store.fetch(make(f"{site.url}/net.h5?token=secret", content=CONTENT))
    message = str(caught.value)
    assert len(message.splitlines()) == 3
    assert "net:data: net.h5 is not in the cache" in message
    assert "HTTP 404 Not Found" in message
    assert "KERAZOO_MIRROR" in message
    assert "cache import" in message
    assert "secret" not in message


def test_a_server_that_falls_silent_is_left(site, make, monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.2)
    site.files["net.h5"], site.delay = CONTENT, 1.0
    begin = time.monotonic()
    with pytest.raises(WeightsUnavailable, match="no answer in time"):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT))
    assert time.monotonic() - begin < 1.0


def test_name_resolution_that_hangs_is_left(make, monkeypatch, site):
    release = threading.Event()

    def hang(*_):
        release.wait(10)
        raise socket.gaierror("too late")

    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    begin = time.monotonic()
    try:
        with pytest.raises(WeightsUnavailable, match="no connection within 0.2 s"):
            store.fetch(make("https://weights.example/net.h5", content=CONTENT))
        assert time.monotonic() - begin < 2.0
    finally:
        release.set()


def test_the_wait_for_all_addresses_of_a_name_is_bounded_together(make, monkeypatch, site):
    # Addresses of a block for documentation: nothing answers, whether packets are dropped or refused.
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.3)
    places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"192.0.2.{n}", 80)) for n in range(1, 4)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: places)
    begin = time.monotonic()
    with pytest.raises(WeightsUnavailable):
        store.fetch(make("http://weights.example/net.h5", content=CONTENT))
    assert time.monotonic() - begin < 1.0


def test_no_network_is_told(make, monkeypatch, site):
    def fail(*_):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(WeightsUnavailable, match="name cannot be resolved"):
        store.fetch(make("https://weights.example/net.h5", content=CONTENT))


@pytest.mark.parametrize("word", ["1", "true", "YES"])
def test_offline_never_touches_the_network(site, make, monkeypatch, cache, tmp_path, word):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    monkeypatch.setenv("KERAZOO_OFFLINE", word)
    monkeypatch.setenv("KERAZOO_MIRROR", site.url)
    with pytest.raises(WeightsUnavailable, match="KERAZOO_OFFLINE") as caught:
        store.fetch(entry)
    assert len(str(caught.value).splitlines()) <= 3
    assert not cache.exists()
    monkeypatch.setenv("KERAZOO_MIRROR", str(tmp_path))
    (tmp_path / "net.h5").write_bytes(CONTENT)
    assert store.fetch(entry).read_bytes() == CONTENT
    assert not site.requests


def test_the_mirror_is_asked_first(site, make, monkeypatch, tmp_path):
    site.files["net.h5"] = CONTENT
    entry = make("http://127.0.0.1:9/real.h5", content=CONTENT)
    monkeypatch.setenv("KERAZOO_MIRROR", site.url + "/deep/")
    store.fetch(entry)
    assert site.requests == [("net.h5", None)]


@pytest.mark.parametrize("as_uri", [True, False])
def test_a_mirror_folder_is_asked_first_and_left_where_it_lacks_the_file(site, make, monkeypatch, tmp_path, as_uri):
    site.files["net.h5"] = CONTENT
    folder = tmp_path / "a folder %20"
    folder.mkdir()
    monkeypatch.setenv("KERAZOO_MIRROR", folder.as_uri() if as_uri else str(folder))
    (folder / "one.h5").write_bytes(CONTENT)
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT, file="one.h5", name="net:one")).is_file()
    assert not site.requests
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT)).is_file()
    assert site.requests == [("net.h5", None)]


def test_other_schemes_are_refused(make, monkeypatch):
    monkeypatch.setenv("KERAZOO_MIRROR", "ftp://example.com/x")
    with pytest.raises(UsageError, match="ftp"):
        store.fetch(make("http://127.0.0.1:9/net.h5", content=CONTENT))


def test_redirects_lead_to_http_only(site, make, tmp_path):
    site.files["net.h5"] = CONTENT
    (tmp_path / "net.h5").write_bytes(CONTENT)
    site.redirects = {"out.h5": f"{site.url}/net.h5", "in.h5": (tmp_path / "net.h5").as_uri(), "ftp.h5": "ftp://a/b"}
    assert store.fetch(make(f"{site.url}/out.h5", content=CONTENT)).is_file()
    for name in ("in.h5", "ftp.h5"):
        with pytest.raises(WeightsUnavailable):
            store.fetch(make(f"{site.url}/{name}", content=CONTENT, name="net:other"))


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class Full(io.FileIO):
    """A file on a full disk."""

    write = no_space


def full(path: Path, mode: str) -> io.BufferedWriter:
    return io.BufferedWriter(Full(path, mode[0]), 1 << 20)


def test_a_full_disk_is_told_and_nothing_stays(site, make, cache, monkeypatch):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    ordinary = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, **_: (full if mode in ("wb", "ab") else ordinary)(path, mode))
        with pytest.raises(KerazooError, match=r"10,240 bytes are needed .*weights"):
            store.fetch(entry)
    assert not leftovers(cache)
    assert not store.present(entry)
    with monkeypatch.context() as patch:
        # Some file systems find out only when the bytes are forced to the disk.
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(KerazooError, match="disk is full"):
            store.fetch(entry)
    assert not leftovers(cache)


def test_a_home_that_cannot_be_written_is_told(site, make, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "file"))
    with pytest.raises(KerazooError, match="KERAZOO_HOME"):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT))


def interrupt(done: int, total: int | None) -> None:
    if done:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("ranges", "kind"), [(True, "sha256"), (False, "sha256"), (True, None)])
def test_ctrl_c_leaves_only_what_can_be_resumed(site, make, cache, ranges, kind):
    site.files["net.h5"], site.ranges = CONTENT, ranges
    entry = make(f"{site.url}/net.h5", content=CONTENT, kind=kind)
    with pytest.raises(KeyboardInterrupt):
        store.fetch(entry, progress=interrupt)
    assert leftovers(cache) == (["net.h5.part"] if ranges and kind else [])
    assert not store.present(entry)
    assert store.fetch(entry).read_bytes() == CONTENT
    assert not leftovers(cache)


def test_progress_is_told(site, make):
    site.files["net.h5"] = CONTENT
    seen = []
    store.fetch(make(f"{site.url}/net.h5", content=CONTENT), progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_without_a_published_hash_the_first_one_is_recorded_and_held(site, make, capsys):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT, kind=None, sized=False)
    path = store.fetch(entry)
    note = capsys.readouterr().err
    assert note.count("\n") == 1
    assert "no hash was published" in note
    assert hashlib.sha256(CONTENT).hexdigest() in note
    store.fetch(entry)
    assert capsys.readouterr().err == ""
    path.write_bytes(CONTENT[::-1])
    assert not store.present(entry)
    assert store.fetch(entry).read_bytes() == CONTENT
    path.unlink()
    site.files["net.h5"] = CONTENT[::-1]
    with pytest.raises(WeightsDamaged, match=r"trusted was .*\n.*--trust-new net:data"):
        store.fetch(entry)


def test_without_a_published_hash_a_known_size_is_held(site, make):
    site.files["net.h5"] = CONTENT + b"x"
    with pytest.raises(WeightsDamaged, match="more than the expected 10240 bytes"):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT, kind=None))


def test_without_hash_and_length_a_source_is_not_believed(site, make):
    site.files["net.h5"], site.length = CONTENT, False
    with pytest.raises(WeightsUnavailable, match="how long"):
        store.fetch(make(f"{site.url}/net.h5", content=CONTENT, kind=None, sized=False))
    assert store.fetch(make(f"{site.url}/net.h5", content=CONTENT, sized=False)).is_file()


def test_a_file_is_hashed_once_and_again_when_touched(site, make, monkeypatch):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    path = store.fetch(entry)
    hashed = []
    ordinary = receipts.digest
    monkeypatch.setattr(receipts, "digest", lambda path, kind: hashed.append(path) or ordinary(path, kind))
    store.fetch(entry)
    assert hashed == []
    os.utime(path, (1, 1))
    assert store.fetch(entry) == path
    assert store.fetch(entry) == path
    assert hashed == [path]


def test_a_receipt_that_cannot_be_read_only_costs_a_hashing(site, make):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    path = store.fetch(entry)
    for junk in ("", "[]", "{", '{"size": "x"}'):
        path.with_name("net.h5.receipt.json").write_text(junk)
        assert store.fetch(entry) == path


def test_a_file_put_there_by_hand_is_verified(make, cache):
    entry = make("http://127.0.0.1:9/net.h5", content=CONTENT)
    path = store.path_of(entry, entry.file())
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert store.fetch(entry) == path


def test_a_damaged_file_is_fetched_again_or_told(site, make, monkeypatch, capsys):
    site.files["net.h5"] = CONTENT
    entry = make(f"{site.url}/net.h5", content=CONTENT)
    path = store.fetch(entry)
    path.write_bytes(CONTENT[:-1])
    monkeypatch.setenv("KERAZOO_OFFLINE", "1")
    for _ in range(2):
        with pytest.raises(WeightsDamaged, match="damaged"):
            store.fetch(entry)
    monkeypatch.delenv("KERAZOO_OFFLINE")
    capsys.readouterr()
    assert store.fetch(entry).read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err


def test_files_of_the_package_are_never_fetched(make, cache):
    content = Path(store.path_of(e := make("package:labels/mnist.txt"), e.file())).read_bytes()
    entry = make("package:labels/mnist.txt", content=content)
    assert store.fetch(entry).read_bytes() == content
    assert store.present(entry)
    with pytest.raises(WeightsDamaged, match="reinstall"):
        store.fetch(make("package:labels/mnist.txt", content=b"other"))
    with pytest.raises(WeightsUnavailable, match="reinstall"):
        store.fetch(make("package:labels/none.txt", content=b"other"))
    assert not cache.exists()


FETCHER = """
import sys
from kerazoo import http, store
from kerazoo.manifest import Entry, File
url, value, size = sys.argv[1:]
file = File("net.h5", "full", (url,), "sha256", value, int(size), "keras_h5")
print(store.fetch(Entry("net:data", (file,), "", "", None, {})))
"""


def test_two_processes_end_with_one_file_and_one_download(site, make, cache):
    site.files["net.h5"], site.delay = CONTENT, 0.3
    value = hashlib.sha256(CONTENT).hexdigest()
    command = [sys.executable, "-c", FETCHER, f"{site.url}/net.h5", value, str(len(CONTENT))]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].strip() for process in both]
    assert answers == [str(cache / "weights" / "net" / "data" / "net.h5")] * 2
    assert Path(answers[0]).read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_importing_touches_neither_disk_nor_heavy_packages(tmp_path):
    code = (
        "import sys, kerazoo.store, kerazoo.assets, kerazoo.manifest, kerazoo.cli.fetch, kerazoo.cli.cache\n"
        "print([name for name in ('tensorflow', 'keras', 'numpy', 'urllib.request', 'rich.progress', 'filelock',\n"
        "                         'platformdirs', 'tarfile', 'ssl', 'urllib3') if name in sys.modules])"
    )
    environment = os.environ | {"KERAZOO_HOME": str(tmp_path / "none")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert not (tmp_path / "none").exists()
