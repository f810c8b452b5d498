"""Hierarchies of latent variables learn by their lower bound, go on where they stood, and are readjusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerazoo
from kerazoo import registry
from kerazoo.applications import nvae, vae
from kerazoo.assets import Assets
from kerazoo.drawing import noise
from kerazoo.errors import UsageError
from kerazoo.evaluation import evaluate
from kerazoo.layers import hierarchy
from kerazoo.metrics.sample import describing
from kerazoo.train import fit
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.sample import SMOOTH, Bound
from kerazoo.train.readjust import readjust
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.hierarchical import Binarised, LowerBound

TINY = nvae.VARIANTS["nvae_mnist_small"].small


def bars(count: int = 32) -> np.ndarray:
    rng = np.random.default_rng(0)
    pictures = np.zeros((count, 10, 10, 1), np.uint8)
    for picture in pictures:
        at = rng.integers(0, 8)
        picture[at : at + 2] = 255
    return pictures


def recipe(epochs: int) -> Recipe:
    return Recipe(
        name="nvae_mnist_small:bars",
        model=lambda: nvae.build(TINY),
        data=Arrays((bars(),)),
        step=LowerBound(nvae.reconstruction(), warm_up=8, smooth=SMOOTH),
        optimizer=Optimizer("adamax", settings={"epsilon": 1e-3}),
        schedule=Constant(2e-2),
        augment=Binarised(TINY.noise),
        measure=Bound(bars(8), binarised=True),
        every=epochs,
        batch=8,
        epochs=epochs,
    )


@pytest.mark.slow
def test_a_hierarchy_learns_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    quiet: Any = {"say": lambda line: None}
    whole = run(recipe(6), tmp_path / "whole", **quiet)
    history = whole.history
    assert history[-1]["bound"] < 0.7 * history[0]["bound"]
    assert np.isfinite(history[-1]["val_loss"])
    assert history[0]["bound"] > history[0]["divergence"] > 0
    run(recipe(2), tmp_path / "parts", **quiet)
    again = run(recipe(6), tmp_path / "parts", **quiet)
    for one, other in zip(whole.state.model.get_weights(), again.state.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # What it came to describes better than what knows nothing, one bit a pixel.
    bound, redrawn = describing(again.state.model)
    costs, apart = bound(bars(8).astype(np.float32) / 255)
    assert (costs + apart).mean() < 100 * np.log(2)
    assert redrawn(bars(8).astype(np.float32) / 255).shape == (8, 10, 10, 1)
    # And draws, from a file, at a temperature that its statistics are made for.
    kerazoo.save(again.state.model, tmp_path / "bars.keras", task=nvae.tasks(TINY, Assets())["sample"])
    cool = kerazoo.load(str(tmp_path / "bars.keras"), "keras")
    model: Any = cool.network.model  # type: ignore[union-attr]
    readjust(model, 0.5, batches=2)
    kerazoo.save(model, tmp_path / "cool.keras", task=cool.task)
    drawn: Any = [kerazoo.load(str(tmp_path / f"{name}.keras"), "keras")(7) for name in ("bars", "cool")]
    assert drawn[0].picture != drawn[1].picture


def test_statistics_are_those_of_what_is_drawn_at_the_temperature() -> None:
    model = nvae.build(TINY)
    norm = model.get_layer("group0").get_layer("group0_up_bn1")
    encoder = model.get_layer("encoder").get_layer("before1_cell1_bn1").moving_mean.numpy()
    readjust(model, 0.5, batches=2, batch=3)
    combined = model.get_layer("group0").get_layer("group0_combine")
    seen = []
    for seed in range(6):
        first = 0.5 * 1.01 * noise(TINY.noise, seed)[: 3 * 3 * 3].reshape(1, 3, 3, 3)
        start = np.broadcast_to(model.get_layer("start").maps.numpy(), (1, 3, 3, 16))
        seen.append(np.asarray(combined(np.concatenate([start, first], -1))))
    halves = [np.concatenate(part) for part in (seen[:3], seen[3:])]
    np.testing.assert_allclose(norm.moving_mean, np.mean([each.mean((0, 1, 2)) for each in halves], 0), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, np.mean([each.var((0, 1, 2)) for each in halves], 0), rtol=1e-3)
    assert norm.momentum == 0.95
    np.testing.assert_array_equal(model.get_layer("encoder").get_layer("before1_cell1_bn1").moving_mean, encoder)


def test_what_cannot_be_readjusted() -> None:
    with pytest.raises(UsageError, match="no hierarchy"):
        readjust(vae.build(vae.VARIANTS["vae"].config), 0.5)
    model = nvae.build(replace(TINY, groups=(1,)))
    assert hierarchy.is_hierarchy(model)
    for wrong in ({"temperature": 0.0}, {"temperature": 0.5, "batch": 1}, {"temperature": 0.5, "batches": 0}):
        with pytest.raises(UsageError, match="temperature="):
            readjust(model, **wrong)


@pytest.mark.slow
def test_the_command_teaches_it_and_measures_what_it_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = replace(nvae.VARIANTS["nvae_mnist_small"], config=TINY)
    monkeypatch.setitem(registry.variants(), "nvae_mnist_small", (nvae, described))
    np.savez(tmp_path / "bars.npz", x_train=bars(24)[..., 0], x_test=bars(8)[..., 0])
    made = fit.train(
        "nvae_mnist_small",
        tmp_path / "bars.npz",
        tmp_path / "out",
        epochs=1,
        settings={"batch": 8, "optimizer": "adamax"},
        validation=0.25,
        say=lambda line: None,
    )
    assert {"loss", "bound", "divergence", "val_loss"} <= made.history[-1].keys()
    figures = evaluate(str(made.path), tmp_path / "bars.npz", engine="keras").figures
    # Bars are black and white already: both kinds of target are the same.
    assert figures["negative lower bound"] == pytest.approx(figures["negative lower bound, binarised"])
    assert figures["reconstruction"] + figures["divergence"] == pytest.approx(figures["negative lower bound"])
