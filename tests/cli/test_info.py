"""What `kerazoo info` says of files, and how the help of the commands over the cache looks."""

import hashlib
import json
import sys

import pytest
from click.testing import CliRunner

from kerazoo import manifest, store
from kerazoo.cli.cache import cache
from kerazoo.cli.fetch import fetch
from kerazoo.cli.info import info
from kerazoo.manifest import Entry, File

CONTENT = b"weights"


@pytest.fixture
def held(tmp_path, monkeypatch):
    """Lets LeNet-5 have one file, of which a hash of this kind was published; fetches it if asked."""
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAZOO_MIRROR", str(tmp_path))
    (tmp_path / "net.h5").write_bytes(CONTENT)

    def build(kind, size=7, fetched=True) -> str:
        value = hashlib.new(kind.removesuffix("_prefix"), CONTENT).hexdigest() if kind else None
        value = value[:8] if kind == "sha256_prefix" else value
        file = File("net.h5", "full", ("https://127.0.0.1:9/net.h5",), kind, value, size, "keras_h5")
        entry = Entry("lenet5:mnist", (file,), "Apache-2.0", "a test", None, {})
        monkeypatch.setattr(manifest, "load", lambda: {entry.name: entry})
        if fetched:
            store.fetch(entry)
        done = CliRunner().invoke(info, ["lenet5:mnist"])
        assert done.exit_code == 0
        return done.stdout

    return build


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sha256", "sha256 published: "),
        ("sha384", "sha384 published: "),
        ("sha256_prefix", "sha256 prefix published: "),
        ("md5", "md5 published: "),
        (None, "no hash published\n"),
    ],
)
def test_what_holds_a_file_is_said(held, kind, words):
    before, after = held(kind, fetched=False), held(kind)
    assert words in before
    assert words in after
    trusted = f": sha256 {hashlib.sha256(CONTENT).hexdigest()}\n"
    pinned = kind in ("sha256", "sha384")
    assert ("the sha256 of the first fetch will be trusted" in before) is not pinned
    assert ("trusted at first fetch on 2" in after and trusted in after) is not pinned
    row = json.loads(CliRunner().invoke(info, ["lenet5:mnist", "--json"]).stdout)["files"][0]
    assert (row["trusted"] is None) is pinned


@pytest.mark.parametrize(("size", "piped", "seen"), [(7, "7 bytes", "7 bytes"), (12_345, "12,345 bytes", "12.3 kB")])
def test_sizes_are_for_people_on_a_terminal_and_exact_elsewhere(held, monkeypatch, capsys, size, piped, seen):
    assert f"(full, {piped})" in held(None, size, fetched=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    info.main(["lenet5:mnist"], standalone_mode=False)
    assert f"(full, {seen})" in capsys.readouterr().out


def test_the_cache_is_listed_with_sizes_for_people_on_a_terminal(held, monkeypatch, capsys):
    held("sha256")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cache.main(["list"], standalone_mode=False)
    assert capsys.readouterr().out == "lenet5:mnist\tnet.h5\t7 bytes\n"


@pytest.mark.parametrize(
    "command", [fetch, info, cache, *cache.commands.values()], ids=lambda command: command.name or ""
)
def test_help_fits_a_terminal_and_has_examples(command):
    name = command.name if command.name in ("fetch", "info", "cache") else f"cache {command.name}"
    settings = {"terminal_width": 80, "max_content_width": 80}
    text = CliRunner().invoke(command, ["--help"], **settings).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert f"\n  kerazoo {name}" in text or name == "cache path"


def test_a_failure_among_others_is_told_harmlessly(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    done = CliRunner().invoke(fetch, ["a\x1b[31m", "b\x1b[31m"])
    assert "\x1b" not in done.stderr


def test_a_file_says_how_a_picture_is_made_to_fit(tmp_path):
    import keras

    import kerazoo

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    kerazoo.save(model, tmp_path / "mine.keras", labels=["cat", "dog"])
    shown = CliRunner().invoke(info, [str(tmp_path / "mine.keras")]).stdout
    assert (
        "'height': 8, 'width': 8, 'channels': 3, 'resize': None, 'interpolation': 'bilinear', 'fill': 'crop'" in shown
    )
    assert kerazoo.info(tmp_path / "mine.keras")["picture"]["height"] == 8
