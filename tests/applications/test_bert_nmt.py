from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kerazoo.applications import BertNMT, bert, bert_nmt, transformer
from kerazoo.assets import Assets, beside
from kerazoo.codecs._wordpiece import placeholder as pieces
from kerazoo.codecs.text import END, START, placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import InputError, UsageError
from kerazoo.train import state as state_
from kerazoo.train.jobs import translate
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Constant, Optimizer
from tests.conformance.models import assets, built, fill
from tests.tasks.stubs import text

SMALL = bert_nmt.VARIANTS["bert_nmt_fused"].small
BOTH = pytest.mark.parametrize("name", ["bert_nmt_frozen", pytest.param("bert_nmt_fused", marks=pytest.mark.slow)])


def test_counts_by_arithmetic():
    reader = bert.VARIANTS["minilm_l6"]
    n = reader.config.units
    for described in bert_nmt.VARIANTS.values():
        c = described.config
        attention, norm = 4 * (c.units**2 + c.units), 2 * c.units
        # Queries and what is mixed are as wide as the Transformer, keys and values are made of what BERT says.
        beside = 2 * (c.units**2 + c.units) + 2 * (n * c.units + c.units)
        fed = 2 * c.units * c.inner + c.inner + c.units
        encoder, decoder = attention + fed + 2 * norm, 2 * attention + fed + 3 * norm
        learnt = c.words * c.units + c.layers * decoder
        if c.fused:
            learnt += c.bert.vocabulary * c.units + c.layers * (encoder + 2 * beside)
        else:
            learnt += n * c.units + c.units
        assert reader.params + learnt == described.params


def some(config, rows=3, seed=0):
    """Pieces of sentences, one of them short, and words before each step."""
    random = np.random.default_rng(seed)
    tokens = random.integers(4, config.bert.vocabulary, (rows, config.length)).astype(np.int32)
    tokens[1, 5:] = 0
    return tokens, random.integers(4, config.words, (rows, config.length)).astype(np.int32)


@pytest.mark.slow
@pytest.mark.parametrize("name", bert_nmt.VARIANTS)
def test_greedy_with_the_cache_is_greedy_without(name):
    made = built(name)
    task, network = made.task, keras_engine.network(made)
    request = text("a b c", "word60 d word61 e f word62", "word58")
    said = task.answer(network, {"text": request})["translation"]
    tokens = task.source.prepare(network.ops, request)
    assert tokens.shape == (3, SMALL.length)
    before = np.full((3, 1), START, np.int32)
    for _ in range(SMALL.length):
        logits = np.array(made.keras([tokens, before])["logits"])[:, -1]
        logits[:, :3] = -np.inf
        ended = (before == END).any(1)
        before = np.concatenate([before, np.where(ended, END, logits.argmax(-1))[:, None]], 1).astype(np.int32)
    plain = task.written().decode(network.ops, before[:, 1:])
    assert said.tolist() == plain.tolist()


def test_without_bert_the_fused_form_is_the_plain_transformer():
    """Half of what attention gives is its mean with nothing: what it is mixed to is doubled, without rounding."""
    plain = transformer.build(replace(transformer.VARIANTS["transformer_small"].small, words=70))
    fused = bert_nmt.build(replace(SMALL, words=70))
    fill(plain)
    fill(fused)
    known = {variable.path: variable.numpy() for variable in plain.weights}
    paired = [f"encoder_{n}_mixed" for n in (1, 2)] + [f"decoder_{n}_source_mixed" for n in (1, 2)]
    taken = set()
    for variable in fused.weights:
        layer, _, kind = variable.path.rpartition("/")
        if layer.endswith("bert_mixed"):
            variable.assign(np.zeros(variable.shape))
        path = f"words/{kind}" if layer == "source_words" else variable.path
        if path in known:
            variable.assign(known[path] * (2 if layer in paired else 1))
            taken.add(path)
    assert taken == set(known)
    inputs = list(some(replace(SMALL, words=70)))
    expected, got = plain(inputs), fused(inputs)
    assert set(got) == set(expected) > {"logits", "next_decoder_1_keys", "next_count"}
    for port in expected:
        np.testing.assert_array_equal(got[port], expected[port])
    # With BERT it is another one.
    fill(fused)
    assert np.abs(np.asarray(fused(inputs)["logits"]) - np.asarray(expected["logits"])).max() > 1e-2


@BOTH
def test_what_is_frozen_says_what_bert_alone_says(name):
    reader, alone = built(name).keras.get_layer("bert"), bert.build(SMALL.bert)
    alone.set_weights(reader.get_weights())
    tokens, _ = some(SMALL)
    np.testing.assert_array_equal(reader(tokens), alone(tokens)["sequence"])


def test_nothing_of_what_is_frozen_is_dropped():
    config = replace(SMALL, dropout=0.0, drop_net=0.0, bert=replace(SMALL.bert, dropout=0.5))
    model, inputs = bert_nmt.build(config), list(some(SMALL))
    np.testing.assert_array_equal(model(inputs, training=True)["logits"], model(inputs, training=False)["logits"])


@pytest.fixture
def eagerly():
    """A step is not traced, which would take longer than taking two of them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@BOTH
def test_what_is_frozen_does_not_learn(name, eagerly):
    config = replace(bert_nmt.VARIANTS[name].small, layers=1, bert=replace(SMALL.bert, layers=1))
    task = bert_nmt.tasks(config, assets(config))["translate"]
    pairs, _ = translate.read([("a b c", "word5 word6"), ("word60 d", "word7 word8 word9")] * 2, task)
    assert pairs.source[0].tolist() == [*task.source.prepare(keras_engine.network(built(name)).ops, text("a b c"))[0]]
    step = translate.step(bert_nmt, config)
    recipe = Recipe(name, lambda: bert_nmt.build(config), pairs, step, Optimizer("adam"), Constant(1e-2), batch=4)
    state = state_.begin(recipe)
    before = {variable.path: variable.numpy().copy() for variable in state.model.weights}
    reader = {variable.path for variable in state.model.get_layer("bert").weights}
    for epoch in range(2):
        state, figures = recipe.step(state, pairs.batch(np.arange(4), np.random.default_rng(epoch)))
        assert np.isfinite(figures["loss"])
    moved = {each.path for each in state.model.weights if not np.array_equal(each.numpy(), before[each.path])}
    assert not moved & reader
    if not config.fused:  # Drop-net may leave what reads BERT, or all else, out of two steps.
        assert moved == set(before) - reader


def test_two_vocabularies_belong_to_it(tmp_path):
    config = bert_nmt.VARIANTS["bert_nmt_frozen"].small
    both = {"source": pieces(70), "target": placeholder(50)}
    task = bert_nmt.tasks(config, Assets(vocabulary=both))["translate"]
    with pytest.raises(InputError, match="more than 6 pieces"):
        task.source.prepare(keras_engine.network(built("bert_nmt_frozen")).ops, text("a b c d e f g"))
    (tmp_path / "mine.vocabulary.txt").write_bytes(placeholder(50).dumps())
    for lacking in (beside(tmp_path / "mine.npz"), Assets(vocabulary=placeholder(50))):
        with pytest.raises(UsageError, match="lacks a vocabulary to read with or one to write with"):
            bert_nmt.tasks(config, lacking)
    (tmp_path / "yours.npz").touch()
    with pytest.raises(UsageError, match="beside them: yours.source.txt and yours.target.txt"):
        bert_nmt.tasks(config, beside(tmp_path / "yours.npz"))
    with pytest.raises(UsageError, match="target vocabulary has 49 words; bert_nmt_frozen has 50"):
        bert_nmt.tasks(config, Assets(vocabulary={**both, "target": placeholder(49)}))
    with pytest.raises(UsageError, match="69 pieces"):
        bert_nmt.tasks(config, Assets(vocabulary={**both, "source": pieces(69)}))


def test_builder(tmp_path, monkeypatch):
    monkeypatch.setitem(bert.VARIANTS, "minilm_l6", replace(bert.VARIANTS["minilm_l6"], config=SMALL.bert))
    monkeypatch.setattr(bert_nmt, "FROZEN", SMALL.bert)
    sizes = {"words": 9, "length": 5, "layers": 1, "units": 6, "inner": 4, "heads": 3}
    reader = bert.MiniLML6()
    fill(reader)
    reader.save_weights(tmp_path / "reader.weights.h5")
    for fused in (False, True):
        model = BertNMT(bert_weights=tmp_path / "reader.weights.h5", fused=fused, **sizes)
        assert model.name == ("bert_nmt_fused" if fused else "bert_nmt_frozen")
        assert model.output["logits"].shape == (None, None, 9)
        for mine, theirs in zip(model.get_layer("bert").weights, reader.weights, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    for arguments in (
        {"heads": 5}, {"units": 0}, {"dropout": 1.0}, {"drop_net": 1.1}, {"drop_net": True}, {"length": 33},
        {"weights": "wmt"}, {"weights": tmp_path / "a.npz", "bert_weights": "all"},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            BertNMT(**{**sizes, **arguments})
