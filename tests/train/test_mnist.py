"""Training on digits: what was interrupted ends where it would have ended, and the command says what it wants."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerazoo.applications import mlp
from kerazoo.codecs.image import Image, Normalise
from kerazoo.train import mnist

PLAN = mnist.Plan(3, 3, 16, 1e-2, Image(8, 8, channels=1), Normalise("gray", 1 / 255, (0.1,), (0.3,)))


def _build() -> Any:
    return mlp.build(mlp.Config("tiny", (8, 8, 1), classes=10, widths=(12,), dropout=0.3))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Ten kinds of noise, learnt at once."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (10, 9, 9), np.uint8)
    arrays = {}
    for split, count in (("train", 64), ("test", 20)):
        arrays[f"y_{split}"] = rng.integers(0, 10, count).astype(np.uint8)
        arrays[f"x_{split}"] = kinds[arrays[f"y_{split}"]]
    np.savez(tmp_path / "mnist.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "mnist.npz"


def _train(monkeypatch: pytest.MonkeyPatch, digits: Path, out: Path, **options: Any) -> dict[str, np.ndarray]:
    monkeypatch.setattr(sys, "argv", ["recipe", str(digits), str(out)])
    mnist.train("Trains.", PLAN, _build, **options)
    with np.load(out) as arrays:
        return dict(arrays)


def test_goes_on_to_the_same_end(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = _train(monkeypatch, digits, tmp_path / "straight.npz")
    assert capsys.readouterr().out.count("epoch ") == 3

    calls = 0

    def power_cut(*arguments: Any) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 4 * 2 + 2:  # In the midst of the third epoch.
            raise KeyboardInterrupt
        return affine(*arguments)

    affine = mnist.affine
    monkeypatch.setattr(mnist, "affine", power_cut)
    with pytest.raises(KeyboardInterrupt):
        _train(monkeypatch, digits, tmp_path / "cut.npz")
    monkeypatch.setattr(mnist, "affine", affine)
    assert not (tmp_path / "cut.npz").exists()
    capsys.readouterr()
    resumed = _train(monkeypatch, digits, tmp_path / "cut.npz")
    said = capsys.readouterr().out
    assert "epoch 3/3" in said and "epoch 2/3" not in said
    assert straight.keys() == resumed.keys()
    for path, array in straight.items():
        np.testing.assert_array_equal(resumed[path], array, err_msg=path)


def test_the_loss_can_be_another(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss() -> Any:
        return lambda labels, logits: 0.0 * keras.ops.sum(logits)

    kernels = _train(monkeypatch, digits, tmp_path / "out.npz", loss=loss)
    keras.utils.set_random_seed(PLAN.seed)
    for weight in _build().weights:  # Nothing to learn: only weight decay moved them.
        np.testing.assert_allclose(kernels[weight.path], weight.numpy(), rtol=5e-3)


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "--help"])
    with pytest.raises(SystemExit):
        mnist.train("Trains a thing.\n\nAt length.", PLAN, _build)
    said = capsys.readouterr().out
    assert "Trains a thing." in said and "mnist.npz" in said and "At length" not in said
