"""Safetensors, ONNX and Caffe: read from files made by their descriptions or own libraries."""

import json
import struct

import numpy as np
import pytest

from kerazoo import manifest, weights
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import READERS, read
from tests.weights import files
from tests.weights.common import ARRAYS, RANDOM, refused, same

# Safetensors.


def test_safetensors(tmp_path):
    files.safetensors(tmp_path / "model", ARRAYS)
    kind, found = read(tmp_path / "model")
    assert kind == "safetensors"
    same(found, ARRAYS)
    assert weights.NAMING[kind] == "torch"


def test_safetensors_of_other_types(tmp_path):
    arrays = {
        "half": np.array([1.5, -2], "<f2"),
        "double": np.array([0.1, 1e300]),
        "brain": np.array([0x3FC0, 0xC040], "<u2"),
        "steps": np.array(2**40),
        "odd": np.array([1, 2, 3], "u1"),
        "after": np.arange(4, dtype="f"),
        "none": np.zeros((0, 3), "f"),
    }
    files.safetensors(tmp_path / "model", arrays, {"brain": "BF16"})
    _, found = read(tmp_path / "model")
    expected = arrays | {"brain": np.array([1.5, -3], "f"), "double": np.array([np.float32(0.1), np.inf])}
    same(found, expected)
    assert all(found[name].dtype == np.float32 for name in ("half", "double", "brain", "after"))
    assert all(array.flags.aligned for array in found.values())


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("rows", "words"),
    {
        "overlap": ({"a": ROW, "b": ROW}, "comes next"),
        "gap": ({"a": ROW | {"data_offsets": [4, 12]}}, "comes next"),
        "backwards": ({"a": ROW | {"data_offsets": [8, 0]}}, "comes next"),
        "too short": ({"a": ROW | {"data_offsets": [0, 4], "shape": [1]}}, "8 follow the table"),
        "too long": ({"a": ROW | {"data_offsets": [0, 1 << 50], "shape": [1 << 48]}}, "8 follow the table"),
        "shape": ({"a": ROW | {"shape": [3]}}, "should take 12 bytes"),
        "huge": ({"a": ROW | {"shape": [1 << 62, 1 << 62]}}, "should take"),
        "negative": ({"a": ROW | {"shape": [-1, -2]}}, "negative"),
        "rank": ({"a": ROW | {"shape": [1] * 40 + [2]}}, "rank 41"),
        "float shape": ({"a": ROW | {"shape": [2.0]}}, "does not say what a is"),
        "true shape": ({"a": ROW | {"shape": [True, 2]}}, "does not say what a is"),
        "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, "does not say what a is"),
        "more": ({"a": ROW | {"path": "/etc/passwd"}}, "does not say what a is"),
        "offsets": ({"a": ROW | {"data_offsets": [0, 4, 8]}}, "where a lies"),
        "text": ({"a": "b"}, "does not say what a is"),
        "nameless": ({"": ROW}, "0 letters"),
        "long name": ({"n" * 2000: ROW}, "2000 letters"),
    }.values(),
)
def test_safetensors_whose_table_is_wrong(rows, words, tmp_path):
    files.safetensors(tmp_path / "model", {"a": np.ones(2, "f")}, table=json.dumps(rows).encode())
    refused(tmp_path / "model", match=words)


def test_safetensors_that_cannot_be_used(tmp_path):
    path = tmp_path / "model"
    files.safetensors(path, {"a": np.ones(2, "f")}, {"a": "F8_E4M3"})
    refused(path, UsageError, "F8_E4M3")
    files.safetensors(path, {})
    refused(path, UsageError, "no tensors")
    row = json.dumps(ROW).encode()
    files.safetensors(path, {"a": np.ones(2, "f")}, table=b'{"a": ' + row + b', "a": ' + row + b"}")
    refused(path, match="same name")
    files.safetensors(path, {"a": np.ones(2, "f")}, table=b'{"a": ' * 100_000)
    refused(path, match="recursion")
    path.write_bytes(struct.pack("<Q", 4_000_000) + b'{"a": ')
    refused(path, match="more than there are")
    path.write_bytes(struct.pack("<Q", 99_000_000) + b'{"a": ')
    refused(path, match="more than any network needs")
    path.write_bytes(struct.pack("<Q", 101_000_000) + b'{"a": ')
    refused(path, UsageError, "not a weight file")


# ONNX.


def test_onnx(tmp_path):
    arrays = ARRAYS | {"steps": np.array([1, -2]), "half": np.array([1.5, -2], "f2"), "double": np.array([0.1])}
    used = ["half", "conv/biases", "conv/weights", "half"]
    files.onnx(tmp_path / "net", arrays, used)
    kind, found = read(tmp_path / "net")
    assert kind == "onnx"
    order = ["half", "conv/biases", "conv/weights", "Netz/größe", "steps", "double"]
    same(found, {name: arrays[name].astype("f") if arrays[name].dtype.kind == "f" else arrays[name] for name in order})
    assert found["half"].dtype == found["double"].dtype == np.float32


def test_onnx_numbers_that_are_not_raw(tmp_path):
    from onnx import TensorProto as T
    from onnx import helper

    cases = {
        "float": (T.FLOAT, [1.5, -2]),
        "double": (T.DOUBLE, [1.5, -2]),
        "half": (T.FLOAT16, [1.5, -2]),
        "brain": (T.BFLOAT16, [1.5, -2]),
        "small": (T.INT8, [-3, 4]),
        "byte": (T.UINT8, [3, 250]),
        "whole": (T.INT32, [-3, 4]),
        "long": (T.INT64, [-3, 2**40]),
        "unsigned": (T.UINT32, [3, 2**31]),
        "flag": (T.BOOL, [True, False]),
    }

    def fill(model):
        model.graph.initializer.extend(helper.make_tensor(name, kind, [2], v) for name, (kind, v) in cases.items())
        model.graph.initializer.append(helper.make_tensor("text", T.STRING, [1], [b"a"]))

    files.onnx(tmp_path / "net", {}, change=fill)
    same(read(tmp_path / "net")[1], {name: np.array(values) for name, (_, values) in cases.items()})


def changed(**values):
    def change(model):
        for name, value in values.items():
            holder = model.graph.initializer[0]
            if name == "dims":
                holder.dims[:] = value
            else:
                setattr(holder, name, value)

    return change


def outside(model):
    from onnx import TensorProto

    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    for key, value in {"location": "../secret", "length": "8"}.items():
        tensor.external_data.add(key=key, value=value)


def listed(model):
    changed(dims=[1 << 40])(model)
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].float_data.append(1)


ONNX = {
    "outside": (outside, UsageError, "in a file beside it"),
    "shape": (changed(dims=[3]), WeightsDamaged, "should take 3 numbers, it has 2"),
    "huge": (changed(dims=[1 << 40]), WeightsDamaged, "should take"),
    "huge list": (listed, WeightsDamaged, "it has 1"),
    "negative": (changed(dims=[-1, -2]), WeightsDamaged, "negative"),
    "rank": (changed(dims=[1] * 40), WeightsDamaged, "rank 40"),
    "type": (changed(data_type=14), UsageError, "type 14"),
    "no type": (changed(data_type=0), UsageError, "type 0"),
    "twice": (lambda model: model.graph.initializer.append(model.graph.initializer[0]), WeightsDamaged, "same name"),
    "nameless": (changed(name=""), WeightsDamaged, "0 letters"),
    "sparse": (lambda model: model.graph.sparse_initializer.add(), UsageError, "sparse"),
    "none": (lambda model: model.graph.ClearField("initializer"), UsageError, "no tensors"),
    "segment": (lambda model: setattr(model.graph.initializer[0].segment, "end", 1), UsageError, "in parts"),
}


@pytest.mark.parametrize(("change", "error", "words"), ONNX.values(), ids=ONNX)
def test_onnx_that_makes_no_sense(change, error, words, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(8))
    (tmp_path / "in").mkdir()
    files.onnx(tmp_path / "in" / "net", {"a": np.ones(2, "f")}, ["a"], change)
    refused(tmp_path / "in" / "net", error, words)


# Caffe.

CONV = ("Convolution", [RANDOM.normal(size=(3, 2, 2, 2)).astype("f"), RANDOM.normal(size=3).astype("f")])
DENSE = ("InnerProduct", [RANDOM.normal(size=(5, 12)).astype("f"), RANDOM.normal(size=5).astype("f")])
POINT = ("Convolution", [np.full((1, 1, 2, 3), 2, "f"), np.ones(1, "f")])
NORM = ("BatchNorm", [np.ones(3, "f"), np.full(3, 2, "f"), np.full(1, 3, "f")])


@pytest.mark.parametrize("old", [False, True])
def test_caffe(old, tmp_path):
    layers = {"conv1/7x7_s2": CONV, "relu": ("ReLU", []), "fc6": DENSE, "point": POINT, "größe": DENSE}
    files.caffe(tmp_path / "net", layers, old)
    kind, found = read(tmp_path / "net")
    assert kind == "caffe"
    parts = ("weight", "bias")
    expected = {f"{n}.{p}": a for n, (_, arrays) in layers.items() for p, a in zip(parts, arrays, strict=False)}
    same(found, expected)
    assert {array.dtype for array in found.values()} == {np.dtype("f")}


def test_caffe_layers_with_three_arrays_and_doubles(tmp_path):
    files.caffe(tmp_path / "net", {"bn": NORM, "fc": ("InnerProduct", [np.ones((2, 2))])})
    same(read(tmp_path / "net")[1], {"bn.weight": NORM[1][0], "bn.bias": NORM[1][1], "bn.2": NORM[1][2],
                                     "fc.weight": np.ones((2, 2))})  # fmt: skip


def test_caffe_inputs_before_the_layers(tmp_path):
    inputs = files.field(3, "data") + b"".join(files.field(4, n) for n in (1, 3, 224, 224)) + files.field(5, 1)
    files.caffe(tmp_path / "net", {"fc": DENSE}, before=inputs)
    assert read(tmp_path / "net")[0] == "caffe"


def caffe_layer(*blobs, name="a"):
    return files.field(
        100, files.field(1, name) + files.field(2, "InnerProduct") + b"".join(files.field(7, b) for b in blobs)
    )


ONES = np.ones((2, 2), "f")
CAFFE = {
    "shape": (caffe_layer(files.caffe_blob(ONES, shape=(3, 2))), WeightsDamaged, "should take 24 bytes"),
    "old shape": (caffe_layer(files.caffe_blob(ONES, True, (3, 2))), WeightsDamaged, "should take 24 bytes"),
    "huge": (caffe_layer(files.caffe_blob(ONES, shape=(1 << 62, 4))), WeightsDamaged, "should take"),
    "negative": (caffe_layer(files.caffe_blob(ONES, shape=(-2, -2))), WeightsDamaged, "negative"),
    "rank": (caffe_layer(files.caffe_blob(ONES, shape=[1] * 40)), WeightsDamaged, "of rank 17"),
    "no shape": (caffe_layer(files.field(5, bytes(16))), WeightsDamaged, "should take 4 bytes"),
    "odd": (caffe_layer(files.field(5, bytes(7)) + files.field(7, files.field(1, b"\2"))), WeightsDamaged, "it has 7"),
    "both": (caffe_layer(files.field(5, bytes(4)) + files.field(8, bytes(8))), WeightsDamaged, "twice"),
    "single": (caffe_layer(b"\x2d" + bytes(4)), WeightsDamaged, "another kind"),
    "twice": (caffe_layer(files.caffe_blob(ONES)) * 2, WeightsDamaged, "two tensors are called a.weight"),
    "none": (caffe_layer(), UsageError, "no tensors"),
    "oldest": (files.field(2, files.field(1, files.field(1, "a"))), UsageError, "upgrade_net_proto_binary"),
    "long": (caffe_layer(files.caffe_blob(ONES))[:-1], WeightsDamaged, "longer than"),
    "no text": (caffe_layer(name=b"\xff"), UsageError, "not a weight file"),
    "empty name": (caffe_layer(name=""), UsageError, "not a weight file"),
    "no layer": (b"", UsageError, "not a weight file"),
    "other field": (files.field(9, "x") + caffe_layer(files.caffe_blob(ONES)), UsageError, "not a weight file"),
}


@pytest.mark.parametrize(("body", "error", "words"), CAFFE.values(), ids=CAFFE)
def test_caffe_that_makes_no_sense(body, error, words, tmp_path):
    (tmp_path / "net").write_bytes(files.field(1, "net") + body)
    refused(tmp_path / "net", error, words)


# All of them.


@pytest.mark.parametrize(
    "content",
    [
        files.field(1, 8) + files.field(7, files.field(1, b"") * 200_000),
        files.field(1, "net") + files.field(100, files.field(1, "a") + files.field(7, b"") * 200_000),
        files.field(100, files.field(1, "a")) + files.field(100, b"") * 200_000,
        files.sorted_table([(b"", files.field(1, files.field(1, b"") * 200_000))]),
    ],
    ids=["onnx", "caffe arrays", "caffe layers", "checkpoint"],
)
def test_empty_messages_without_number(content, tmp_path):
    """Two bytes each in the file, and much more in memory."""
    (tmp_path / "bomb").write_bytes(content)
    refused(tmp_path / "bomb", match="more than 100000 fields|not in it", megabytes=30)


def test_texts_and_other_files_are_none_of_them(tmp_path):
    """Without a signature a reader must not take what is not its own."""
    for name, content in {
        "prototxt": b'name: "CaffeNet"\nlayer {\n  name: "data"\n}\n',
        "newlines": b"\n" * 4000,
        "text": b"\nhello, world\n" * 300,
        "json": b'{"a": 1}' * 100,
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(500),
        "gzip": b"\x1f\x8b\x08" + bytes(50),
        "message": files.field(1, 5) + files.field(2, "text"),
        "ones": b"\1" * 5000,
        "eights": b"\x08" * 5000,
        "tens": b"\x0a\x00" * 5000,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match="not a weight file") as caught:
            read(tmp_path / name)
        assert all(reader.ABOUT in str(caught.value) for reader in READERS.values())


def test_every_format_of_the_manifest_has_a_reader():
    assert set(READERS) == set(manifest.FORMATS)
    assert all(len(reader.ABOUT) <= 60 and "\n" not in reader.ABOUT for reader in READERS.values())


def test_a_frozen_graphs_constants(tmp_path):
    files.frozen_graph(tmp_path / "net", ARRAYS)
    kind, found = read(tmp_path / "net")
    assert kind == "frozen_graph"
    same(found, ARRAYS)


def test_a_real_frozen_graph(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        for name, array in ARRAYS.items():
            tf.constant(array, name=name.replace("ß", "ss").replace("ö", "o"))
        tf.constant([1, 2, 3], name="shape")
        tf.constant(0.5, shape=(), name="alone")
        tf.raw_ops.Placeholder(dtype=tf.float32, name="image")
    (tmp_path / "net.pb").write_bytes(graph.as_graph_def().SerializeToString())
    kind, found = read(tmp_path / "net.pb")
    assert kind == "frozen_graph"
    assert found.pop("alone") == np.float32(0.5)
    for mine, array in zip(found.values(), ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(mine, array)


def test_a_frozen_graph_that_says_more_than_it_holds(tmp_path):
    files.frozen_graph(tmp_path / "net", {"a": np.ones((3, 4))}, splat=True)
    refused(tmp_path / "net", match="should take 12 numbers, it has 1")
    files.frozen_graph(tmp_path / "net", {"a": np.ones(3)}, kind=3)
    refused(tmp_path / "net", UsageError, match="no tensors")
