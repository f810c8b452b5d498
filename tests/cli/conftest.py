"""A cache that is prepared once, and the command line run within this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kerazoo import cli

MODEL = "lenet5:mnist"
SEVEN = Path(__file__).parents[2] / "examples" / "seven.png"

INTERRUPTIBLE = (
    sys.executable, "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from kerazoo import cli; cli.main()",
)  # fmt: skip
"""The command line as a terminal starts it: in a script's background Ctrl-C is ignored, and that is inherited."""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A KERAZOO_HOME in which the bundled LeNet-5 is ready."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run(
        [sys.executable, "-m", "kerazoo", "predict", str(SEVEN), "-m", MODEL],
        check=True,
        capture_output=True,
        env={**os.environ, "KERAZOO_HOME": str(home), "KERAZOO_OFFLINE": "1"},
    )
    return home


@pytest.fixture
def kerazoo(prepared: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """`kerazoo("predict", ...)` in this process, offline, over the prepared cache."""
    monkeypatch.setenv("KERAZOO_HOME", str(prepared))
    monkeypatch.setenv("KERAZOO_OFFLINE", "1")
    monkeypatch.delenv("KERAZOO_MIRROR", raising=False)

    def run(*arguments: Any) -> Done:
        capfd.readouterr()
        status = cli.run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Done(status, captured.out, captured.err)

    return run
