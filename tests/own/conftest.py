"""Foreign files, made once a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kerazoo import cli
from tests.own import files


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each kind; not to be changed."""
    folder = tmp_path_factory.mktemp("colours")
    files.keras_model().save(folder / "colours.keras")
    files.onnx_model(folder / "colours.onnx")
    files.quantised(folder / "colours.tflite")
    files.hub(folder / "colours")
    return folder


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(files.LABELS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def kerazoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """`kerazoo("card", ...)` in this process and an empty folder, with a cache of its own: (status, out, err)."""
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: Any) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.run([os.fspath(each) if isinstance(each, Path) else str(each) for each in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err and "should not happen" not in captured.err, captured.err
        return status, captured.out, captured.err

    return run
