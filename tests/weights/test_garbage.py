"""Whatever is done to a file, reading it ends in an answer or in one of two errors, soon and in little memory."""

import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import keras_h5, read
from tests.weights import files

ARRAYS = {"a.weight": np.arange(12, dtype="f").reshape(3, 4), "a.bias": np.ones(3, "f")}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Format -> bytes of a sound file."""
    folder = tmp_path_factory.mktemp("sound")
    files.torch_zip(folder / "torch_zip", ARRAYS)
    files.torch_legacy(folder / "torch_legacy", ARRAYS)
    files.torch_arrays(folder / "torch_arrays", ARRAYS)
    files.tflite(folder / "litert", ARRAYS)
    (folder / "npz").write_bytes(files.npz_bytes(**ARRAYS))
    import h5py

    with h5py.File(folder / "keras_h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        group = file.create_group("a")
        group.attrs["weight_names"] = [b"a/weight:0", b"a/bias:0"]
        for name, array in ARRAYS.items():
            group[f"{name.replace('.', '/')}:0"] = array
    files.safetensors(folder / "safetensors", ARRAYS)
    files.onnx(folder / "onnx", ARRAYS, ["a.weight", "a.bias"])
    files.frozen_graph(folder / "frozen_graph", ARRAYS)
    files.caffe(folder / "caffe", {"a": ("InnerProduct", ARRAYS.values())})
    files.caffe(folder / "caffe_old", {"a": ("InnerProduct", ARRAYS.values())}, old=True)
    written = tmp_path_factory.mktemp("written")
    files.checkpoints(written, ARRAYS)
    held = {path.name: path.read_bytes() for path in written.iterdir()}
    (folder / "slim").write_bytes(held.pop("old.ckpt"))
    files.archive(folder / "slim.tgz", held)
    files.archive(folder / "slim.zip", held)
    # Every reader is imported now: Hypothesis draws from constants of what is, which must not grow between examples.
    for name in FORMATS:
        read(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()} | held


FORMATS = ["torch_zip", "torch_legacy", "torch_arrays", "litert", "npz", "safetensors", "onnx", "caffe", "caffe_old"]
FORMATS += ["frozen_graph", "slim", "slim.tgz", "slim.zip", "keras_h5"]
CHECKED = ("torch_zip", "torch_arrays", "npz", "slim.tgz", "slim.zip")
"""Those whose archives have checksums."""


LISTS = ("frozen_graph",)
"""Nothing in them says how many tensors there are: cut between two, one is a file of fewer, which a model refuses."""


def hard(examples):
    return settings(max_examples=examples)


def outcome(path, data):
    path.write_bytes(data)
    try:
        _, tensors = read(path)
    except (UsageError, WeightsDamaged) as error:
        assert len(str(error).splitlines()) <= 3
        return None
    return tensors


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated(kind, sound, tmp_path):
    # Each HDF5 file takes a process.
    hard(8 if kind == "keras_h5" else 60)(given(data=st.data())(truncated))(kind, sound, tmp_path)


def truncated(kind, sound, tmp_path, data):
    content = sound[kind]
    tensors = outcome(tmp_path / "cut", content[: data.draw(st.integers(0, len(content) - 1))])
    # A file whose last bytes mean nothing may still be whole; half of the numbers may not pass for all of them.
    if tensors is not None:
        assert len(tensors) == len(ARRAYS) or kind in LISTS
        for name, array in tensors.items():
            np.testing.assert_array_equal(
                array, ARRAYS[name.removeprefix("first/").removeprefix("second/").replace("/", ".")]
            )


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped(kind, sound, tmp_path):
    hard(15 if kind == "keras_h5" else 60)(given(data=st.data())(flipped))(kind, sound, tmp_path)


def flipped(kind, sound, tmp_path, data):
    content = bytearray(sound[kind])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    tensors = outcome(tmp_path / "flipped", bytes(content))
    # Without a checksum a changed number is a number, which sha256 finds, not the reader.
    if tensors is not None:
        assert sum(array.nbytes for array in tensors.values()) <= 2 * len(content)
        if kind in CHECKED:
            held = [array.tobytes() for array in ARRAYS.values()]
            assert all(array.tobytes() in held for array in tensors.values())


@hard(60)
@given(data=st.binary(max_size=300), kind=st.sampled_from(FORMATS[:-1]), keep=st.integers(0, 64))
def test_noise_behind_a_signature(data, kind, keep, sound, tmp_path):
    outcome(tmp_path / "noise", sound[kind][:keep] + data)


@pytest.mark.parametrize("changed", ["new.ckpt.index", "new.ckpt.data-00000-of-00001"])
@hard(60)
@given(data=st.data())
def test_a_checkpoint_of_two_files(changed, data, sound, tmp_path):
    """One of them truncated or changed, named by either."""
    names = ["new.ckpt.index", "new.ckpt.data-00000-of-00001"]
    for name in names:
        (tmp_path / name).write_bytes(sound[name])
    content = bytearray(sound[changed])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / changed).write_bytes(content)
    named = tmp_path / data.draw(st.sampled_from(names))
    tensors = outcome(named, named.read_bytes())
    if tensors is not None:
        assert sum(array.nbytes for array in tensors.values()) <= 2 * sum(len(sound[name]) for name in names)


def texts(*lengths):
    """An HDF5 block of texts: its header, and objects whose lengths are as given."""
    body = b"".join(struct.pack("<HH4xQ", 1, 1, length) + bytes(8) for length in lengths)
    return b"GCOL\1\0\0\0" + struct.pack("<Q", 16 + len(body)) + body


def test_hdf5_texts_whose_lengths_are_wrong(tmp_path, sound):
    """HDF5's own library never ends on a length that leads back to where it stands."""
    outcome(tmp_path / "good.h5", sound["keras_h5"] + texts(8, 5))
    for length in (2**64 - 16, 2**63, 100):
        (tmp_path / "bad.h5").write_bytes(sound["keras_h5"] + texts(8, length))
        with pytest.raises(WeightsDamaged, match="longer than its block"):
            read(tmp_path / "bad.h5")


def test_hdf5_that_breaks_its_library(tmp_path, sound, monkeypatch):
    """The process that tries a file first ends; this one goes on."""
    (tmp_path / "mine.h5").write_bytes(sound["keras_h5"])
    for end, told in {
        "os.kill(os.getpid(), signal.SIGSEGV)": "breaks down",
        "keras_h5.limit_memory(1 << 26); bytearray(1 << 30)": "breaks down",
    }.items():
        trial = keras_h5._TRIAL.replace("keras_h5.load(", f"import os, signal; {end}; keras_h5.load(")
        monkeypatch.setattr(keras_h5, "_TRIAL", trial)
        with pytest.raises(WeightsDamaged, match=f"{told}|MemoryError"):
            read(tmp_path / "mine.h5")
        monkeypatch.undo()
    assert set(read(tmp_path / "mine.h5")[1]) == {"a/weight", "a/bias"}


CALLS = {
    "os.system": b"cos\nsystem\n(" + files.text("touch {marker}") + b"tR.",
    "builtins.eval": b"cbuiltins\neval\n(" + files.text("open('{marker}', 'w')") + b"tR.",
    "builtins.getattr": b"cbuiltins\ngetattr\n(ctorch\nFloatStorage\n" + files.text("__class__") + b"tR.",
    "numpy._core.multiarray.scalar": b"cnumpy._core.multiarray\nscalar\n(NNtR.",
    "torch.load": b"ctorch\nload\n(" + files.text("x") + b"tR.",
    "torch.hub._load_state_dict": b"ctorch.hub\n_load_state_dict\n(tR.",
    "collections.namedtuple": b"ccollections\nnamedtuple\n(tR.",
    "posix.system": files.text("posix") + files.text("system") + b"\x93.",
}


@pytest.mark.parametrize("container", [files.torch_zip, files.torch_legacy, files.torch_arrays])
@pytest.mark.parametrize("name", CALLS)
def test_a_pickle_that_asks_for_code(container, name, tmp_path):
    marker = tmp_path / "ran"
    body = CALLS[name].replace(b"{marker}", str(marker).encode())
    # The length before a text counts its bytes.
    for template in (b"touch {marker}", b"open('{marker}', 'w')"):
        filled = template.replace(b"{marker}", str(marker).encode())
        body = body.replace(len(template).to_bytes(4, "little") + filled, len(filled).to_bytes(4, "little") + filled)
    container(tmp_path / "evil.pth", ARRAYS, pickle=b"\x80\x02" + body)
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "evil.pth")
    assert name in str(caught.value)
    assert "refused" in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "body"),
    {
        "instructions of other kinds": b"(i__main__\nthing\n.",
        "extension codes": b"\x82\x01.",
        "new objects": b"ccollections\nOrderedDict\n)\x81.",
        "a call without a name": files.number(1) + b")R.",
        "empty stack": b"R.",
        "recall of nothing": b"h\x07.",
        "nothing": b"}.",
        "a number": files.number(5) + b".",
        "a dict as a name": b"}}" + files.number(1) + b"s.",
        "a tensor of no storage": b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.",
        "a storage without a type": b"(" + files.text("storage") + b"NNNNtQ.",
    }.items(),
)
def test_a_pickle_that_makes_no_sense(name, body, tmp_path):
    files.torch_zip(tmp_path / "odd.pth", ARRAYS, pickle=b"\x80\x02" + body)
    with pytest.raises((UsageError, WeightsDamaged)):
        read(tmp_path / "odd.pth")


def test_deep_nesting_and_large_claims(tmp_path):
    """What would exhaust the stack or the memory of a real unpickler."""
    for name, body in {
        "tuples": b")" + b"\x85" * 200_000 + b"}" + b"s.",
        "key": b"})" + b"\x85" * 200_000 + b"Ns.",
        "memo": b"}r\xff\xff\xff\x7f.",
        "text": b"X\xff\xff\xff\x7fabc.",
        "long": b"\x8b\xff\xff\xff\x7f1.",
        "bytes": b"\x8e" + b"\xff" * 7 + b"\x7fabc.",
    }.items():
        files.torch_zip(tmp_path / name, ARRAYS, pickle=b"\x80\x02" + body)
        with pytest.raises((UsageError, WeightsDamaged)):
            read(tmp_path / name)


def test_a_tensor_larger_than_its_storage(tmp_path):
    good = files.pickled({"a": np.ones((4, 1), "f")})
    shape, strides = files.numbers([4, 1]), files.numbers([1, 1])
    wide = good.replace(shape + strides, files.numbers([1 << 30, 1 << 30]) + files.numbers([0, 0]))
    files.torch_zip(tmp_path / "wide.pth", {"a": np.ones(4, "f")}, pickle=wide)
    with pytest.raises(WeightsDamaged, match="more than the file holds"):
        read(tmp_path / "wide.pth")
    repeated = good.replace(shape + strides, files.numbers([6, 1]) + files.numbers([0, 0]))
    files.torch_zip(tmp_path / "repeated.pth", {"a": np.ones(4, "f")}, pickle=repeated)
    with pytest.raises(WeightsDamaged, match="beyond its storage"):
        read(tmp_path / "repeated.pth")
    reached = files.pickled({"a": np.ones(4, "f")}).replace(files.numbers([4]), files.numbers([9]))
    files.torch_zip(tmp_path / "far.pth", {"a": np.ones(4, "f")}, pickle=reached)
    with pytest.raises(WeightsDamaged, match="beyond its storage|more than the file holds"):
        read(tmp_path / "far.pth")


def test_compressed_torch_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", files.pickled(ARRAYS))
        archive.writestr("archive/data/0", bytes(50_000_000))
    with pytest.raises(UsageError, match="compressed"):
        read(tmp_path / "bomb.pth")


def test_reading_needs_neither_torch_nor_tensorflow(tmp_path):
    files.torch_zip(tmp_path / "weights.pth", ARRAYS)
    code = (
        "import sys; from kerazoo.weights import read; read(sys.argv[1]); "
        "print(sorted({'torch', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "weights.pth")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.stdout.strip() == "[]"
