"""The cache of artefacts: what an interruption or a bad moment leaves never stands in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kerazoo import formats, registry
from kerazoo.errors import GateError, KerazooError
from kerazoo.export import Artefact, convert, golden, prepare
from kerazoo.formats import LITERT, ONNX, SAVED_MODEL, Format
from tests.export.models import tiny

MODEL = "lenet5:mnist"


@pytest.fixture
def checking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Writes artefacts that say how often something was made; formats in `failing` are refused."""
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path))
    asked: list[list[str]] = []
    failing: set[str] = set()

    def checked(model: registry.Model, chosen: Iterable[Format], folder: Path) -> Iterator[Artefact | GateError]:
        chosen = list(chosen)
        asked.append([form.name for form in chosen])
        golden.save({"classify": golden.Golden({}, {}, ())}, folder / "golden.npz")
        for form in chosen:
            if form.name in failing:
                yield GateError(f"no {form.name}")
                continue
            if form.whole:
                (folder / form.file).mkdir()
            (folder / form.file / "saved_model.pb" if form.whole else folder / form.file).write_text(str(len(asked)))
            yield Artefact(form.name, folder / form.file, {})

    monkeypatch.setattr(prepare, "checked", checked)
    monkeypatch.setattr(prepare, "timed", lambda files, goldens: {name: len(name) / 1 for name in files})
    return asked, failing


def silent(line: str) -> None:
    pass


def test_a_bundle_without_its_record_is_made_again(checking: Any) -> None:
    asked, _ = checking
    model = registry.find(MODEL)
    bundle = prepare.artefact(model, SAVED_MODEL, silent)
    (bundle.parent / "prepared.json").unlink()
    assert prepare.artefact(model, SAVED_MODEL, silent) == bundle
    assert (bundle / "saved_model.pb").read_text() == "2"
    assert prepare.artefact(model, SAVED_MODEL, silent) == bundle
    assert len(asked) == 2


@pytest.mark.parametrize(
    "record",
    [
        b"", b"[]", b"{}", b"null", b"\xff", b'{"artefacts": [], "failures": {}}', b"[" * 100_000,
        b'{"artefacts": {"onnx": {"ms": "quick"}}, "failures": {}}',
        b'{"artefacts": {"fly": {}}, "failures": {"onnx": 1}}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_made_again(checking: Any, record: bytes) -> None:
    asked, _ = checking
    model = registry.find(MODEL)
    prepare.fastest(model, silent)
    (prepare.folder_of(model) / "prepared.json").write_bytes(record)
    assert prepare.fastest(model, silent)[0] is ONNX
    assert len(asked) == 2


def test_an_artefact_that_is_gone_is_made_again(checking: Any) -> None:
    asked, _ = checking
    model = registry.find(MODEL)
    prepare.fastest(model, silent)[1].unlink()
    assert prepare.fastest(model, silent)[1].is_file()
    assert len(asked) == 2


def test_what_one_format_cannot_hold_runs_on_another(checking: Any) -> None:
    asked, failing = checking
    failing |= {"onnx"}
    model = registry.find(MODEL)
    assert prepare.fastest(model, silent)[0] is LITERT
    with pytest.raises(GateError, match="no onnx"):
        prepare.artefact(model, ONNX, silent)
    assert asked == [["onnx", "litert"]], "a failure is remembered"


def test_where_neither_can_be_had_the_bundle_answers(checking: Any) -> None:
    _, failing = checking
    failing |= {"onnx", "litert"}
    model = registry.find(MODEL)
    form, path = prepare.fastest(model, silent)
    assert form is SAVED_MODEL and path.is_dir()
    failing |= {"savedmodel"}
    other = registry.find("snn:mnist")
    with pytest.raises(GateError, match="no onnx\nno litert\nno savedmodel"):
        prepare.fastest(other, silent)


def test_other_versions_of_the_converters_try_again(checking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, failing = checking
    failing |= {"onnx"}
    model = registry.find(MODEL)
    prepare.fastest(model, silent)
    failing.clear()
    assert prepare.fastest(model, silent)[0] is LITERT
    monkeypatch.setattr(prepare, "_versions", lambda: {"tf2onnx": "99"})
    assert prepare.fastest(model, silent)[0] is ONNX
    assert len(asked) == 2


@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"), MemoryError(), RuntimeError("wrapped: No space left on device"),
], ids=["disk", "memory", "wrapped"])  # fmt: skip
def test_a_full_disk_is_not_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setitem(convert._WRITERS, ONNX.engine, full)
    with pytest.raises(KerazooError, match="could not be converted to onnx now"):
        convert.convert(tiny(), [ONNX.name], tmp_path)

    def cannot(*_: Any) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setitem(convert._WRITERS, ONNX.engine, cannot)
    assert convert.convert(tiny(), [ONNX.name], tmp_path) == {"onnx": "RuntimeError: no such operation"}


def test_every_format_has_its_own_file() -> None:
    assert len({form.file for form in formats.FORMATS.values()}) == len(formats.FORMATS)


PARENT = """
import sys
from kerazoo.export import run
run("endless", sys.argv[1])
"""

ENDLESS = """
import os, pathlib, time

def main(path):
    pathlib.Path(path).write_text(str(os.getpid()))
    time.sleep(300)
"""


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    told = tmp_path / "pid"
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen([sys.executable, "-c", PARENT, told], env={**os.environ, "PYTHONPATH": path}) as parent:
        deadline = time.monotonic() + 60
        while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        worker = int(told.read_text())
        parent.send_signal(signal.SIGKILL)
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc").is_dir()
    return state != "Z"


def test_the_record_is_json_for_people(checking: Any) -> None:
    model = registry.find(MODEL)
    prepare.fastest(model, silent)
    record = json.loads((prepare.folder_of(model) / "prepared.json").read_text())
    assert record == {"artefacts": {"onnx": {"ms": 4.0}, "litert": {"ms": 6.0}}, "failures": {}}
