"""The blocks of docs/training.md run as they are printed; the first, which ends at a server, in test_user_path.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import printed
from tests.train.test_jobs import source

BLOCKS = [(kind, body) for kind, body in printed.blocks("docs/training.md") if kind != "bash"]


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
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    for kind, body in BLOCKS:
        done = printed.run(kind, body, tmp_path)
        if "predict" in body:
            assert "light" in done.stdout
    assert (tmp_path / "out" / "model.keras").exists()
