"""The blocks of docs/training.md run as they are printed; the first, which ends at a server, in test_user_path.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.test_jobs import source

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = [
    (kind, body)
    for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if kind != "bash"
]


@pytest.mark.slow
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, light in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(light, 20, (24, 24)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    (tmp_path / "picture.png").write_bytes((tmp_path / "pictures" / "light" / "0.png").read_bytes())
    for kind, name in (("segment", "cells"), ("redraw", "photographs")):
        source(kind, tmp_path / name, 6)
    for kind, name in (("sample", "digits.npz"), ("nodes", "graph.npz")):
        (made,) = source(kind, tmp_path / kind)
        Path(made).rename(tmp_path / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "KERAZOO_HOME": str(tmp_path / "home")}
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    for kind, body in BLOCKS:
        command = ["sh", "-ec", body] if kind == "sh" else [sys.executable, "-c", body]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{body}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        if "predict" in body:
            assert "light" in done.stdout
    assert (tmp_path / "out" / "model.keras").exists()
