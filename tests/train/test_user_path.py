"""From a folder of pictures to a server that answers, with no Python written: what docs/training.md prints."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerazoo import cli
from tests import printed

(BLOCK,) = printed.bodies("docs/training.md", "bash")
WAY = ["train", "evaluate", "predict", "export", "predict", "serve", "predict"]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def shades(folder: Path, count: int, seed: int) -> None:
    """Dark pictures and light ones, of mixed sizes and modes."""
    rng = np.random.default_rng(seed)
    for name, light in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(light, 20, (20 + number, 30)), 0, 255).astype(np.uint8)
            picture = Image.fromarray(pixels).convert(("L", "RGB")[number % 2])
            picture.save(folder / name / f"{number}.{'png' if number % 3 else 'jpg'}")


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(3000):
        assert server.poll() is None, server.stderr.read().decode() if server.stderr else ""
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)


@pytest.mark.slow
def test_the_way_from_pictures_to_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shades(tmp_path / "pictures", 8, 0)
    shades(tmp_path / "more-pictures", 4, 1)
    (tmp_path / "picture.png").write_bytes((tmp_path / "more-pictures" / "light" / "1.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "home"))
    commands = [shlex.split(line) for line in BLOCK.strip().splitlines()]
    assert [command[1] for command in commands] == WAY
    rest, server = _free_port(), None
    try:
        for _, *arguments in commands:
            arguments = [each.replace("localhost:8501", f"127.0.0.1:{rest}") for each in arguments]
            if arguments[0] == "serve":
                ports = [f"--rest_api_port={rest}", f"--port={_free_port()}"]
                server = subprocess.Popen(
                    [sys.executable, "-m", "kerazoo", *arguments[:-1], *ports], cwd=tmp_path, env={**os.environ},
                    stdout=subprocess.DEVNULL,
                )  # fmt: skip
                _wait(server, f"http://127.0.0.1:{rest}/readyz")
                continue
            more = ["--json"] if arguments[0] in ("evaluate", "predict") else []
            assert cli.run([*arguments, *more]) == 0, arguments
            said = capsys.readouterr().out
            if arguments[0] == "predict":
                assert json.loads(said)["top"][0]["label"] == "light"
            elif arguments[0] == "evaluate":
                assert json.loads(said)["top-1"] == 100
    finally:
        if server is not None:
            server.terminate()
            server.wait(60)
    assert server is not None
