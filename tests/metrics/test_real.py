"""The shipped weights give the manifest's figures, where the data is at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kerazoo.evaluation import against_card, evaluate, opened

DATA = Path(os.environ.get("KERAZOO_TEST_DATA", "/nowhere"))

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="KERAZOO_TEST_DATA names no folder of data"),
    pytest.mark.slow,
]


@pytest.mark.parametrize(
    ("model", "file", "more"),
    [
        ("lenet5:mnist", "mnist.npz", {"batch": 100}),
        ("vae:mnist", "mnist.npz", {}),
        ("dcgan_28:mnist", "mnist.npz", {}),
        ("gcn_cora:planetoid", "cora.npz", {}),
        ("gcn_citeseer:planetoid", "citeseer.npz", {}),
        ("espcn_x3:t91", "sr_t91_set5.tar", {"only": "Set5/*"}),
        ("unet_slim:membrane", "membrane_isbi2012.tar", {"only": "train/*/2[4-9].png"}),
    ],
)
def test_the_manifests_figures(model: str, file: str, more: dict[str, Any]) -> None:
    predictor = opened(model, "keras", None, lambda line: None)
    report = evaluate(predictor, DATA / file, **more)
    rows = [row for row in against_card(model, report, predictor.task.kind) if row.by == "card"]
    assert rows
    for row in rows:
        # As many digits as the manifest has.
        assert abs(row.difference) < 0.0101, row
