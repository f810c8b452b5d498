"""BERT reads what the published files hold and says what their own code says."""

from __future__ import annotations

import lzma
import os
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerazoo import registry, weights
from kerazoo.applications import BertTiny, MiniLML6, bert
from kerazoo.assets import Assets
from kerazoo.codecs._wordpiece import WordPiece, placeholder
from kerazoo.codecs.text import Vocabulary
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.weights._fit import assign
from tests.applications.common import DATA_ENV, close, needs_data, scatter
from tests.tasks.stubs import text
from tests.weights import files

SMALL = bert.VARIANTS["bert_tiny"].small
MINI = bert.VARIANTS["minilm_l6"].small
TOKENS = np.array([[2, 9, 10, 11, 3, 12, 13, 3, 0, 0], [2, 20, 3, 0, 0, 0, 0, 0, 0, 0]], np.int32)


def test_counts_by_arithmetic():
    for name, described in bert.VARIANTS.items():
        c = described.config
        units, norm = c.units, 2 * c.units
        block = (
            4 * (units * units + units) + norm + (units * 4 * units + 4 * units) + (4 * units * units + units) + norm
        )
        encoder = (c.vocabulary + c.positions + 2) * units + norm + c.layers * block
        pooler = units * units + units if c.pooler else 0
        heads = units * units + units + norm + c.vocabulary + 2 * units + 2 if c.pretraining else 0
        assert described.params == encoder + pooler + heads, name
    assert BertTiny(pretraining=False).count_params() == 4_385_920


@pytest.fixture(scope="module")
def model():
    return scatter(bert.build(SMALL))


def by_hand(model, tokens, heads):
    """The paper's equations on NumPy, in float64, for one text after the other and without padding."""
    w = {variable.path: variable.numpy().astype(np.float64) for variable in model.weights}

    def dense(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * w[f"{name}_norm/gamma"] + w[f"{name}_norm/beta"]

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    tokens = tokens[tokens != 0]
    segment = np.minimum(np.cumsum(tokens == 3) - (tokens == 3), 1)
    x = w["word_embedding/embeddings"][tokens] + w["segment_embedding/embeddings"][segment]
    x = norm(x + w["position_embedding/embeddings"][: len(tokens)], "embedding")
    layer = 0
    while f"layer{layer}_query/kernel" in w:
        name, mixed = f"layer{layer}", []
        query, key, value = (dense(x, f"{name}_{each}") for each in ("query", "key", "value"))
        for part in np.split(np.arange(x.shape[1]), heads):
            scores = query[:, part] @ key[:, part].T / np.sqrt(len(part))
            shares = np.exp(scores - scores.max(1, keepdims=True))
            mixed.append(shares / shares.sum(1, keepdims=True) @ value[:, part])
        x = norm(x + dense(np.concatenate(mixed, 1), f"{name}_attended"), f"{name}_attended")
        x = norm(x + dense(gelu(dense(x, f"{name}_inner")), f"{name}_outer"), f"{name}_outer")
        layer += 1
    pooled = np.tanh(dense(x[0], "pooler"))
    words = norm(gelu(dense(x, "words_transform")), "words") @ w["word_embedding/embeddings"].T + w["words_bias/bias"]
    following = dense(pooled, "following")
    return {"sequence": x, "embedding": x.mean(0), "pooled": pooled, "words": words, "following": following}


def test_the_network_is_the_equations(model):
    answers = model(TOKENS)
    for row, tokens in enumerate(TOKENS):
        for name, expected in by_hand(model, tokens, SMALL.heads).items():
            found = np.asarray(answers[name])[row]
            close(found[: len(expected)], expected, 1e-5)


def test_whether_a_text_follows_is_said_by_the_head_of_the_paper(model):
    several = bert.tasks(SMALL, Assets(vocabulary=placeholder(70)))
    task, network = several["follow"], keras_engine.network(registry.Built("bert_tiny", model, several))
    pairs = text("ab [SEP] word60 c", "word65[SEP]xyz")
    answer = task.answer(network, {"text": pairs})["probability"]
    for tokens, said in zip(task.input.prepare(ops, pairs), answer, strict=True):
        first, second = by_hand(model, tokens, SMALL.heads)["following"]
        np.testing.assert_allclose(said, 1 / (1 + np.exp(second - first)), rtol=1e-4)


def test_padding_changes_nothing(model):
    alone = {name: np.asarray(value) for name, value in model(TOKENS[1:, :3]).items()}
    among = {name: np.asarray(value)[1:] for name, value in model(TOKENS).items()}
    for name in ("embedding", "pooled", "following"):
        np.testing.assert_allclose(among[name], alone[name], atol=1e-6)
    np.testing.assert_allclose(among["sequence"][:, :3], alone["sequence"], atol=1e-6)


def google(model, config):
    """A model's weights under Google's names."""
    recipe = bert._recipe(config)
    arrays = {variable.path: variable.numpy() for variable in model.weights}
    return {name: change(arrays[path]) for path, (name, change) in recipe.items()}


def hugging_face(model, config):
    """The same under Hugging Face's."""
    named = {}
    for name, array in google(model, config).items():
        name = name.replace("cls/predictions/output_bias", "cls/predictions/bias")
        name = name.replace("seq_relationship/output_weights", "seq_relationship/weight")
        name = name.replace("seq_relationship/output_bias", "seq_relationship/bias")
        name = re.sub("layer_(\\d)", "layer.\\1", name).replace("/", ".")
        if name.endswith("kernel"):
            array = array.T
        name = re.sub("(kernel|gamma)$", "weight", name).replace(".beta", ".bias")
        named[f"{name}.weight" if name.endswith("_embeddings") else name] = np.ascontiguousarray(array)
    return named


def checkpoint(path, arrays):
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(path), tensor_names=names, shape_and_slices=[""] * len(names), tensors=[arrays[n] for n in names]
    )
    return Path(f"{path}.index")


def equal(mine, theirs):
    for one, other in zip(mine.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_a_checkpoint_of_google_is_read(model, tmp_path):
    arrays = google(model, SMALL) | {"global_step": np.int64(5)}
    arrays["bert/pooler/dense/kernel/adam_m"] = np.zeros((16, 16), np.float32)
    other = bert.build(SMALL)
    kind, tensors = weights.read(checkpoint(tmp_path / "bert_model.ckpt", arrays))
    assign(other, bert.SOURCES[kind](SMALL, tensors), "file")
    equal(model, other)
    bare = replace(SMALL, pretraining=False)
    encoder = bert.build(bare)
    assign(encoder, bert.SOURCES[kind](bare, tensors), "file")
    close(encoder(TOKENS)["pooled"], model(TOKENS)["pooled"], 1e-6)
    del tensors["bert/pooler/dense/bias"]
    with pytest.raises(UsageError, match="bert/pooler/dense/bias"):
        bert.SOURCES[kind](SMALL, tensors)


@pytest.mark.parametrize("container", [files.safetensors, files.torch_zip, files.torch_legacy])
def test_files_of_hugging_face_are_read(model, tmp_path, container):
    arrays = hugging_face(model, SMALL)
    arrays["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
    if container is files.torch_legacy:  # What was converted from TensorFlow has its names of a norm.
        arrays = {
            re.sub("LayerNorm.weight$", "LayerNorm.gamma", re.sub("LayerNorm.bias$", "LayerNorm.beta", name)): array
            for name, array in arrays.items()
        }
    container(tmp_path / "model", arrays)
    other = bert.build(SMALL)
    kind, tensors = weights.read(tmp_path / "model")
    assign(other, bert.SOURCES["torch"](SMALL, tensors), "file")
    equal(model, other)


def test_an_encoder_alone_may_go_without_the_first_word_of_its_names(tmp_path):
    mine = scatter(bert.build(MINI))
    arrays = {name.removeprefix("bert."): array for name, array in hugging_face(mine, MINI).items()}
    arrays |= {"pooler.dense.weight": np.ones((16, 16), np.float32), "pooler.dense.bias": np.ones(16, np.float32)}
    arrays["embeddings.position_ids"] = np.arange(32)[None]
    other = bert.build(MINI)
    assign(other, bert.SOURCES["torch"](MINI, arrays), "file")
    equal(mine, other)


def test_whole_numbers_with_scales_are_read():
    mine = scatter(bert.build(MINI))
    arrays, number = {}, 49
    for name, array in hugging_face(mine, MINI).items():
        name = name.removeprefix("bert.")
        matrix = array.ndim == 2 and not name.endswith("_embeddings.weight")
        if not matrix and not re.search("(word|position)_embeddings", name):
            arrays[f"inner.{name}"] = array
            continue
        scale = np.float32(2**-6)
        levels = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
        arrays[f"inner.{name}"] = levels, np.full((len(array), 1), scale)
        if matrix:
            layer = int(name.split(".")[2])
            order = ["query", "key", "value", "attention.output", "intermediate", ""]
            place = next(index for index, word in enumerate(order) if word in name)
            arrays[f"val_{100 * layer + 9 * place + number}"] = levels.T, np.full((1, len(array)), scale)
            del arrays[f"inner.{name}"]
    held = {}
    for name, value in arrays.items():
        held |= {f"{name}_q": value[0], f"{name}_scale": value[1]} if isinstance(value, tuple) else {name: value}
    held["val_8"] = np.array([1])
    other = bert.build(MINI)
    assign(other, bert.SOURCES["onnx"](MINI, held), "file")
    for one, two in zip(mine.weights, other.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=2**-7 if one.numpy().ndim == 2 else 0)


def test_a_vocabulary_of_another_network_is_refused():
    with pytest.raises(UsageError, match=r"60 pieces.*bert_tiny has 70"):
        bert.tasks(SMALL, Assets(vocabulary=placeholder(60)))
    with pytest.raises(UsageError, match=r"\[SEP\] as number 5; .*\[SEP\] as number 3"):
        bert.tasks(SMALL, Assets(vocabulary=placeholder(70, 5)))
    for size in (70, 60):
        with pytest.raises(UsageError, match=rf"{size} pieces, no \[SEP\]"):
            bert.tasks(SMALL, Assets(vocabulary=Vocabulary(map(str, range(size)))))
    with pytest.raises(UsageError, match="has no vocabulary"):
        bert.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="begins with"):
        bert.tasks(SMALL, Assets(vocabulary=Vocabulary(["a", "b", "c", "[SEP]", *map(str, range(66))])))


def test_tables_know_the_tasks_without_a_vocabulary():
    rows = {row["name"]: row["tasks"] for row in registry.rows("*i*", task="embed")}
    several = bert.tasks(SMALL, Assets(vocabulary=placeholder(70)))
    assert rows["bert_tiny:google"] == ["fill", "embed", "follow"] == list(several)
    assert rows["minilm_l6:all"] == ["embed"] == list(bert.tasks(MINI, Assets(vocabulary=placeholder(70))))


def test_a_text_that_is_too_long_for_the_positions_is_refused():
    codec = bert.tasks(SMALL, Assets(vocabulary=placeholder(70)))["fill"].input
    assert codec.length == SMALL.positions and not codec.cut


@needs_data
@pytest.mark.slow
def test_minilm_says_what_its_file_says(tmp_path):
    import onnxruntime

    data = Path(os.environ[DATA_ENV])
    path = tmp_path / "all.onnx"
    path.write_bytes(lzma.decompress((data / "weights" / "all-MiniLM-L6-v2_int8.onnx.xz").read_bytes()))
    with tarfile.open(data / "bert_text.tar.xz") as archive:
        words = Vocabulary.loads(archive.extractfile("bert_uncased_vocab.txt").read())
        pairs = archive.extractfile("sts_benchmark_dev.tsv").read().decode().splitlines()[:40]
    task = bert.tasks(bert.VARIANTS["minilm_l6"].config, Assets(vocabulary=words))["embed"]
    assert isinstance(task.input, WordPiece)
    tokens = task.input.prepare(ops, text(*[line.split("\t")[1] for line in pairs]))
    mask = (tokens != 0).astype(np.int64)
    session = onnxruntime.InferenceSession(str(path))
    (last,) = session.run(
        None, {"input_ids": tokens.astype(np.int64), "attention_mask": mask, "token_type_ids": mask * 0}
    )
    found = MiniLML6(str(path))(tokens)
    assert np.abs((np.asarray(found["sequence"]) - last) * mask[..., None]).max() < 1e-5
    mean = (last * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    assert np.abs(np.asarray(found["embedding"]) - mean).max() < 1e-5
