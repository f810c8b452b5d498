"""Promises 7.6 and 7.7: tensors on the wire, held against TensorFlow's own reading of them."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerazoo.serve.models import session
from kerazoo.serve.wire import json_tensors, protos, tensors
from kerazoo.serve.wire.status import Status

KINDS = ["<f4", "<f8", "<i4", "u1", "<i2", "i1", "<i8", "?", "<u2", "<f2", "<u4", "<u8", "<c8", "<c16"]
arrays = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


def official(proto):
    """The same bytes as TensorFlow's own message."""
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto.FromString(proto.SerializeToString())


def ours(proto):
    return protos.core("TensorProto").FromString(proto.SerializeToString())


@settings(max_examples=150)
@given(array=arrays, as_content=st.booleans())
def test_round_trip_and_tensorflow_reads_the_same(array, as_content):
    proto = tensors.to_proto(array, as_content)
    np.testing.assert_array_equal(tensors.to_array(proto, "x"), array)
    np.testing.assert_array_equal(tf.make_ndarray(official(proto)), array)
    assert bool(proto.tensor_content) == (as_content and array.size > 0)


@settings(max_examples=100)
@given(array=arrays)
def test_what_tensorflow_writes_is_read(array):
    np.testing.assert_array_equal(tensors.to_array(ours(tf.make_tensor_proto(array)), "x"), array)


@pytest.mark.parametrize("shape", [(), (2,), (2, 1), (0,)])
def test_texts(shape):
    array = np.empty(shape, object)
    array[...] = b"\xff\x00text"
    proto = tensors.to_proto(array)
    assert proto.dtype == 7
    found = tensors.to_array(proto, "x")
    assert found.shape == shape
    assert found.reshape(-1).tolist() == array.reshape(-1).tolist()


def test_bfloat16():
    array = tf.cast([1.5, -2.0], tf.bfloat16).numpy()
    assert tensors.to_array(tensors.to_proto(array), "x").astype(np.float32).tolist() == [1.5, -2.0]


def proto(number, shape, **values):
    made = protos.core("TensorProto")(dtype=number, **values)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (proto(1, [3], float_val=[1, 2]), [1, 2, 2]),
        (proto(1, [2, 2]), [[0, 0], [0, 0]]),
        (proto(1, [1], float_val=[1, 2, 3]), [1]),
        (proto(4, [2], int_val=[300, -1]), [44, 255]),
        (proto(7, [2], string_val=[b"a"]), [b"a", b"a"]),
        (proto(7, [1]), [b""]),
    ],
)
def test_too_few_and_too_many_values(made, expected):
    assert tensors.to_array(made, "x").tolist() == expected


@pytest.mark.parametrize(
    "made",
    [
        proto(1, [2], tensor_content=b"1234567"),
        proto(1, [-1], float_val=[1]),
        proto(0, [1]),
        proto(99, [1]),
        proto(101, [1], float_val=[1]),
    ],
)
def test_what_cannot_be_read(made):
    with pytest.raises(Status, match="^INVALID_ARGUMENT: tensor parsing error: x$"):
        tensors.to_array(made, "x")


def test_a_few_bytes_do_not_take_all_memory():
    with pytest.raises(Status, match="RESOURCE_EXHAUSTED"):
        tensors.to_array(proto(1, [1 << 20, 1 << 20], float_val=[1]), "x")


@pytest.mark.parametrize("kind", ["<f4", "<f8", "<i4", "<i8", "?", "u1"])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 1000, (1 << 16) + 5])
def test_many_numbers_are_what_few_are(kind, count):
    array = (np.arange(count) % 200).astype(kind)
    proto = tensors.to_proto(array)
    assert tensors.to_array(proto, "x").tolist() == array.tolist()
    again = type(proto).FromString(proto.SerializeToString())
    assert again == proto and len(getattr(proto, tensors.DTYPES[proto.dtype].field)) == count


def test_a_single_text_is_answered_whole(tmp_path):
    module = tf.Module()
    said = tf.function(lambda text: {"said": text}, input_signature=[tf.TensorSpec([], tf.string, name="text")])
    tf.saved_model.save(module, str(tmp_path), signatures=said)
    servable = session.load(tmp_path)
    text = np.array(b"a\0b\0", object)
    found = servable.run("serving_default", {"text": text}, ["said"])
    assert found["said"].shape == () and found["said"].item() == b"a\0b\0"
    assert json_tensors.response(found, as_rows=False) == b'{"outputs": "a\\u0000b\\u0000"}'
    assert tensors.to_proto(found["said"]).string_val == [b"a\0b\0"]
    servable.close()
