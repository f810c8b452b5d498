"""Attention against the operator of ONNX, whose reference is plain NumPy."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from onnx import helper, reference

from kerazoo.layers import DotProductAttention, DropNet, Earlier, Heads, SinusoidalPositions, Written
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


def test_keys_and_values_may_be_in_heads_already():
    random = np.random.default_rng(1)
    queries, keys, values = (random.normal(0, 1, (2, n, 12)).astype(np.float32) for n in (4, 5, 5))
    seen, attend, heads = random.random((2, 1, 5)) > 0.4, DotProductAttention(3), Heads(3)
    got = attend([queries, heads(keys), heads(values), seen])
    np.testing.assert_array_equal(got, DotProductAttention(3)([queries, keys, values, seen]))


def test_heads_must_share():
    seen = np.ones((1, 2, 2), bool)
    with pytest.raises(ValueError, match="whose last axes 5 heads share"):
        DotProductAttention(5)([np.zeros((1, 2, 12))] * 3 + [seen])
    with pytest.raises(ValueError, match="whose last axes 5 heads share"):
        DotProductAttention(5)([np.zeros((1, 2, 15)), np.zeros((1, 3, 2, 5)), np.zeros((1, 5, 2, 3)), seen])


def test_positions():
    table = sinusoids(7, 6)
    assert table.shape == (7, 6) and table[0].tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(table[5, 2:4], [np.sin(5 / 10_000 ** (1 / 3)), np.cos(5 / 10_000 ** (1 / 3))], rtol=1e-6)
    vectors = np.ones((2, 3, 6), np.float32)
    placed = SinusoidalPositions(7)([vectors, np.array([0, 4])])
    np.testing.assert_allclose(placed[1], np.sqrt(6) + table[4:7], rtol=1e-6)


def test_a_cache_is_written_behind_what_it_holds():
    vectors, count = np.array([[[1, -1], [2, -2]], [[3, -3], [4, -4]]], np.float32), np.array([0, 3])
    new = Heads(2)(vectors)
    written = keras.ops.convert_to_numpy(Written()([np.zeros((2, 2, 4, 1), np.float32), new, count]))
    assert written[:, 0, :, 0].tolist() == [[1, 2, 0, 0], [0, 0, 0, 3]]
    assert (written[:, 1] == -written[:, 0]).all()
    seen = keras.ops.convert_to_numpy(Earlier(4)([vectors, count])).astype(int)
    assert seen.tolist() == [[[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 1], [1, 1, 1, 1]]]


def test_drop_net_takes_one_of_two_or_the_mean():
    first, second = np.full((2, 3), 1.0, np.float32), np.full((2, 3), 3.0, np.float32)
    for rate in (0.0, 0.5, 1.0):
        layer = DropNet(rate, seed=1)
        np.testing.assert_array_equal(layer([first, second]), first * 0 + 2)
        # Drawn once a call: all rows are alike.
        drawn = [np.unique(layer([first, second], training=True)) for _ in range(60)]
        assert all(len(each) == 1 for each in drawn)
        shares = [np.mean([each[0] == value for each in drawn]) for value in (1.0, 2.0, 3.0)]
        np.testing.assert_allclose(shares, [rate / 2, 1 - rate, rate / 2], atol=0.2)
    # The paper's bounds: only the second below half the rate, only the first from the other end.
    edges = [0.0, 0.249, 0.25, 0.749, 0.75, 0.999]
    shares = [float(DropNet(0.5).share(np.float32(edge))) for edge in edges]
    assert shares == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="from 0 to 1"):
        DropNet(1.5)
