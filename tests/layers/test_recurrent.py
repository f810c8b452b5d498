"""Recurrent units are those of ONNX's operators, of Keras' layers, and of no loop where there is one step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from kerazoo.layers import Recurrent
from kerazoo.layers.recurrent import KINDS

BATCH, STEPS, WIDTH, UNITS = 3, 7, 5, 4
ORDER = {"rnn": [0], "lstm": [0, 3, 1, 2], "peephole_lstm": [0, 3, 1, 2], "gru": [0, 1, 2]}
"""ONNX's products, as places among Keras'."""


def made(kind: str, seed: int = 0) -> tuple[Recurrent, np.ndarray, list[np.ndarray]]:
    """A layer with weights of every size, an input, and states that are not zero."""
    rng, layer = np.random.default_rng(seed), Recurrent(UNITS, kind)
    states = [rng.normal(size=(BATCH, UNITS)).astype(np.float32) for _ in range(KINDS[kind][1])]
    x = rng.normal(size=(BATCH, STEPS, WIDTH)).astype(np.float32)
    layer([x, *states])
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer, x, states


def by_onnx(layer: Recurrent, x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs [batch, n, units], and the states after them, by the operator's plain NumPy reading."""
    kernel, recurrent, bias, *peephole = (np.asarray(weight) for weight in layer.weights)
    order, kind = ORDER[layer.kind], layer.kind

    def laid(matrix: np.ndarray) -> np.ndarray:
        pieces = np.split(matrix, len(order), -1)
        return np.concatenate([pieces[place] for place in order], -1)

    inner, outer = laid(bias) if kind == "gru" else (laid(bias), np.zeros_like(bias))
    feed = {"X": x.transpose(1, 0, 2), "W": laid(kernel).T[None], "R": laid(recurrent).T[None]}
    feed |= {"B": np.concatenate([inner, outer])[None], "H": states[0][None]}
    names = ["X", "W", "R", "B", "", "H"]
    if len(states) > 1:
        feed["C"], names = states[1][None], [*names, "C"]
    if peephole:
        feed["P"], names = peephole[0][[0, 2, 1]].reshape(1, -1), [*names, "P"]
    operator = {"rnn": "RNN", "gru": "GRU"}.get(kind, "LSTM")
    more: dict[str, Any] = {"linear_before_reset": 1} if kind == "gru" else {}
    outputs = ["Y", "H_", "C_"][: 1 + len(states)]
    node = onnx.helper.make_node(operator, names, outputs, hidden_size=UNITS, **more)
    kinds = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in feed]
    found = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    graph = onnx.helper.make_graph([node], "cell", kinds, found)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    given = {name: value.astype(np.float32) for name, value in feed.items()}
    whole, *last = map(np.asarray, ReferenceEvaluator(model).run(None, given))
    return [whole[:, 0].transpose(1, 0, 2), *(state[0] for state in last)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_operator_of_onnx(kind: str) -> None:
    layer, x, states = made(kind)
    for mine, theirs in zip(layer([x, *states]), by_onnx(layer, x, states), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_one_by_one_are_all_at_once(kind: str) -> None:
    layer, x, states = made(kind, 1)
    whole, *last = layer([x, *states])
    for step in range(STEPS):
        output, *states = layer([x[:, step : step + 1], *states])
        np.testing.assert_allclose(output[:, 0], whole[:, step], rtol=0, atol=1e-6)
    for mine, theirs in zip(states, last, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "cell"), [("rnn", keras.layers.SimpleRNN), ("lstm", keras.layers.LSTM), ("gru", keras.layers.GRU)]
)
def test_weights_of_keras_layers_fit(kind: str, cell: type[keras.Layer]) -> None:
    rng, theirs = np.random.default_rng(2), cell(UNITS, return_sequences=True)
    x = rng.normal(size=(BATCH, STEPS, WIDTH)).astype(np.float32)
    expected = theirs(x)
    mine = Recurrent(UNITS, kind)
    zeros = [np.zeros((BATCH, UNITS), np.float32)] * KINDS[kind][1]
    mine([x, *zeros])
    # Both begin with the same biases.
    np.testing.assert_array_equal(mine.weights[2], theirs.weights[2])
    mine.set_weights(theirs.get_weights())
    np.testing.assert_allclose(mine([x, *zeros])[0], expected, rtol=0, atol=1e-6)


def test_peepholes_are_three_vectors() -> None:
    plain, seeing = made("lstm")[0], made("peephole_lstm")[0]
    assert seeing.count_params() == plain.count_params() + 3 * UNITS


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="known are rnn, lstm, peephole_lstm, gru"):
        Recurrent(4, "qrnn")
    with pytest.raises(ValueError, match="its input and 2 states"):
        Recurrent(4).build([(None, 2, 3), (None, 4)])
