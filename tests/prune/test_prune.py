"""`kerazoo prune`, as a user meets it: from a model to a smaller one that answers, and an account of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kerazoo
from kerazoo import cli, loading
from kerazoo.engines import card as card_
from kerazoo.own.files import load_keras
from kerazoo.prune.graph import kernels
from kerazoo.prune.step import MASK
from tests.prune import networks

LENET = "lenet5:mnist"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four kinds of noise, 8 pixels wide, as an .npz of training and test pictures."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (4, 8, 8, 3))
    arrays: dict[str, Any] = {}
    for part, count in (("train", 128), ("test", 32)):
        labels = rng.integers(0, 4, count)
        arrays[f"x_{part}"] = np.clip(kinds[labels] + rng.normal(0, 30, (count, 8, 8, 3)), 0, 255).astype(np.uint8)
        arrays[f"y_{part}"] = labels
    path = tmp_path_factory.mktemp("data") / "kinds.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def mine(data: Path) -> Path:
    """A file of one's own."""
    path = data.with_name("mine.keras")
    kerazoo.save(networks.residual(), path, labels=list("abcd"), normalise="tf")
    return path


def prune(model: Any, out: Path, *more: str, data: Any = "none") -> int:
    return cli.run(["prune", str(model), "--data", str(data), "-o", str(out), "--no-size", *more])


def told(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def zeros(model: Any, keep: tuple[str, ...] = ("predictions",)) -> float:
    found = [kernel.variable.numpy() for kernel in kernels(model, keep)]
    return sum(int((array == 0).sum()) for array in found) / sum(array.size for array in found)


def test_a_model_of_the_zoo_gets_zeros_and_stays_a_plain_one(tmp_path: Path, capsys: Any) -> None:
    assert prune(LENET, tmp_path / "out", "--sparsity=0.8", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    model = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert zeros(model) == pytest.approx(0.8, abs=1e-4)
    assert report["sparsity"] == pytest.approx(0.8, abs=1e-4)
    params = sum(np.count_nonzero(weight.numpy()) for weight in model.weights)
    assert report["compression ratio"] == pytest.approx(61706 / params, abs=1e-3)
    assert report["theoretical speed-up"] > 1.5
    assert report == told(tmp_path / "out")
    card = card_.of_archive(tmp_path / "out" / "model.keras")
    assert card.training["pruned"]["from"] == LENET
    seven = Path(__file__).parents[2] / "examples" / "seven.png"
    assert loading.load(tmp_path / "out" / "model.keras", "keras")(seven).top(1)[0][0].startswith("7")


def test_channels_really_go_and_the_smaller_file_is_a_model_of_ones_own(mine: Path, tmp_path: Path) -> None:
    assert prune(mine, tmp_path / "out", "--structure=channel", "--sparsity=0.4", "--multiple=4") == 0
    report, path = told(tmp_path / "out"), tmp_path / "out" / "model.keras"
    assert report["multiply-adds"]["after"] <= 0.6 * report["multiply-adds"]["before"]
    assert report["parameters"]["after"] < report["parameters"]["before"]
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    expected = loading.load(path, "keras")(picture)
    (made,) = kerazoo.export(path, to="onnx", path=tmp_path)
    got = loading.load(made.path)(picture)
    assert got.top(4)[0][0] == expected.top(4)[0][0]
    assert Path(made.path).stat().st_size < path.stat().st_size


def test_two_of_four(mine: Path, tmp_path: Path) -> None:
    # The first convolution's 27 weights an output do not divide by four.
    assert prune(mine, tmp_path / "out", "--structure=2:4", "--keep=conv0", "--keep=predictions") == 0
    model = load_keras(tmp_path / "out" / "model.keras")
    assert zeros(model, ("conv0", "predictions")) == 0.5
    assert zeros(model, ("conv1", "conv2", "conv3", "conv4")) < 0.1


@pytest.fixture(scope="module")
def gradual(mine: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gradual") / "out"
    settings = ("--set=batch=16", "--set=rate=0.01", "--set=augment=none", "--epochs=6", "--validation", str(data))
    assert prune(mine, out, "--sparsity=0.75", *settings, data=data) == 0
    return out


@pytest.mark.slow
def test_what_is_trained_on_keeps_its_zeros_and_is_measured_before_and_after(gradual: Path) -> None:
    report = told(gradual)
    assert zeros(load_keras(gradual / "model.keras")) == pytest.approx(0.75, abs=1e-3)
    assert report["schedule"] == "gradual"
    assert report["after"]["accuracy"] > max(0.9, report["before"]["accuracy"])
    rows = (gradual / "log.csv").read_text().splitlines()
    column = rows[0].split(",").index("sparsity")
    course = [float(row.split(",")[column]) for row in rows[1:]]
    assert course == sorted(course)
    assert course[-1] == pytest.approx(0.75, abs=1e-3)
    assert course[0] < 0.7
    with np.load(gradual / "last.npz") as state:
        assert any(name.startswith(f"arrays/{MASK}") for name in state.files)


@pytest.mark.slow
def test_an_interrupted_pruning_goes_on_to_the_same_weights(
    mine: Path, data: Path, gradual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kerazoo.train import run

    settings = ("--set=batch=16", "--set=rate=0.01", "--set=augment=none", "--epochs=6", "--validation", str(data))
    check, steps = run._check, []

    def broken(recipe: Any, state: Any, figures: Any, folder: Any) -> None:
        steps.append(state.epoch)
        if state.epoch == 2:
            raise KeyboardInterrupt
        check(recipe, state, figures, folder)

    monkeypatch.setattr(run, "_check", broken)
    assert prune(mine, tmp_path / "out", "--sparsity=0.75", *settings, data=data) == 130
    assert not (tmp_path / "out" / "model.keras").exists()
    monkeypatch.setattr(run, "_check", check)
    assert prune(mine, tmp_path / "out", "--sparsity=0.75", *settings, data=data) == 2  # Without --resume.
    assert prune(mine, tmp_path / "out", "--sparsity=0.75", "--resume", *settings, data=data) == 0
    one, other = (load_keras(out / "model.keras") for out in (gradual, tmp_path / "out"))
    for left, right in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), atol=2e-3, err_msg=left.path)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["none", "channel"])
def test_gradients_prune_too(structure: str, mine: Path, data: Path, tmp_path: Path) -> None:
    more = ("--method=gradient", f"--structure={structure}", "--sparsity=0.4", "--multiple=4", "--epochs=1")
    assert prune(mine, tmp_path / "out", *more, "--set=augment=none", data=data) == 0
    assert told(tmp_path / "out")["method"] == "gradient"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--sparsity=1.0",), "no share between 0 and 1"),
        (("--sparsity=-0.1",), "no share between 0 and 1"),
        (("--sparsity=nan",), "no share between 0 and 1"),
        ((), "Say how much"),
        (("--sparsity=0.5", "--structure=chanel"), "Did you mean channel?"),
        (("--sparsity=0.8", "--structure=2:4"), "0.5"),
        (("--structure=2:4",), "--keep conv0"),
        (("--sparsity=0.5", "--method=gradient"), "needs data"),
        (("--sparsity=0.5", "--schedule=gradual"), "Use one-shot"),
        (("--sparsity=0.5", "--keep=conv9"), "has no such layer"),
        (("--sparsity=0.99", "--structure=channel"), "can go"),
        (("--sparsity=0.5", "--set", "rate"), "key=value"),
    ],
)
def test_what_does_not_fit_is_said_and_leaves_nothing(
    more: Any, says: str, mine: Path, tmp_path: Path, capsys: Any
) -> None:
    assert prune(mine, tmp_path / "out", *more) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_models_that_cannot_be_pruned_say_why(tmp_path: Path, mine: Path, capsys: Any) -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.DepthwiseConv2D(3, name="dw")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    kerazoo.save(keras.Model(inputs, x, name="none"), tmp_path / "none.keras", labels=list("abc"), normalise="tf")
    assert prune(tmp_path / "none.keras", tmp_path / "out", "--structure=channel", "--sparsity=0.5") == 2
    assert "No channel of none can go" in capsys.readouterr().err
    assert prune("resnet20:nothing", tmp_path / "out", "--sparsity=0.5") == 2
    assert prune(mine, tmp_path / "out", "--sparsity=0.5") == 0
    assert prune(mine, tmp_path / "out", "--sparsity=0.5") == 2
    assert "exists already" in capsys.readouterr().err
