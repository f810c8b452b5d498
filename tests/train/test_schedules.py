"""Learning rates over time, as Keras optimisers take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerazoo.train.rates import CycledSGD, Lines, Triangles
from kerazoo.train.schedules import OneCycle, Optimizer, Steps, Triangular


def rates(schedule: Any, steps: int, epochs: int) -> np.ndarray:
    rate = schedule.rate(steps, epochs)
    return np.array([float(rate(step)) for step in range(steps * epochs)])


@given(st.floats(1e-5, 1e-2), st.floats(1.5, 100), st.integers(1, 50), st.sampled_from([1.0, 0.5]), st.integers(0, 400))
def test_triangles_are_the_papers_formula(low: float, factor: float, half: int, fall: float, step: int) -> None:
    high = low * factor
    cycle = np.floor(1 + step / (2 * half))
    x = np.abs(step / half - 2 * cycle + 1)
    wanted = low + (high - low) * max(0, 1 - x) * fall ** (cycle - 1)
    assert float(Triangles(low, high, half, fall)(step)) == pytest.approx(wanted, rel=1e-4)


def test_triangular_rates_rise_for_so_many_epochs() -> None:
    found = rates(Triangular(0.1, 0.5, half=2), steps=10, epochs=8)
    assert (found.argmax(), found[0], found[40]) == (20, pytest.approx(0.1, rel=1e-4), pytest.approx(0.1, rel=1e-4))
    assert found.max() == pytest.approx(0.5) and found[60] == pytest.approx(0.5)


def test_one_cycle_goes_up_down_and_far_below_and_momentum_the_other_way() -> None:
    schedule = OneCycle(1.0)
    found = rates(schedule, steps=10, epochs=10)
    top = int(found.argmax())
    assert 43 <= top <= 46 and found[top] == pytest.approx(1.0, abs=0.02)
    assert found[0] == pytest.approx(0.1, rel=1e-4) and found[-1] == pytest.approx(0.001, rel=1e-3)
    assert (np.diff(found[:top]) > 0).all() and (np.diff(found[top:]) < 1e-6).all()
    momenta = np.array([float(schedule.rate(10, 10).momenta(step)) for step in range(100)])
    assert momenta[0] == pytest.approx(0.95) and momenta[-1] == pytest.approx(0.95)
    assert abs(momenta.argmin() - top) <= 1 and momenta.min() == pytest.approx(0.85, abs=0.005)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.integers(0, 100))
def test_lines_are_numpys_interpolation(values: list[float], step: int) -> None:
    places = [10.0 * number for number in range(len(values))]
    assert float(Lines(places, values)(step)) == pytest.approx(np.interp(step, places, values), rel=1e-4)


def test_steps_fall_where_they_say() -> None:
    found = rates(Steps(1.0), steps=10, epochs=4)
    assert [found[0], found[20], found[21], found[31]] == pytest.approx([1, 1, 0.1, 0.01])


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_momentum_that_stays_is_keras_sgd(nesterov: bool) -> None:
    weights = [keras.Variable(np.ones(3, np.float32)) for _ in range(2)]
    constant = Lines((0, 10), (0.1, 0.02), Lines((0, 10), (0.9, 0.9)))
    ours, theirs = CycledSGD(constant, nesterov=nesterov), keras.optimizers.SGD(constant, 0.9, nesterov)
    rng = np.random.default_rng(0)
    for _ in range(5):
        slope = rng.normal(size=3).astype(np.float32)
        for optimizer, weight in zip((ours, theirs), weights, strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(slope)], [weight])
    np.testing.assert_allclose(weights[0].numpy(), weights[1].numpy(), rtol=1e-5)


def test_a_momentum_that_goes_along_changes_the_way() -> None:
    weight = keras.Variable(np.zeros(1, np.float32))
    # Its first step at momentum 0, its second at 1.
    optimizer = CycledSGD(Lines((0, 1), (1.0, 1.0), Lines((0, 1), (0.0, 1.0))))
    places = []
    for slope in (1.0, 0.0):
        optimizer.apply([keras.ops.convert_to_tensor(np.array([slope], np.float32))], [weight])
        places.append(float(weight.numpy()[0]))
    assert places == [-1.0, -2.0]


def test_a_plain_keras_script_compiles_saves_and_goes_on(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="line")])
    model.compile(CycledSGD(OneCycle(0.1).rate(4, 3), weight_decay=1e-4), "mse")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(32, 2)).astype(np.float32)
    heights = points @ np.array([[2.0], [-1.0]], np.float32)
    history = model.fit(points, heights, batch_size=8, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    model.save(tmp_path / "model.keras")
    again: Any = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, CycledSGD)
    assert float(again.optimizer.momenta(0)) == pytest.approx(0.95)
    again.fit(points, heights, batch_size=8, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        (Optimizer("sgd", settings={"momentum": 0.9}), "CycledSGD"),
        (Optimizer("sgd"), "SGD"),
        (Optimizer("adamw", 1e-2), "AdamW"),
    ],
)
def test_only_an_sgd_with_momentum_has_it_cycled(optimizer: Optimizer, kind: str) -> None:
    made = optimizer.build(OneCycle(0.1).rate(10, 2))
    assert type(made).__name__ == kind
    assert float(made.learning_rate) == pytest.approx(0.01)
