"""The blocks of docs/pruning.md run as they are printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kerazoo
from tests import printed
from tests.prune import networks

BLOCKS = printed.blocks("docs/pruning.md")


@pytest.mark.slow
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, light in (("dark", 40), ("light", 200), ("red", 90), ("wild", 128)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(light, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    (tmp_path / "picture.png").write_bytes((tmp_path / "pictures" / "light" / "0.png").read_bytes())
    kerazoo.save(networks.residual(), tmp_path / "mine.keras", labels=["dark", "light", "red", "wild"], normalise="tf")
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    for kind, body in BLOCKS:
        printed.run(kind, body, tmp_path)
    assert (tmp_path / "narrow" / "model.keras").exists()
    assert (tmp_path / "learned" / "model.int8.onnx").exists()
