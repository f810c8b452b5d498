"""Where weights come from: a word resolved to files once, in one file or in parts, with what belongs to them."""

import hashlib
import types

import numpy as np
import pytest

from kerazoo import assets, manifest, registry, store, weights
from kerazoo.codecs.text import Vocabulary, placeholder
from kerazoo.errors import UsageError, WeightsDamaged
from kerazoo.manifest import Entry, File
from kerazoo.store import receipts
from kerazoo.weights import Source
from tests.weights import files

RANDOM = np.random.default_rng(5)


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """An entry of files by role (`full`, `part:encoder`, ...): bytes and format; all of them to be fetched."""
    monkeypatch.setenv("KERAZOO_HOME", str(tmp_path / "cache"))
    known = {}
    monkeypatch.setattr(manifest, "load", lambda: known)

    def make(name, contents):
        listed = []
        for role, (content, form) in contents.items():
            path = tmp_path / f"{role.replace(':', '_')}.bin"
            path.write_bytes(content)
            sha = hashlib.sha256(content).hexdigest()
            listed.append(File(path.name, role, (path.as_uri(),), "sha256", sha, len(content), form))
        known[name] = Entry(name, tuple(listed), "Apache-2.0", "a test", None, {})
        return known[name]

    return make


def two_towers():
    import keras

    def tower(name):
        inputs = keras.Input((3,), name=f"{name}_in")
        return keras.Model(inputs, keras.layers.Dense(2, name=f"{name}_dense")(inputs), name=name)

    inputs = keras.Input((3,), name="input")
    outputs = keras.layers.Add(name="sum")([tower("left")(inputs), tower("right")(inputs)])
    return keras.Model(inputs, outputs, name="net")


def arrays(name):
    return {f"{name}_dense/kernel": RANDOM.normal(size=(3, 2)), f"{name}_dense/bias": RANDOM.normal(size=2)}


def test_the_hash_is_the_one_that_was_noted(publish, tmp_path, monkeypatch):
    content = files.npz_bytes(a=np.ones(3))
    publish("net:data", {"full": (content, "npz")})
    first = weights.resolve("net", "data")
    assert first.files["full"].read_bytes() == content

    def read(*_):
        raise AssertionError("the file was read for its hash again")

    monkeypatch.setattr(receipts, "digest", read)
    again = weights.resolve("net", "data")
    assert again == first
    assert again.sha256 == hashlib.sha256(content).hexdigest()
    assert again.name == "net:data" and again.format == "npz"


def test_a_file_of_one_s_own(tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(files.npz_bytes(a=np.ones(3)))
    source = weights.resolve("lenet5", path)
    assert (source.name, source.format, source.files) == (str(path), None, {"full": path})
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match="is not known for lenet5"):
        weights.resolve("lenet5", "nothing")


def test_parts_are_loaded_together(publish):
    left, right = arrays("left"), arrays("right")
    parts = {"left": files.npz_bytes(**left), "right": files.npz_bytes(**right)}
    publish("net:data", {f"part:{name}": (content, "npz") for name, content in parts.items()})
    source, model = weights.resolve("net", "data"), two_towers()
    assert list(source.files) == ["part:left", "part:right"]
    weights.load(model, None, {}, source)
    for variable in model.weights:
        np.testing.assert_array_equal(variable, (left | right)[variable.path].astype("f"))
    hashes = [hashlib.sha256(content).hexdigest() for content in parts.values()]
    assert source.sha256 == hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def test_converters_see_which_part_a_tensor_is_of(publish, tmp_path):
    """Parts of the same names, as two networks of one class have them."""
    found = {}
    for name in ("left", "right"):
        found[name] = {"fc.weight": RANDOM.normal(size=(2, 3)).astype("f"), "fc.bias": np.full(2, len(name), "f")}
        files.safetensors(tmp_path / name, found[name])
    publish("net:data", {f"part:{name}": ((tmp_path / name).read_bytes(), "safetensors") for name in found})

    def convert(config, tensors):
        assert config == "built"
        made = {}
        for name in found:
            made |= {f"{name}_dense/kernel": tensors[f"{name}.fc.weight"].T}
            made |= {f"{name}_dense/bias": tensors[f"{name}.fc.bias"]}
        return made

    model = two_towers()
    weights.load(model, "built", {"torch": convert}, weights.resolve("net", "data"))
    np.testing.assert_array_equal(model.get_layer("right").weights[0], found["right"]["fc.weight"].T)


def test_parts_that_hold_the_same_are_refused(publish):
    same = files.npz_bytes(**arrays("left"))
    publish("net:data", {"part:left": (same, "npz"), "part:right": (same, "npz")})
    with pytest.raises(WeightsDamaged, match="two of its parts hold left_dense"):
        weights.load(two_towers(), None, {}, weights.resolve("net", "data"))


def test_another_format_than_the_manifest_says(publish):
    publish("net:data", {"full": (files.npz_bytes(**arrays("left")), "torch")})
    with pytest.raises(WeightsDamaged, match="reads as npz, expected torch"):
        weights.load(two_towers(), None, {}, weights.resolve("net", "data"))


def test_a_missing_part_is_not_present(publish):
    entry = publish("net:data", {f"part:{name}": (files.npz_bytes(**arrays(name)), "npz") for name in "ab"})
    assert not store.present(entry)
    store.fetch(entry, "part:a")
    assert not store.present(entry)
    assert list(store.fetch_all(entry)) == ["part:a", "part:b"]
    assert store.present(entry)


def test_the_config_that_was_built_is_what_is_converted_with(tmp_path):
    """Converters lay kernels out for the network that there is, not for the variant's usual sizes."""
    from kerazoo.applications import _builder, vgg

    seen = []
    family = types.SimpleNamespace(
        VARIANTS=vgg.VARIANTS, build=vgg.build, SOURCES={"torch": lambda config, tensors: seen.append(config) or {}}
    )
    config = vgg.VARIANTS["vgg11"].small
    files.safetensors(tmp_path / "full", {"a": np.ones(2, "f")})
    with pytest.raises(UsageError, match="does not fit"):
        _builder.restore(vgg.build(config), family, "vgg11", config, tmp_path / "full")
    assert seen == [config]


# Vocabularies.


def test_an_entry_s_vocabulary(publish, monkeypatch):
    words = placeholder(12)
    entry = publish("net:data", {"full": (b"x", "npz"), "asset:vocabulary": (words.dumps(), "text")})
    found = assets.of(entry)
    assert found.vocabulary == words and isinstance(found.vocabulary, Vocabulary)
    monkeypatch.setattr(assets, "_read", None)
    assert assets.of(entry).vocabulary is found.vocabulary


def test_an_entry_s_two_vocabularies(publish):
    sides = {"source": placeholder(7), "target": Vocabulary((*placeholder(5), "größe", "日本語"))}
    named = {f"asset:vocabulary_{side}": (words.dumps(), "text") for side, words in sides.items()}
    entry = publish("net:data", {"full": (b"x", "npz")} | named)
    assert assets.of(entry).vocabulary == sides
    assert list(weights.resolve("net", "data").weights) == ["full"]


@pytest.mark.parametrize("content", [b"a\n\nb\n", b"\xff\xfe\n"])
def test_an_entry_s_vocabulary_that_is_none(content, publish):
    entry = publish("net:data", {"full": (b"x", "npz"), "asset:vocabulary": (content, "text")})
    with pytest.raises(WeightsDamaged, match="net:data"):
        assets.of(entry)


@pytest.fixture
def translator(tmp_path, monkeypatch):
    """A small RNN encoder-decoder and a file of its weights."""
    from kerazoo.applications import rnn_encdec

    described = rnn_encdec.VARIANTS["rnn_encdec"]
    small = types.SimpleNamespace(**vars(described) | {"config": described.small})
    monkeypatch.setitem(rnn_encdec.VARIANTS, "rnn_encdec", small)
    monkeypatch.setitem(registry.variants(), "rnn_encdec", (rnn_encdec, small))
    model = rnn_encdec.build(described.small)
    np.savez(tmp_path / "words.npz", **{variable.path: variable.numpy() for variable in model.weights})
    return tmp_path / "words.npz", described.small


def test_a_vocabulary_of_one_s_own_beside_the_weights(translator):
    path, config = translator
    name = f"rnn_encdec:{path}"
    with pytest.raises(UsageError, match=r"words\.vocabulary\.txt, or words\.source\.txt") as caught:
        registry.build(name)
    assert len(str(caught.value).splitlines()) <= 3
    path.with_name("words.source.txt").write_bytes(placeholder(config.source_words).dumps())
    with pytest.raises(UsageError, match=r"words\.target\.txt is missing"):
        registry.build(name)
    path.with_name("words.target.txt").write_bytes(placeholder(config.target_words).dumps())
    built = registry.build(name)
    assert built.task.kind == "translate"
    assert built.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("words.source.txt").write_bytes(placeholder(39).dumps())
    with pytest.raises(UsageError, match="source vocabulary has 39 words"):
        registry.build(name)


def test_names_of_vocabularies_beside_weights(tmp_path):
    for weights_name in ("net.weights.h5", "net.npz", "net.pth"):
        (tmp_path / "net.vocabulary.txt").write_bytes(placeholder(6).dumps())
        assert assets.beside(tmp_path / weights_name).vocabulary == placeholder(6)


def test_sources_are_plain_values(tmp_path):
    source = Source("a", {"full": tmp_path, "asset:vocabulary": tmp_path}, None, {})
    assert source.weights == {"full": tmp_path}
    with pytest.raises(AttributeError):
        source.name = "b"
