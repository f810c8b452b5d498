"""Attention against the operator of ONNX, whose reference is plain NumPy."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from onnx import helper, reference

from kerazoo.layers import DotProductAttention, Earlier, SinusoidalPositions, Written
from kerazoo.layers.attention import sinusoids


@pytest.mark.parametrize("heads", [1, 3])
def test_attends_as_onnx_does(heads):
    random = np.random.default_rng(0)
    queries, keys, values = (random.normal(0, 1, (2, n, 12)).astype(np.float32) for n in (4, 5, 5))
    seen = random.random((2, 4, 5)) > 0.4
    seen[..., 0] = True
    got = DotProductAttention(heads)([queries, keys, values, seen])
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "qkvy"]
    mask = helper.make_tensor_value_info("m", onnx.TensorProto.BOOL, None)
    node = helper.make_node("Attention", ["q", "k", "v", "m"], ["y"], q_num_heads=heads, kv_num_heads=heads)
    graph = helper.make_graph([node], "attention", [*ports[:3], mask], ports[3:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    feed = {"q": queries, "k": keys, "v": values, "m": seen[:, None]}
    (expected,) = reference.ReferenceEvaluator(model).run(None, feed)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_heads_must_share():
    with pytest.raises(ValueError, match="whose last axes 5 heads share"):
        DotProductAttention(5)([np.zeros((1, 2, 12))] * 3 + [np.ones((1, 2, 2), bool)])


def test_positions():
    table = sinusoids(7, 6)
    assert table.shape == (7, 6) and table[0].tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(table[5, 2:4], [np.sin(5 / 10_000 ** (1 / 3)), np.cos(5 / 10_000 ** (1 / 3))], rtol=1e-6)
    vectors = np.ones((2, 3, 6), np.float32)
    placed = SinusoidalPositions(7)([vectors, np.array([0, 4])])
    np.testing.assert_allclose(placed[1], np.sqrt(6) + table[4:7], rtol=1e-6)


def test_a_cache_is_written_behind_what_it_holds():
    cache, new = np.zeros((2, 4, 1), np.float32), np.array([[[1], [2]], [[3], [4]]], np.float32)
    count = np.array([0, 3])
    written = keras.ops.convert_to_numpy(Written()([cache, new, count]))
    assert written[..., 0].tolist() == [[1, 2, 0, 0], [0, 0, 0, 3]]
    seen = keras.ops.convert_to_numpy(Earlier(4)([new, count])).astype(int)
    assert seen.tolist() == [[[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 1], [1, 1, 1, 1]]]
