"""TensorFlow checkpoints: as TensorFlow writes and reads them, in their archives, packed, and broken in every way."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerazoo import manifest, weights
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import _sstable, read
from tests.weights import files
from tests.weights.common import ARRAYS, RANDOM, refused, same

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
    source = weights.resolve("net", "imagenet")
    assert source.sha256 == sha
    converters = {"slim": lambda config, tensors: {"conv/kernel": tensors["Net/Conv/weights"]}}
    weights.load(model, None, converters, source)
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
    """Early published checkpoints are packed block by block."""
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


def test_reading_needs_no_tensorflow(written, tmp_path):
    files.caffe(tmp_path / "caffe", {"fc": ("InnerProduct", [np.ones((2, 3), "f")])})
    files.safetensors(tmp_path / "safetensors", ARRAYS)
    files.onnx(tmp_path / "onnx", ARRAYS)
    paths = [written / "old.ckpt", written / "new.ckpt.index", *sorted(tmp_path.iterdir())]
    code = (
        "import sys; from kerazoo.weights import read; print([read(path)[0] for path in sys.argv[1:]], "
        "sorted({'torch', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['slim', 'slim', 'caffe', 'onnx', 'safetensors'] []"
