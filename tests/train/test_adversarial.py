"""Adversarial steps: the losses are the papers', the penalty has its closed form, and a training resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerazoo.applications import cgan, gan
from kerazoo.errors import UsageError
from kerazoo.train import state as state_
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.adversarial import Adversarial, Noised, Pair, slope_penalty

CONFIG = gan.Config(input_shape=(4, 4, 1), latents=3, hidden=8)


def recipe(step: Adversarial, kind: str = "adam", rate: float = 5e-3) -> Recipe:
    pictures = np.zeros((32, 4, 4, 1), np.uint8)
    pictures[:, 1:3, 1:3] = 255
    optimizer = Optimizer(kind, settings={"beta_1": 0.5} if kind == "adam" else {})
    return Recipe(
        "squares",
        Pair(lambda: gan.build(CONFIG)),
        Arrays((pictures,)),
        step,
        {"generator": optimizer, "discriminator": optimizer},
        Constant(rate),
        augment=Noised(3),
        batch=8,
        epochs=2,
    )


def batch(made: Recipe) -> Any:
    return made.augment((made.data.arrays[0][:8],), np.random.default_rng(0), 0)  # type: ignore[misc, attr-defined]


def numbers(model: Any) -> list[np.ndarray]:
    return [weight.numpy().copy() for weight in model.weights]


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_has_its_closed_form(slope: float) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1))
    critic = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs)))
    kernel = np.random.default_rng(0).normal(size=(16, 1)).astype("f")
    critic.layers[-1].kernel.assign(kernel * slope / np.linalg.norm(kernel))
    real, drawn = np.random.default_rng(1).normal(size=(2, 5, 4, 4, 1)).astype("f")
    share = np.random.default_rng(2).random((5, 1, 1, 1), "f")
    assert float(slope_penalty(critic, real, drawn, share)) == pytest.approx((slope - 1) ** 2, abs=1e-5)


def test_losses_before_the_first_step() -> None:
    for objective in ("non_saturating", "wasserstein"):
        made = recipe(Adversarial(objective))
        state = state_.begin(made)
        given = batch(made)
        generator, judge = state.models["generator"], state.models["discriminator"]
        yes, no = (np.asarray(judge(each), np.float64) for each in (given[0], generator(given[1])))
        _, figures = made.step(state, given)
        if objective == "wasserstein":
            expected = no.mean() - yes.mean()
        else:
            expected = np.logaddexp(0, -yes).mean() + np.logaddexp(0, no).mean()
        assert figures["loss"] == pytest.approx(expected, rel=1e-4)
        assert figures["apart"] == pytest.approx(yes.mean() - no.mean(), rel=1e-4)


def test_both_halves_are_told_the_classes_of_the_real_pictures() -> None:
    config, step = cgan.Config(input_shape=(4, 4, 1), latents=3, hidden=8), Adversarial("wasserstein", penalty=10.0)
    made = replace(recipe(step), model=Pair(lambda: cgan.build(config)))
    state, rng = state_.begin(made), np.random.default_rng(0)
    pictures, classes = rng.integers(0, 256, (8, 4, 4, 1), np.uint8), np.arange(8)
    real, first, second, share, told = made.augment((pictures, classes), rng, 0)  # type: ignore[misc]
    assert told.tolist() == classes.tolist() and told.dtype == np.int32
    generator, judge = state.models["generator"], state.models["discriminator"]
    for layer in judge.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    real, first, told = (keras.ops.convert_to_tensor(each) for each in (real, first, told))
    drawn = generator([first, told], training=True)
    yes, no = (np.asarray(judge([each, told]), np.float64).mean() for each in (real, drawn))
    slope = float(slope_penalty(lambda between: judge([between, told]), real, drawn, share))
    state, figures = made.step(state, (real, first, second, share, told))
    assert figures["apart"] == pytest.approx(yes - no, rel=1e-4)
    assert figures["loss"] == pytest.approx(no - yes + 10 * slope, rel=1e-4)
    # The generator's own step comes after, by the critic that was just moved.
    before = generator.get_layer("generator_class").embeddings.numpy()
    made.step(state, (real, first, second, share, told))
    assert not np.array_equal(before[:8], generator.get_layer("generator_class").embeddings.numpy()[:8])
    np.testing.assert_array_equal(before[8:], generator.get_layer("generator_class").embeddings.numpy()[8:])


def test_the_generator_waits_for_its_critic_and_the_average_follows_it() -> None:
    made = recipe(Adversarial("wasserstein", critic=3, clip=0.01, follow=0.9), "rmsprop")
    state = state_.begin(made)
    first = numbers(state.models["generator"])
    for state.index in range(3):
        before = numbers(state.models["generator"])
        state, _ = made.step(state, batch(made))
        moved = any(not np.array_equal(a, b) for a, b in zip(before, numbers(state.models["generator"]), strict=True))
        assert moved == (state.index == 2)
    assert max(np.abs(weight).max() for weight in numbers(state.models["discriminator"])) <= 0.01 + 1e-7
    for old, now, kept in zip(first, numbers(state.models["generator"]), numbers(state.models["average"]), strict=True):
        np.testing.assert_allclose(kept, 0.1 * old + 0.9 * now, atol=1e-6)
    # It forgets what was before the first step sooner than 0.9 would, and then keeps so much.
    for state.index in range(3, 300):
        before = numbers(state.models["average"])
        state, _ = made.step(state, batch(made))
    for old, now, kept in zip(
        before, numbers(state.models["generator"]), numbers(state.models["average"]), strict=True
    ):
        np.testing.assert_allclose(kept, 0.9 * old + 0.1 * now, atol=1e-6)


def test_what_is_drawn_comes_to_look_like_what_is_real() -> None:
    made = recipe(Adversarial(follow=0.5))
    state, real = state_.begin(made), batch(made)[0]

    def apart() -> float:
        return float(np.abs(np.asarray(state.models["average"](batch(made)[1])) - real).mean())

    before = apart()
    for index in range(150):
        drawn = made.augment((made.data.arrays[0][:8],), np.random.default_rng(index), 0)  # type: ignore[misc, attr-defined]
        state, _ = made.step(state, drawn)
    assert apart() < before / 3


@pytest.mark.slow
def test_a_training_resumes_where_it_was(tmp_path: Path) -> None:
    made = recipe(Adversarial("wasserstein", critic=2, penalty=10.0))
    whole = run(made, tmp_path / "whole", say=lambda line: None)
    run(replace(made, epochs=1), tmp_path / "halves", say=lambda line: None)
    again = run(made, tmp_path / "halves", say=lambda line: None)
    assert again.history[-1]["loss"] == whole.history[-1]["loss"]
    for name in ("generator", "discriminator", "average"):
        for a, b in zip(numbers(whole.state.models[name]), numbers(again.state.models[name]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean wasserstein"):
        Adversarial("wassertein")
