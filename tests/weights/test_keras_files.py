"""Odd `.keras` and `.h5` files: whatever is in them, reading and opening them ends in one of our errors."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo import loading, weights
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.weights import keras_h5

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Members of a `.keras` file by name."""
    import keras

    path = tmp_path_factory.mktemp("sound") / "net.keras"
    inputs = keras.Input((4,), name="image")
    keras.Model(inputs, keras.layers.Dense(2, name="top")(inputs), name="net").save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def hdf5(fill):
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


def without(members, *names):
    return {name: content for name, content in members.items() if name not in names}


def layer(config):
    import keras

    return json.dumps(keras.saving.serialize_keras_object(config(keras))).encode()


def text(change):
    """A config with something else in its place."""
    return lambda members: zipped(members | {CONFIG: json.dumps(change(json.loads(members[CONFIG]))).encode()})


NO_MODEL = {
    "nothing": lambda members: b"",
    "no archive": lambda members: b"hello" * 99,
    "half": lambda members: zipped(members)[: len(zipped(members)) // 2],
    "a header alone": lambda members: b"PK\3\4" + bytes(99),
    "no members": lambda members: zipped({}),
    "no config": lambda members: zipped(without(members, CONFIG)),
    "no weights": lambda members: zipped(without(members, WEIGHTS)),
    "a folder for a config": lambda members: zipped(without(members, CONFIG) | {f"{CONFIG}/": b""}),
    "a folder for weights": lambda members: zipped(without(members, WEIGHTS) | {f"{WEIGHTS}/": b""}),
    "config: no JSON": lambda members: zipped(members | {CONFIG: b"{{{"}),
    "config: no text": lambda members: zipped(members | {CONFIG: b"\xff\xfe"}),
    "config: deep": lambda members: zipped(members | {CONFIG: b"[" * 100_000}),
    "config: a list": text(lambda config: []),
    "config: null": text(lambda config: None),
    "config: empty": text(lambda config: {}),
    "config: no layers": text(lambda config: config | {"config": config["config"] | {"layers": 5}}),
    "config: odd layers": text(lambda config: config | {"config": config["config"] | {"layers": [5]}}),
    "config: odd inputs": text(lambda config: config | {"config": config["config"] | {"input_layers": 5}}),
    "config: unknown class": text(lambda config: config | {"class_name": "Nope", "module": "nope"}),
    "config: a number for a class": text(lambda config: config | {"class_name": 5}),
    "config: code": text(lambda config: {"module": "builtins", "class_name": "eval", "config": "1"}),
    "config: a layer": lambda members: zipped(members | {CONFIG: layer(lambda keras: keras.layers.Dense(2))}),
    "config: a dictionary": lambda members: zipped(members | {CONFIG: b'{"a": 1}'}),
}


@pytest.mark.parametrize("make", NO_MODEL.values(), ids=NO_MODEL)
def test_no_keras_model(make, sound, tmp_path):
    path = tmp_path / "net.keras"
    path.write_bytes(make(sound))
    with pytest.raises(UsageError) as caught:
        loading.load(path, "keras")
    assert len(str(caught.value).splitlines()) <= 3


def test_a_folder_is_no_keras_file(tmp_path):
    (tmp_path / "net.keras").mkdir()
    for read in (loading.load, weights.read):
        with pytest.raises(UsageError, match="net.keras"):
            read(tmp_path / "net.keras")


def dataset(name):
    return lambda file: file.create_dataset(name, data=[1.0])


def attribute(group, name, value):
    return lambda file: file.require_group(group).attrs.__setitem__(name, value)


def both(*steps):
    def fill(file):
        for step in steps:
            step(file)

    return fill


NO_WEIGHTS = {
    "nothing": lambda file: None,
    "layers: numbers": dataset("layers"),
    "a layer: numbers": dataset("layers/conv"),
    "arrays: numbers": dataset("layers/conv/vars"),
    "arrays without numbers": dataset("layers/conv/vars/x"),
    "an array: a group": lambda file: file.create_group("layers/conv/vars/0"),
    "an array: text": lambda file: file.create_dataset("layers/conv/vars/0", data="hello"),
    "names: numbers": attribute("/", "layer_names", [1, 2]),
    "names: one number": attribute("/", "layer_names", 7),
    "names of no group": attribute("/", "layer_names", ["a"]),
    "names of numbers": both(attribute("/", "layer_names", ["a"]), dataset("a")),
    "arrays: groups": both(attribute("/", "layer_names", ["a"]), attribute("a", "weight_names", ["b"]),
                           lambda file: file["a"].create_group("b")),
    "model: numbers": dataset("model_weights"),
    "no layers of any name": attribute("model_weights", "layer_names", []),
}  # fmt: skip


@pytest.mark.parametrize("inside", [False, True], ids=["h5", "keras"])
@pytest.mark.parametrize("fill", NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_no_keras_weights(fill, inside, sound, tmp_path, monkeypatch):
    # The process that tries a file first says the same; the rest of these tests go without it.
    monkeypatch.setattr(keras_h5, "_try_elsewhere", lambda path: None)
    content = hdf5(fill)
    path = tmp_path / "net"
    path.write_bytes(zipped(sound | {WEIGHTS: content}) if inside else content)
    with pytest.raises((UsageError, WeightsDamaged)) as caught:
        weights.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


@settings(max_examples=60)
@given(data=st.data())
def test_any_damaged_byte(data, sound, tmp_path, monkeypatch):
    """In an archive every byte of weights is under a checksum: they are the same, or refused."""
    with monkeypatch.context() as patch:
        patch.setattr(keras_h5, "_try_elsewhere", lambda path: None)
        path = tmp_path / "net.keras"
        content = bytearray(zipped(sound))
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        else:
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        try:
            found = weights.read(path)[1]
        except (UsageError, WeightsDamaged):
            return
        path.write_bytes(zipped(sound))
        for name, array in weights.read(path)[1].items():
            np.testing.assert_array_equal(found[name], array)
