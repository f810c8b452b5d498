"""`kerazoo doctor`: a sound installation is called sound, and each fault is named with its remedy."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from kerazoo import cli, doctor, manifest, packages, store
from kerazoo.doctor import NOTE, OK, WRONG, Finding


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variables of whoever runs the tests, a cache of its own, and runtimes that begin at once."""
    for name in ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS", "KERAZOO_MIRROR", "KERAZOO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "RUNTIMES", dict.fromkeys(doctor.RUNTIMES, "print(1.0, 'CPU')"))
    monkeypatch.setattr(doctor, "LEAST_DISK", 0)
    monkeypatch.setattr(doctor, "LEAST_MEMORY", 0)
    yield


def _those(state: str) -> list[Finding]:
    return [found for found in doctor.findings() if found.state == state]


def test_this_installation_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor"]) == 0
    told = capsys.readouterr().out
    # A path is whole, so that it can be copied.
    assert all(len(line) <= 80 or "/" in line.split()[-1] for line in told.splitlines()), told
    assert "wrong" not in told
    for name in [Requirement(row).name for row in packages.requirements()]:
        assert f"{name} {importlib.metadata.version(name)}" in " ".join(told.split()), name
    assert cli.run(["doctor", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"kerazoo", "cache", "weights", "runtime onnxruntime", "runtime keras"} <= {row["what"] for row in rows}
    assert not (store.home()).exists()


@pytest.mark.slow
def test_every_runtime_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert [doctor._runtime(name).state for name in doctor.RUNTIMES] == [OK] * len(doctor.RUNTIMES)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "signal 4"),
        ("raise ImportError('libfoo.so.1: cannot open')", "libfoo.so.1"),
        ("import sys; sys.exit(3)", "without a word"),
    ],
)
def test_a_runtime_that_does_not_begin(code: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.RUNTIMES, "onnxruntime", code)
    (found,) = _those(WRONG)
    assert found.what == "runtime onnxruntime" and told in found.found and found.remedy
    assert cli.run(["doctor"]) == 1


def test_a_runtime_that_never_begins() -> None:
    def slow(*arguments: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("python", options["timeout"])

    assert doctor._runtime("keras", slow).state == WRONG


def test_packages_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            return "1.2.0"
        if name in ("tensorflow", "pillow"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.21.0" if name == "tensorflow-cpu" else known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {each.what: each for each in _those(WRONG)}
    assert found.keys() == {"onnxruntime", "pillow", "tensorflow-cpu"}
    assert "1.2.0" in found["onnxruntime"].found and "pip install 'onnxruntime>=" in found["onnxruntime"].remedy
    assert any("tensorflow not installed" in each.found for each in _those(NOTE))


def test_a_damaged_file_and_a_begun_one_in_the_cache() -> None:
    entry = next(entry for entry in manifest.load().values() if not entry.files[0].packaged and entry.files[0].size)
    path = store.path_of(entry, entry.files[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0" * 100)
    path.with_name("other.h5.part").write_bytes(b"\0")
    (damaged,) = _those(WRONG)
    assert entry.files[0].name in damaged.found and damaged.remedy == f"kerazoo fetch {entry.name}"
    assert "interrupted" in _those(NOTE)[-1].found


@pytest.mark.parametrize("where", ["file", "nobody"])
def test_a_cache_that_cannot_be(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "file") if where == "file" else "~nobody-here-99/x")
    assert [found.what for found in _those(WRONG)][:1] == ["cache"]


def test_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 1 << 60)
    monkeypatch.setattr(doctor, "_free_memory", lambda: 5)
    monkeypatch.setattr(doctor, "LEAST_MEMORY", 6)
    assert {found.what for found in _those(WRONG)} == {"cache", "memory"}


def test_a_clock_in_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert [found.what for found in _those(WRONG)] == ["clock"]


def test_proxies_without_their_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:se@cret@proxy.example:3128")
    monkeypatch.setenv("http_proxy", "::::")
    monkeypatch.setenv("KERAZOO_MIRROR", "https://me:secret@mirror.example/weights")
    rows = [found for found in doctor.findings() if found.what == "network"]
    assert "cret" not in " ".join(str(row) for row in rows)
    assert any("http://proxy.example:3128" in row.found for row in rows)
    assert [row.found for row in rows if row.state == WRONG] == ["http_proxy :::: is no address"]


@pytest.mark.parametrize(
    ("name", "value"), [("KERAS_BACKEND", "no_such_backend"), ("KERAS_BACKEND", "../x"), ("TF_USE_LEGACY_KERAS", "1")]
)
def test_variables_that_break_keras(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert [found.what for found in _those(WRONG)] == [name]


def test_what_is_told_cannot_steer_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(doctor.RUNTIMES, "ai_edge_litert", "import sys; sys.exit('\\x1b[2J gone')")
    assert cli.run(["doctor"]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_the_disk_is_asked_where_the_cache_will_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage(path))
    list(doctor._cache())
    assert asked == [tmp_path]
