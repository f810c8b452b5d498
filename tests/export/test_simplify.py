"""Of a graph that tf2onnx wrote, less is left, and it says the same."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
from onnx import TensorProto, helper, numpy_helper

from kerazoo.export.simplify import simplify

layers = keras.layers


def converted(model: keras.Model) -> Any:
    specs = [tf.TensorSpec(each.shape, each.dtype, each.name) for each in model.inputs]
    run = tf.function(lambda *given: {"out": model(list(given) if len(given) > 1 else given[0])}, input_signature=specs)
    return tf2onnx.convert.from_function(run, specs, opset=18)[0]


def asked(proto: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    given = {
        each.name: rng.normal(size=[side if isinstance(side, int) else 3 for side in each.shape]).astype(np.float32)
        for each in session.get_inputs()
    }
    return session.run(None, given)[0]


def kinds(proto: Any) -> Counter[str]:
    return Counter(node.op_type for node in proto.graph.node)


def same(proto: Any) -> Any:
    """The proto simplified, after it has answered as before."""
    expected, small = asked(proto), copy.deepcopy(proto)
    simplify(small)
    onnx.checker.check_model(small, full_check=True)
    np.testing.assert_allclose(asked(small), expected, rtol=1e-4, atol=1e-5)
    return small


def network(shape: tuple[int | None, ...], *stack: Any) -> keras.Model:
    """Layers one behind the other, with weights that are nowhere 0 or 1."""
    inputs = x = keras.Input(shape, name="x")
    for layer in stack:
        x = layer(x)
    return drawn(keras.Model(inputs, x))


def drawn(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("shape", [(5, 8), (None, 8), (2, 5, 8), (None, None, 8)])
def test_dense_layers_are_one_product_each_and_norms_one_node(shape):
    model = network(shape, layers.Dense(6, "relu"), layers.LayerNormalization(epsilon=1e-3), layers.Dense(4))
    small = kinds(same(converted(model)))
    assert small == {"MatMul": 2, "Add": 2, "Relu": 1, "LayerNormalization": 1}


def test_a_product_of_a_vector_is_left_alone():
    model = network((8,), layers.Dense(6), layers.LayerNormalization())
    assert kinds(same(converted(model))) == {"MatMul": 1, "Add": 1, "LayerNormalization": 1}


@pytest.mark.parametrize(
    "layer",
    [
        layers.LayerNormalization(axis=1),
        layers.LayerNormalization(axis=(1, 2)),
        layers.GroupNormalization(2),
        layers.LayerNormalization(scale=False),
        layers.LayerNormalization(center=False),
    ],
    ids=["another axis", "two axes", "groups", "no scale", "no shift"],
)
def test_what_normalises_otherwise_stays(layer):
    assert not kinds(same(converted(network((6, 8), layer))))["LayerNormalization"]


def test_products_over_two_axes_say_the_same():
    same(converted(network((None, 4, 8), layers.EinsumDense("abcd,cde->abe", (None, 6)))))


def test_attention_says_the_same():
    inputs = keras.Input((None, 8), name="x")
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 4)(inputs, inputs))
    same(converted(model))


def test_what_is_read_twice_is_not_lost():
    inputs = keras.Input((None, 8), name="x")
    product = layers.Dense(8, use_bias=False)(inputs)
    normed = layers.LayerNormalization()(product)
    small = kinds(same(converted(drawn(keras.Model(inputs, product + normed * product)))))
    assert small["MatMul"] == small["LayerNormalization"] == 1


def test_numbers_are_looked_up_at_once():
    proto = converted(drawn(keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(7, 3)])))
    tokens = {proto.graph.input[0].name: np.int32([[0, 6, -1, -7]])}
    before, small = (copy.deepcopy(proto) for _ in range(2))
    simplify(small)
    first, second = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, tokens)[0]
        for each in (before, small)
    )
    np.testing.assert_array_equal(first, second)
    assert kinds(small) == {"Gather": 1}


@pytest.mark.parametrize(
    "change", [{"rows": np.int32(5)}, {"zero": np.float32(1)}], ids=["another step", "another end"]
)
def test_what_only_looks_like_counting_from_the_end_stays(change):
    constants = {"table": np.ones((7, 2), np.float32), "rows": np.int32(7), "zero": np.float32(0), **change}
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Cast", ["i"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Less", ["real", "zero"], ["negative"]),
        helper.make_node("Not", ["negative"], ["positive"]),
        helper.make_node("Cast", ["negative"], ["if"], to=TensorProto.INT32),
        helper.make_node("Cast", ["positive"], ["else"], to=TensorProto.INT32),
        helper.make_node("Add", ["i", "rows"], ["wrapped"]),
        helper.make_node("Mul", ["if", "wrapped"], ["one"]),
        helper.make_node("Mul", ["i", "else"], ["other"]),
        helper.make_node("Add", ["one", "other"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    proto = graph(nodes, constants, [None], {"y": 2})
    whole = graph(nodes, {**constants, "rows": np.int32(7), "zero": np.float32(0)}, [None], {"y": 2})
    before = kinds(proto)
    for each in (proto, whole):
        simplify(each)
    assert kinds(proto) == before
    assert kinds(whole) == {"Cast": 1, "Gather": 1}


@pytest.mark.parametrize(("factor", "fused"), [(np.sqrt(0.5), True), (0.7, False)])
def test_runtimes_know_a_gelu(factor, fused, tmp_path):
    def activation(x):
        return 0.5 * x * (1 + keras.ops.erf(x * np.float32(factor)))

    small = same(converted(network((None, 8), layers.Dense(6), layers.Activation(activation))))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(small.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = kinds(onnx.load(tmp_path / "optimised.onnx"))
    assert bool(run["BiasGelu"] + run["Gelu"]) == fused
    assert bool(run["Erf"]) != fused


def graph(nodes: list[Any], constants: dict[str, Any], shape: list[Any], outputs: dict[str, int]) -> Any:
    made = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * axes) for name, axes in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


MATRIX = np.arange(8, dtype=np.float32).reshape(4, 2)


def product(shape: list[Any], cast: bool = False, **changed: Any) -> Any:
    """What tf2onnx writes for a product of a tensor of three axes, with one thing changed."""
    read = changed.pop("read", None)
    constants = {
        "flat": np.int64([-1, 4]), "matrix": MATRIX, "free": np.int64([0, 1]), "width": np.int64([2]), **changed,
    }  # fmt: skip
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "free"], ["leading"]),
        helper.make_node("Concat", ["leading", "width"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["product"]),
        *[helper.make_node("Cast", ["product"], ["whole"], to=TensorProto.FLOAT)] * cast,
        helper.make_node("Reshape", ["whole" if cast else "product", "shape"], ["y"]),
    ]
    return graph(nodes, constants, shape, {"y": 3} | ({read: 2} if read else {}))


def test_a_product_as_it_is_looked_for():
    assert kinds(same(product([None, 3, 4]))) == {"MatMul": 1}


@pytest.mark.parametrize(
    "proto",
    [
        product([None, 2, 2], free=np.int64([0]), width=np.int64([1, 2])),
        product([None, None, None]),
        product([2, 3, 4], free=np.int64([1, 0])),
        product([None, 3, 4], read="product"),
        product([None, 3, 4], cast=True),
        product([None, 3, 4], flat=np.int64([3, -1]), matrix=np.ones((12, 2), np.float32), free=np.int64([0])),
    ],
    ids=["two axes at once", "unknown sizes", "turned", "read by others", "of another type", "another shape"],
)
def test_what_only_looks_like_a_product_stays(proto):
    before = kinds(proto)
    simplify(proto)
    assert kinds(proto) == before


def test_a_graph_with_graphs_in_it_stays():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["product"], ["inside"])], "then", [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, [None, 2])],
    )  # fmt: skip
    proto = product([None, 3, 4])
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    proto.graph.node.append(helper.make_node("If", ["yes"], ["z"], then_branch=inner, else_branch=inner))
    before = kinds(proto)
    simplify(proto)
    assert kinds(proto) == before
