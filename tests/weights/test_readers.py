"""Each format read from files written by its description, and, for PyTorch and Keras, by the library itself."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import READERS, deep_compressed, keras_h5, read
from tests.weights import files

# Keras turns its own variables into arrays in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def arrays():
    random = np.random.default_rng(1)
    return {
        "first.weight": random.normal(size=(3, 2, 2, 2)).astype("f"),
        "first.bias": random.normal(size=3).astype("f"),
    }


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("write", [files.torch_zip, files.torch_legacy])
def test_torch(write, arrays, tmp_path):
    write(tmp_path / "weights.bin", arrays)
    kind, found = read(tmp_path / "weights.bin")
    assert kind == "torch"
    same(found, arrays)


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth"])
def test_torch_as_pytorch_writes_it(name):
    """Made with torch 2.13: a view, a transposed view, a scalar, half precisions and a parameter, over one storage."""
    base = np.arange(24, dtype="f")
    kind, found = read(FIXTURES / name)
    assert kind == "torch"
    same(
        found,
        {
            "a.weight": base.reshape(2, 3, 4),
            "a.bias": base[5:8],
            "t": base.reshape(4, 6).T,
            "count": np.int64(7),
            "half": np.array([1.5, -2], "f2"),
            "brain": np.array([1.5, -3], "f"),
            "p": np.ones(2, "f"),
        },
    )


def test_arrays_that_pytorch_pickled(arrays, tmp_path):
    more = {**arrays, "column.weight": np.arange(6.0).reshape(2, 3), "count.bias": np.array(-7)}
    files.torch_arrays(tmp_path / "weights.whl", more)
    kind, found = read(tmp_path / "weights.whl")
    assert kind == "torch_arrays"
    assert {array.dtype.name for name, array in found.items() if "count" not in name} == {"float32"}
    expected = {f"{'first' if name.endswith('weight') else 'second'}/{name}": array for name, array in more.items()}
    same(dict(sorted(found.items())), dict(sorted(expected.items())))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (pickle.dumps({"a": np.ones((2, 3), order="F")}, 2), "not known here"),
        (pickle.dumps({"a": np.ones(2, ">f4")}, 2), "not known here"),
        (pickle.dumps({"a": np.ones(2, "c8")}, 2), "dtype wrongly"),
        (pickle.dumps({"a": 1}, 2), "'a' is no array"),
        (pickle.dumps({1: np.ones(2)}, 2), "'1' is no array"),
        (pickle.dumps([np.ones(2)], 2), "no dict"),
        (pickle.dumps(np.ones(2).astype("f"), 2).replace(b"K\x02\x85", b"K\x03\x85"), "no dict"),
        (pickle.dumps({"a": np.ones(2, "f")}, 2).replace(b"K\x02\x85", b"K\x03\x85"), "should take 12 bytes, it has 8"),
        (pickle.dumps({"a": np.ones(2, "f")}, 2).replace(b"K\x02\x85", b"K\x02]\x86"), "something that is no number"),
    ],
)
def test_arrays_that_are_none_of_plain_numbers(body, said, tmp_path):
    files.torch_arrays(tmp_path / "bad.whl", {}, body)
    with pytest.raises((UsageError, WeightsDamaged), match=said):
        read(tmp_path / "bad.whl")


def test_a_container_is_not_compressed_within_an_archive(tmp_path):
    """Twice as tightly packed, a small file could take hundreds of times its length."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("first/data.pkl", pickle.dumps({"a": np.ones(1000, "f")}, 2))
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as package:
        package.writestr("first.ckpt", held.getvalue())
    with pytest.raises(UsageError, match="compressed"):
        read(tmp_path / "bad.whl")


def test_litert(arrays, tmp_path):
    files.tflite(tmp_path / "weights.bin", arrays)
    kind, found = read(tmp_path / "weights.bin")
    assert kind == "litert"
    same(found, arrays)


def test_npz(arrays, tmp_path):
    np.savez(tmp_path / "weights.npz", **{name.replace(".", "/"): array for name, array in arrays.items()})
    np.savez_compressed(tmp_path / "packed.npz", columns=np.asfortranarray(arrays["first.weight"]))
    kind, found = read(tmp_path / "weights.npz")
    assert kind == "npz"
    same(found, {name.replace(".", "/"): array for name, array in arrays.items()})
    same(read(tmp_path / "packed.npz")[1], {"columns": arrays["first.weight"]})


@pytest.fixture(scope="module")
def compressed(tmp_path_factory):
    random = np.random.default_rng(2)
    codebook = np.concatenate([[0], random.normal(size=255)]).astype("f")
    kernels, biases = {}, {}
    for name, shape in deep_compressed.LAYERS.items():
        # Sparse enough for runs longer than 15, and for a layer with hardly anything in it.
        kept = random.random(shape) < (0.03 if name != "conv10" else 1e-4)
        kernels[name] = np.where(kept, codebook[random.integers(1, 256, shape)], 0).astype("f")
        biases[name] = random.normal(size=shape[0]).astype("f")
    kernels["fire2/squeeze1x1"][:] = 0
    path = tmp_path_factory.mktemp("compressed") / "weights.net"
    files.deep_compress(path, kernels, biases, codebook)
    return path, kernels, biases


def test_deep_compressed(compressed):
    path, kernels, biases = compressed
    kind, found = read(path)
    assert kind == "deep_compressed"
    assert len(found) == 52
    for name in kernels:
        np.testing.assert_array_equal(found[f"{name}.weight"], kernels[name], err_msg=name)
        np.testing.assert_array_equal(found[f"{name}.bias"], biases[name], err_msg=name)


def test_deep_compressed_entry_outside_its_kernel(compressed, tmp_path):
    data = bytearray(compressed[0].read_bytes())
    # Every gap of the last layer becomes 15.
    count = np.frombuffer(data[100:104], "<u4")[0]
    data[-int((count - 1) // 2 + 1) :] = b"\xff" * int((count - 1) // 2 + 1)
    extra = 70_000
    data[100:104] = np.uint32(count + extra).tobytes()
    at = len(data) - int((count - 1) // 2 + 1)
    packed = b"\xff" * int((count + extra - 1) // 2 + 1)
    path = tmp_path / "weights.net"
    path.write_bytes(bytes(data[:at]) + b"\1" * extra + packed)
    with pytest.raises(WeightsDamaged, match="conv10 lies outside"):
        read(path)


def tiny():
    import keras

    layers = keras.layers
    image = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(3, 3, name="conv")(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.DepthwiseConv2D(3, name="dw")(x)
    x = layers.Dropout(0.5, name="drop")(layers.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(image, layers.Dense(4, name="predictions")(x), name="tiny")
    random = np.random.default_rng(3)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape).astype("f") for weight in model.weights])
    return model


@pytest.mark.parametrize("layout", ["legacy.h5", "whole.h5", "new.weights.h5", "zip.keras"])
def test_keras(layout, tmp_path):
    model = tiny()
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path / layout
    if layout == "legacy.h5":
        files.keras_legacy(path, model)
    elif layout == "new.weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    kind, found = read(path)
    assert kind == "keras_h5"
    matched = keras_h5.match(tiny(), found)
    assert matched.keys() == {weight.path for weight in model.weights}
    for weight in model.weights:
        np.testing.assert_array_equal(matched[weight.path], weight, err_msg=weight.path)


def test_keras_file_without_layer_names(tmp_path):
    """Early Keras 3 named a layer's group after its class only."""
    import h5py

    model = tiny()
    model.save_weights(tmp_path / "old.weights.h5")
    with h5py.File(tmp_path / "old.weights.h5", "a") as file:
        for layer in file["layers"].values():
            if "vars" in layer:
                layer["vars"].attrs.pop("name", None)
    matched = keras_h5.match(model, read(tmp_path / "old.weights.h5")[1])
    for weight in model.weights:
        np.testing.assert_array_equal(matched[weight.path], weight, err_msg=weight.path)


def test_keras_classifier_of_another_name(tmp_path):
    """The official ResNet files' last layer is not called what Keras calls it now."""
    import keras

    model = tiny()
    renamed = keras.Model(model.inputs, keras.layers.Dense(4, name="probs")(model.get_layer("drop").output))
    files.keras_legacy(tmp_path / "old.h5", renamed)
    matched = keras_h5.match(model, read(tmp_path / "old.h5")[1])
    np.testing.assert_array_equal(matched["predictions/kernel"], renamed.get_layer("probs").kernel)
    renamed = keras.Model(model.inputs, keras.layers.Dense(5, name="probs")(model.get_layer("drop").output))
    files.keras_legacy(tmp_path / "other.h5", renamed)
    assert "predictions/kernel" not in keras_h5.match(model, read(tmp_path / "other.h5")[1])


def test_h5_that_leads_elsewhere(tmp_path):
    import h5py

    model = tiny()
    files.keras_legacy(tmp_path / "good.h5", model)
    for name, link in {
        "external": h5py.ExternalLink("good.h5", "/conv"),
        "soft": h5py.SoftLink("/bn"),
    }.items():
        files.keras_legacy(tmp_path / f"{name}.h5", model)
        with h5py.File(tmp_path / f"{name}.h5", "a") as file:
            del file["conv"]
            file["conv"] = link
        with pytest.raises(UsageError, match="links conv to elsewhere"):
            read(tmp_path / f"{name}.h5")


def test_h5_that_declares_more_than_it_holds(tmp_path):
    import h5py

    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"conv/kernel:0"]
        group.create_dataset("conv/kernel:0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")
    with pytest.raises(WeightsDamaged, match="not that long"):
        read(tmp_path / "bomb.h5")


def test_npz_that_declares_more_than_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", files.npz_bytes()[:0] + bytes(50_000_000))
    with pytest.raises(WeightsDamaged, match="more than so small a file can hold"):
        read(tmp_path / "bomb.npz")


def test_npz_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{"a": 1}], object))
    with pytest.raises(UsageError, match="not numbers"):
        read(tmp_path / "objects.npz")


def test_no_weight_file_at_all(tmp_path):
    for name, content in {
        "empty": b"",
        "text": b"hello, world",
        "zeros": bytes(5000),
        "zip": b"PK\5\6" + bytes(18),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError) as caught:
            read(tmp_path / name)
        assert all(reader.ABOUT in str(caught.value) for reader in READERS.values()), name
        assert len(str(caught.value).splitlines()) <= 3
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "missing")
    with pytest.raises(UsageError, match="directory"):
        read(tmp_path)


@pytest.mark.skipif(
    files.DATA_ENV not in os.environ, reason=f"{files.DATA_ENV} does not name the folder of real weights"
)
@pytest.mark.parametrize(
    ("name", "kind", "count", "total"),
    [
        ("compressed_SqueezeNet.net", "deep_compressed", 52, 1_248_424),
        ("mobilenet_v1_0.25_224_1_default_1.tflite", "litert", 56, 475_544 - 3 * 2_736 + 257),
        ("resnet20-12fca82f.th", "torch", 97, 271_098),
    ],
)
def test_real_files(name, kind, count, total):
    found, tensors = read(Path(os.environ[files.DATA_ENV]) / "weights" / name)
    assert (found, len(tensors)) == (kind, count)
    assert sum(tensor.size for tensor in tensors.values()) == total
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
