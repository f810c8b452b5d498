"""The blocks of docs/evaluating.md run as they are printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerazoo import metrics
from tests import printed
from tests.metrics.stubs import folder, png

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluating.md").read_text(encoding="utf-8")
BLOCKS = printed.blocks("docs/evaluating.md")


def test_every_kind_has_its_row() -> None:
    for kind in metrics.kinds():
        figures = metrics.of(kind).FIGURES
        rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind}`")]
        assert rows, kind
        names = {"ECE": "calibration error", "pixel error": "pixel accuracy and error", "NSDR": "NSDR"}
        for name in figures:
            told = names.get(name, name.replace("bicubic ", "")).replace("mean IoU", "mean intersection over union")
            if name not in ("reconstruction", "divergence"):  # "its two parts"
                assert told in rows[0], (kind, name)


@pytest.mark.slow
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    seven = (ROOT / "examples" / "seven.png").read_bytes()
    rough = Image.fromarray(rng.integers(0, 255, (9, 12, 3)).astype(np.uint8)).resize((96, 72))
    cell = rng.integers(0, 255, (64, 64))
    folder(tmp_path, {
        "digits/7/seven.png": seven, "digits/7/again.png": seven,
        "pictures/held/a.png": png(np.asarray(rough)), "pictures/b.png": b"is not looked at",
        "cells/images/a.png": png(cell), "cells/masks/a.png": png(255 * (cell > 99)),
    })  # fmt: skip
    np.savez(
        tmp_path / "graph.npz", features=rng.integers(0, 2, (12, 1433)), edges=rng.integers(0, 12, (20, 2)),
        labels=rng.integers(0, 7, 12),
    )  # fmt: skip
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    for kind, body in BLOCKS:
        done = printed.run(kind, body, tmp_path)
        if "lenet5" in body and kind == "sh":
            assert "top-1 100.00 %" in done.stdout and "of 2 pictures" in done.stdout
        if "--json" in body:
            assert json.loads(done.stdout)["count"] == 12
        if "espcn" in body:
            assert "of 1 pictures" in done.stdout
        if "unet" in body:
            assert "The masks are black and white: 0 is membrane, 255 is cell" in done.stderr
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "confusion.png", "reliability.png", "precision_recall.png",
    }  # fmt: skip
