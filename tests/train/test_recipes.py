"""Each recipe runs from its command to weights that load; on a handful of pictures, for an epoch or two."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


def _recipe(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _data(path: Path, shape: tuple[int, ...]) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 32), ("test", 8)):
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"y_{split}"] = rng.integers(0, 10, count, np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "builder", "params"),
    [
        ("lenet5", "LeNet5", 61_706),
        ("lenet5_1998", "LeNet5_1998", 60_000),
        ("mlp", "MLP", 669_706),
        ("snn", "SNN", 664_074),
    ],
)
def test_digits(
    name: str,
    builder: str,
    params: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from kerazoo import applications, manifest
    from kerazoo.codecs.image import from_preprocessing

    recipe = _recipe(f"{name}_mnist")
    entry = manifest.find(f"{name}:mnist")
    # The network learnt from what `kerazoo predict` will show it.
    assert from_preprocessing(entry.preprocessing) == (recipe.FIT, recipe.NORMALISE)
    assert entry.recipe == f"recipes/{name}_mnist.py"
    assert f"epoch {recipe.EPOCHS}/{recipe.EPOCHS} " in entry.log[-2]
    monkeypatch.setattr(recipe, "EPOCHS", 2)
    monkeypatch.setattr(recipe, "BATCH", 16)
    out = tmp_path / "weights.npz"
    monkeypatch.setattr(sys, "argv", ["recipe", str(_data(tmp_path / "mnist.npz", (28, 28))), str(out)])
    recipe.main()
    said = capsys.readouterr().out
    assert "epoch 2/2" in said and "test accuracy" in said
    assert getattr(applications, builder)(weights=str(out)).count_params() == params


@pytest.mark.slow
def test_resnet20_goes_on_from_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kerazoo.applications import ResNet20

    recipe = _recipe("resnet20_cifar10")
    for name, value in (("BATCH", 16), ("WARM_UP", 1), ("PHASES", ((24, 0, 1), (32, 4, 1)))):
        monkeypatch.setattr(recipe, name, value)
    out = tmp_path / "resnet20.npz"
    monkeypatch.setattr(sys, "argv", ["recipe", str(_data(tmp_path / "cifar10.npz", (32, 32, 3))), str(out)])
    recipe.main()
    first = capsys.readouterr().out
    assert "epoch 1/2 size 24" in first and "epoch 2/2 size 32" in first
    trained = ResNet20(weights=str(out))

    # A longer schedule finds the state of two epochs and runs the third alone.
    monkeypatch.setattr(recipe, "PHASES", ((24, 0, 1), (32, 4, 2)))
    recipe.main()
    second = capsys.readouterr().out
    assert "epoch 3/3" in second and "epoch 2/3" not in second
    moved = ResNet20(weights=str(out))
    assert not np.array_equal(trained.get_weights()[0], moved.get_weights()[0])
