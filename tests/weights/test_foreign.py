"""Safetensors, TensorFlow checkpoints, ONNX and Caffe: read from files made by their descriptions or own libraries."""

import hashlib
import json
import struct
import subprocess
import sys
import tracemalloc
import types
from pathlib import Path

import numpy as np
import pytest

from kerazoo import manifest, weights
from kerazoo.contract import Variant
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import READERS, _sstable, read
from tests.weights import files

RANDOM = np.random.default_rng(4)
ARRAYS = {
    "conv/weights": RANDOM.normal(size=(3, 2, 2, 2)).astype("f"),
    "conv/biases": RANDOM.normal(size=3).astype("f"),
    "Netz/größe": np.float32(2.5).reshape(()),
}


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].shape == np.shape(array)


def refused(path, error=WeightsDamaged, match=None, megabytes=8):
    """Reading ends in this error, in at most three lines and without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.type is error
    assert len(str(caught.value).splitlines()) <= 3
    assert peak < (megabytes << 20) + 8 * path.stat().st_size


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
    path.write_bytes(struct.pack("<Q", 99_000_000) + b'{"a": ')
    refused(path, match="more than there are")
    path.write_bytes(struct.pack("<Q", 101_000_000) + b'{"a": ')
    refused(path, UsageError, "not a weight file")


# TensorFlow checkpoints.

SLIM = {
    "Net/Conv/weights": RANDOM.normal(size=(1, 2, 3, 4)).astype("f"),
    "Net/Conv/zeros": np.zeros((40, 100), "f"),
    "Net/double": np.array([0.5, -3]),
    "Net/steps": np.array([-1, 2**40]),
    "Net/whole": np.array([[-7, 5]], "i4"),
    "global_step": np.int64(123_456_789),
}
TEXT = {"words": np.array([b"a", b"bc"], object)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What TensorFlow itself writes."""
    folder = tmp_path_factory.mktemp("checkpoints")
    files.checkpoints(folder, SLIM | TEXT)
    return folder


def test_a_checkpoint_is_read_as_tensorflow_reads_it(written):
    import tensorflow as tf

    for name, file in {"old.ckpt": "old.ckpt", "new.ckpt": "new.ckpt.index"}.items():
        kind, found = read(written / file)
        assert kind == "slim"
        theirs = tf.train.load_checkpoint(str(written / name))
        assert set(theirs.get_variable_to_shape_map()) == {*found, *TEXT}
        same(found, {key: theirs.get_tensor(key) for key in found})
        same(found, SLIM)
        assert found["Net/double"].dtype == np.float32


def test_a_checkpoint_named_by_its_data(written):
    same(read(written / "new.ckpt.data-00000-of-00001")[1], SLIM)


def test_halves_and_objects_as_tensorflow_writes_them(tmp_path):
    import tensorflow as tf

    saved = tf.train.Checkpoint(
        half=tf.Variable(np.array([1.5, -2], "f2")), brain=tf.Variable(tf.constant([1.5, -3], tf.bfloat16))
    ).write(str(tmp_path / "object"))
    _, found = read(Path(f"{saved}.index"))
    key = "{}/.ATTRIBUTES/VARIABLE_VALUE"
    same(found, {key.format("brain"): np.array([1.5, -3], "f"), key.format("half"): np.array([1.5, -2], "f")})
    assert {array.dtype for array in found.values()} == {np.dtype("f")}


@pytest.mark.parametrize("end", [".tar.gz", ".tgz", ".zip"])
@pytest.mark.parametrize(
    "names", [["old.ckpt"], ["new.ckpt.data-00000-of-00001", "new.ckpt.index"]], ids=["one", "two"]
)
def test_a_checkpoint_in_its_archive(end, names, written, tmp_path):
    members = {f"./folder/{name}": (written / name).read_bytes() for name in names}
    path = tmp_path / f"weights{end}"
    files.archive(path, {"./folder/readme.txt": b"see ckpt", **members, "./folder/net.meta": b"graph"})
    kind, found = read(path)
    assert kind == "slim"
    same(found, SLIM)
    assert list(tmp_path.iterdir()) == [path]


def test_a_published_archive_is_kept_as_it_is(written, tmp_path, monkeypatch):
    """Fetched, verified and read from the manifest to the model's variables; the cache unpacks nothing."""
    published = tmp_path / "net_2016_08_28.tar.gz"
    files.archive(published, {"old.ckpt": (written / "old.ckpt").read_bytes()})
    content = published.read_bytes()
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "cache"))
    sha = hashlib.sha256(content).hexdigest()
    file = manifest.File(published.name, "full", (published.as_uri(),), "sha256", sha, len(content), "slim")
    entry = manifest.Entry("net:imagenet", (file,), "Apache-2.0", "a test", None, {})
    monkeypatch.setattr(manifest, "load", lambda: {entry.name: entry})

    import keras

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, (1, 2), use_bias=False, name="conv")(image), name="net")
    family = types.SimpleNamespace(
        VARIANTS={"net": Variant(None, 24, (4, 4, 3), "classify", None)},
        SOURCES={"slim": lambda config, tensors: {"conv/kernel": tensors["Net/Conv/weights"]}},
    )
    weights.restore(model, family, "net", "imagenet")
    np.testing.assert_array_equal(model.weights[0], SLIM["Net/Conv/weights"])
    kept = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert {name for name in kept if "ckpt" in name or name.endswith(".gz")} == {published.name}
    assert next((tmp_path / "cache").rglob(published.name)).read_bytes() == content


def test_a_checkpoint_without_its_other_half(written, tmp_path):
    data, index = "new.ckpt.data-00000-of-00001", "new.ckpt.index"
    for name, lacks in {index: data, data: index}.items():
        (tmp_path / name).write_bytes((written / name).read_bytes())
        refused(tmp_path / name, UsageError, f"{lacks} belongs to this checkpoint")
        (tmp_path / name).unlink()
    files.archive(tmp_path / "a.tgz", {index: (written / index).read_bytes()})
    refused(tmp_path / "a.tgz", UsageError, f"lacks {data}")
    (tmp_path / index).write_bytes((written / index).read_bytes())
    (tmp_path / data).write_bytes((written / data).read_bytes()[:1000])
    refused(tmp_path / index, match="behind the end")


def test_archives_that_are_no_single_checkpoint(written, tmp_path):
    content = (written / "old.ckpt").read_bytes()
    for end in (".tar.gz", ".zip"):
        path = tmp_path / f"weights{end}"
        files.archive(path, {"a.ckpt": content, "b.ckpt": content})
        refused(path, UsageError, "2 checkpoints")
        files.archive(path, {"a/net.ckpt": content, "b/net.ckpt": content})
        refused(path, match="two files")
        files.archive(path, {"notes.txt": content})
        refused(path, UsageError, "not a weight file")
        files.archive(path, {"net.ckpt": b"checkpoint"})
        refused(path, match="too early")
        files.archive(path, {"net.ckpt": bytes(60 << 20)})
        refused(path, match="so small a file", megabytes=16)


def test_an_archive_s_links_and_folders_are_not_followed(written, tmp_path):
    import tarfile

    (tmp_path / "secret.ckpt").write_bytes((written / "old.ckpt").read_bytes())
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "links.tar.gz", "w:gz") as packed:
            info = tarfile.TarInfo("net.ckpt")
            info.type, info.linkname = kind, str(tmp_path / "secret.ckpt")
            packed.addfile(info)
        refused(tmp_path / "links.tar.gz", UsageError, "not a weight file")


@pytest.mark.parametrize("kind", ["header", "name"])
def test_a_tar_header_of_any_size_is_survived(kind, tmp_path):
    import gzip
    import tarfile

    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE if kind == "header" else tarfile.GNUTYPE_LONGNAME
    info.size = 80 << 20
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(info.size), 9))
    refused(tmp_path / "bomb.tar.gz", match="so small a file", megabytes=40)


def test_checkpoint_names_of_any_alphabet(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(files.sorted_table(files.checkpoint_rows(ARRAYS)))
    same(read(tmp_path / "a.ckpt")[1], ARRAYS)


SNAPPY = [
    ("literal", b"\x08" + b"abc", b"abc"),
    ("long literal", b"\xf4" + struct.pack("<H", 299) + bytes(300), bytes(300)),
    ("near copy", b"\x00x" + bytes([1 | 3 << 2, 1]), b"x" * 8),
    ("far copy", b"\x04ab" + bytes([2 | 4 << 2, 2, 0]), b"abababa"),
    ("farther copy", b"\x08abc" + bytes([3 | 1 << 2, 3, 0, 0, 0]), b"abcab"),
    ("copy from afar", b"\xf4" + struct.pack("<H", 599) + bytes(range(200)) * 3 + bytes([1 | 2 << 5, 88]),
     bytes(range(200)) * 3 + (bytes(range(200)) * 3)[0:4]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "packed", "expected"), SNAPPY)
def test_snappy(name, packed, expected):
    assert _sstable.unpack(memoryview(files.varint(len(expected)) + packed)) == expected
    for cut in range(len(packed)):
        with pytest.raises(WeightsDamaged):
            _sstable.unpack(memoryview(files.varint(len(expected)) + packed[:cut]))
    with pytest.raises(WeightsDamaged):
        _sstable.unpack(memoryview(files.varint(len(expected) + 1) + packed))


@pytest.mark.parametrize(
    "packed",
    [
        b"\x04" + bytes([1, 1]),
        b"\x04\0a" + bytes([1, 0]),
        b"\x04\0a" + bytes([1, 9]),
        files.varint(1 << 40) + b"\0a",
        b"",
    ],
)
def test_snappy_that_cannot_be(packed):
    with pytest.raises(WeightsDamaged):
        _sstable.unpack(memoryview(packed))


def test_a_packed_checkpoint(tmp_path):
    """TensorFlow's first published checkpoints are packed, in a way that it cannot read itself by now."""
    arrays = {"a": np.zeros(4096, "f")}
    rows = files.checkpoint_rows(arrays)
    body = b"".join(b"\0" + files.varint(len(k)) + files.varint(len(v)) + k + v for k, v in rows)
    first = body[: body.index(bytes(16_384))]
    literal = bytes([60 << 2, len(first)]) + first + b"\0"
    zeros = (bytes([2 | 63 << 2, 1, 0]) * 255) + bytes([2 | 62 << 2, 1, 0])
    tail = bytes([7 << 2]) + struct.pack("<II", 0, 1)
    packed = files.varint(len(body) + 8) + literal + zeros + tail
    (tmp_path / "a.ckpt").write_bytes(files.sorted_table(rows, packed))
    same(read(tmp_path / "a.ckpt")[1], arrays)


def rows_with(**changes):
    rows = files.checkpoint_rows({"a": np.ones(2, "f")})
    return [(key, changes.get(name, value)) for name, (key, value) in zip(("meta", "data"), rows, strict=True)]


def meta(kind=1, shape=(2,), name="a"):
    return files.field(
        1, files.field(1, files.field(1, name) + files.field(2, files.tensor_shape(shape)) + files.field(3, kind))
    )


OLD = {
    "shape": (rows_with(meta=meta(shape=(3,))), WeightsDamaged, "should take 12 bytes"),
    "huge": (rows_with(meta=meta(shape=(1 << 60, 1 << 60))), WeightsDamaged, "should take"),
    "negative": (rows_with(meta=meta(shape=(-2, -1))), WeightsDamaged, "negative"),
    "rank": (rows_with(meta=meta(shape=[1] * 300)), WeightsDamaged, "rank 300"),
    "other type": (rows_with(meta=meta(kind=9)), WeightsDamaged, "another type"),
    "complex": (rows_with(meta=meta(kind=8)), UsageError, "type 8"),
    "other name": (rows_with(meta=meta(name="b")), WeightsDamaged, "numbers of b are not in it"),
    "twice": ([(b"", meta()[:] * 2), rows_with()[1]], WeightsDamaged, "not in it|two tensors"),
    "pieces": ([*rows_with(), (b"\1", rows_with()[1][1])], UsageError, "several pieces"),
    "no order": ([rows_with()[1], rows_with()[0]], UsageError, "no checkpoint"),
    "same key": ([*rows_with(), rows_with()[1]], WeightsDamaged, "not in order"),
    "texts only": (rows_with(meta=meta(kind=7)), UsageError, "no tensors"),
    "no entries": ([], UsageError, "no checkpoint"),
    "long key": ([*rows_with(), (b"\1" * 5000, b"")], WeightsDamaged, "longer than its block"),
    "no text": (
        [(b"", files.field(1, files.field(1, files.field(1, b"\xff")))), rows_with()[1]],
        WeightsDamaged,
        "utf-8",
    ),
}


@pytest.mark.parametrize(("rows", "error", "words"), OLD.values(), ids=OLD)
def test_a_checkpoint_that_makes_no_sense(rows, error, words, tmp_path):
    (tmp_path / "a.ckpt").write_bytes(files.sorted_table(rows))
    refused(tmp_path / "a.ckpt", error, words)


HEADER = (b"", files.field(1, 1))
NEW = {
    "shape": ([HEADER, (b"a", files.index_row((3,), 0, 8))], WeightsDamaged, "should take 8 bytes"),
    "behind": ([HEADER, (b"a", files.index_row((2,), 4, 8))], WeightsDamaged, "behind the end"),
    "negative": ([HEADER, (b"a", files.index_row((2,), -8, 8))], WeightsDamaged, "behind the end"),
    "huge": ([HEADER, (b"a", files.index_row((1 << 50,), 0, 1 << 52))], WeightsDamaged, "behind the end"),
    "shared": ([HEADER, *((b"%03d" % i, files.index_row((2,), 0, 8)) for i in range(900))], WeightsDamaged, "behind"),
    "other file": ([HEADER, (b"a", files.index_row((2,), 0, 8, shard=1))], WeightsDamaged, "data file 1"),
    "big-endian": ([(b"", files.field(1, 1) + files.field(2, 1))], UsageError, "big-endian"),
    "pieces": ([HEADER, (b"a", files.index_row((2,), 0, 8, extra=files.field(7, b"")))], UsageError, "several pieces"),
    "two files": ([(b"", files.field(1, 2)), (b"a", files.index_row((2,), 0, 8))], UsageError, "00000-of-00002"),
    "type": ([HEADER, (b"a", files.index_row((2,), 0, 8, kind=99))], UsageError, "type 99"),
    "kind": ([HEADER, (b"a", files.field(1, "float"))], WeightsDamaged, "another kind"),
    "nothing": ([HEADER], UsageError, "no tensors"),
    "nameless": ([HEADER, (b"\xff\xff", files.index_row((2,), 0, 8))], WeightsDamaged, "utf-8"),
}


@pytest.mark.parametrize(("rows", "error", "words"), NEW.values(), ids=NEW)
def test_an_index_that_makes_no_sense(rows, error, words, tmp_path):
    (tmp_path / "a.ckpt.data-00000-of-00001").write_bytes(bytes(8))
    (tmp_path / "a.ckpt.index").write_bytes(files.sorted_table(rows))
    refused(tmp_path / "a.ckpt.index", error, words)


def test_an_index_never_leads_out_of_its_folder(tmp_path):
    """Names of data files are made here, from the index' own name."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(files.sorted_table([HEADER, (b"../../secret", files.index_row((2,), 0, 8))]))
    refused(tmp_path / "in" / "x", UsageError, r"x\.data-00000-of-00001 belongs")


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
    "shape": (changed(dims=[3]), WeightsDamaged, "should take 12 bytes"),
    "huge": (changed(dims=[1 << 40]), WeightsDamaged, "should take"),
    "huge list": (listed, WeightsDamaged, "has 1 numbers"),
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
    "rank": (caffe_layer(files.caffe_blob(ONES, shape=[1] * 40)), WeightsDamaged, "rank 40"),
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


def test_reading_needs_no_tensorflow(written, tmp_path):
    files.caffe(tmp_path / "caffe", {"fc": DENSE})
    files.safetensors(tmp_path / "safetensors", ARRAYS)
    files.onnx(tmp_path / "onnx", ARRAYS)
    paths = [written / "old.ckpt", written / "new.ckpt.index", *sorted(tmp_path.iterdir())]
    code = (
        "import sys; from kerazoo.weights import read; print([read(path)[0] for path in sys.argv[1:]], "
        "sorted({'torch', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['slim', 'slim', 'caffe', 'onnx', 'safetensors'] []"
