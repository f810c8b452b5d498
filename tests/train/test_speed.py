"""The faster form of a step is the same step; which is fastest is measured once, and kept."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.errors import UsageError
from kerazoo.train import quick
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.quick import COMPUTES, quickened
from kerazoo.train.run import run
from kerazoo.train.steps.supervised import Supervised, computed
from kerazoo.train.unfold import unfold
from tests.train.common import adversarial, classifier, values


def maps(**options: Any) -> Any:
    """A network with batch normalisation of maps, one of them within another network."""
    layers = keras.layers
    inner_in = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, name="inner_conv")(inner_in)
    inner = keras.Model(inner_in, layers.BatchNormalization(name="inner_bn", **options)(x), name="inner")
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(3, 3, use_bias=False, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(momentum=0.7, name="bn", **options)(x))
    x = layers.GlobalAveragePooling2D(name="pool")(inner(x))
    return keras.Model(inputs, layers.Dense(4, name="predictions")(x), name="maps")


def stepped(model: Any, quickly: bool, pictures: np.ndarray, frozen: bool = False) -> list[np.ndarray]:
    """Output, gradients and statistics of one step, run as a graph."""
    if frozen:
        model.get_layer("bn").trainable = False

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            if quickly:
                with quickened(model):
                    output = model(pictures, training=True)
            else:
                output = model(pictures, training=True)
            loss = tf.reduce_mean(cross_entropy(np.arange(len(pictures)) % 4, output))
        return [output, *tape.gradient(loss, model.trainable_variables)]

    return [np.asarray(array) for array in step()] + [each.numpy() for each in model.non_trainable_variables]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"axis": 1}])
def test_fused_normalisation_is_that_of_keras(options: dict[str, Any]) -> None:
    model, other = maps(**options), maps(**options)
    other.set_weights(model.get_weights())
    pictures = np.random.default_rng(0).normal(2, 3, (12, 8, 8, 1)).astype(np.float32)
    for frozen in (False, True):
        for one, fused in zip(
            stepped(model, False, pictures, frozen), stepped(other, True, pictures, frozen), strict=True
        ):
            np.testing.assert_allclose(fused, one, rtol=2e-4, atol=2e-5)


def test_it_is_fused_and_the_network_is_left_as_it_was() -> None:
    model = maps()

    def operations(quickly: bool) -> set[str]:
        def call(pictures: Any) -> Any:
            if not quickly:
                return model(pictures, training=True)
            with quickened(model, "mixed_bfloat16"):
                return model(pictures, training=True)

        graph = tf.function(call).get_concrete_function(tf.TensorSpec((2, 8, 8, 1))).graph
        return {operation.type for operation in graph.get_operations()}

    assert "FusedBatchNormV3" not in operations(False)
    assert "FusedBatchNormV3" in operations(True)
    config = model.to_json()
    with pytest.raises(ZeroDivisionError), quickened(model, "mixed_bfloat16"):
        assert model.get_layer("conv").compute_dtype == "bfloat16"
        raise ZeroDivisionError
    assert model.to_json() == config
    assert model.get_layer("conv").compute_dtype == "float32"
    assert "call" not in vars(model.get_layer("bn"))


def compute(word: str, say: Any = None, **changes: Any) -> Any:
    return classifier(step=Supervised(cross_entropy, 1, {"accuracy": accuracy}, None, word, say), **changes)


def same(one: Any, other: Any) -> None:
    for a, b in zip(values(one), values(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("word", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)])
def test_the_measured_choice_is_told_kept_and_gone_on_with(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    measured = quick.fastest

    def found(*arguments: Any) -> Any:
        tried.append(word)
        return word, measured(*arguments)[1]

    monkeypatch.setattr("kerazoo.train.steps.supervised.fastest", found)
    lines: list[str] = []
    chosen = compute("fastest", lines.append)
    step = Supervised.__call__
    calls = []

    def cut(self: Any, state: Any, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, state, batch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Supervised, "__call__", cut)
        run(chosen, tmp_path / "cut", say=lines.append)
    resumed = run(chosen, tmp_path / "cut", say=lines.append)
    assert tried == [word], "it is measured once"
    told = [line for line in lines if line.startswith("compute: ")]
    assert len(told) == 1 and told[0].startswith(f"compute: {word} (float32 ") and "bfloat16 " in told[0]
    # Measuring changes nothing: it ends as if the choice had been named.
    same(resumed.state, run(compute(word), tmp_path / "named", say=lines.append).state)


def test_the_fastest_is_the_one_that_took_least() -> None:
    import time

    weight = keras.Variable(np.zeros(2, np.float32))

    def make(way: Any) -> Any:
        def step(batch: Any) -> Any:
            weight.assign_add(batch)
            until = time.process_time() + (0.002 if way == COMPUTES["bfloat16"] else 0.03)
            while time.process_time() < until:
                pass
            return {"loss": 0.0}

        return step

    word, took = quick.fastest(make, [weight], [np.ones(2, np.float32)])
    assert word == "bfloat16" and took["bfloat16"] < took["float32"]
    assert "xla" not in took or tf.config.list_logical_devices("GPU")
    np.testing.assert_array_equal(weight.numpy(), 0)


def test_half_precision_learns_and_leaves_full_precision(tmp_path: Path) -> None:
    done = run(compute("bfloat16", model=maps_of_six, epochs=20), tmp_path, say=lambda line: None)
    assert done.history[-1]["loss"] < 0.5 * done.history[0]["loss"]
    assert {variable.dtype for variable in done.state.model.variables} <= {"float32", "uint32", "int64"}
    assert "bfloat16" not in done.state.model.to_json()


def maps_of_six() -> Any:
    layers = keras.layers
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(8, 3, name="conv")(inputs)
    x = layers.Flatten(name="flat")(layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(x)))
    return keras.Model(inputs, layers.Dense(4, name="predictions")(x))


def test_a_way_that_there_is_not_is_told() -> None:
    with pytest.raises(UsageError, match="bfloat16"):
        compute("float16")
    assert computed(classifier(), "bfloat16").step.compute == "bfloat16"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="Adversarial"):
        computed(adversarial(), "bfloat16")


def test_folded_normalisation_is_unfolded_without_another_answer() -> None:
    model, rng = maps_of_six(), np.random.default_rng(0)
    folded = [np.ones(8), rng.normal(0, 3, 8), np.zeros(8), np.full(8, 1 - 1e-3)]
    pictures = rng.normal(1, 2, (64, 6, 6, 1)).astype(np.float32)
    model.get_layer("bn").set_weights(folded)
    before, trained = (np.asarray(model(pictures, training=training)) for training in (False, True))
    assert np.abs(trained - before).max() > 0.1 * np.abs(before).max(), "folded, it trains as another network"
    model.get_layer("bn").set_weights(folded)  # Training it moved the statistics.
    assert unfold(model, pictures) == ["bn"]
    for training in (False, True):
        np.testing.assert_allclose(np.asarray(model(pictures, training=training)), before, rtol=1e-3, atol=1e-4)
    assert unfold(model, pictures) == [], "there is nothing left to unfold"


def test_fresh_normalisation_is_not_folded() -> None:
    model = maps()
    assert unfold(model, np.zeros((4, 8, 8, 1), np.float32)) == []
