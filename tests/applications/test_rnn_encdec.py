from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerazoo.applications import RNNEncoderDecoder, rnn_encdec
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, START, placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.registry import Built
from tests.applications.common import in_float64, numbers_of, sigmoid

SMALL, PLAIN = (rnn_encdec.VARIANTS[name].small for name in ("rnn_encdec", "rnn_encdec_small"))
SENTENCE, BEFORE = np.array([5, 9, 7, 11, 6, END]), np.array([START, 12, 8, 30])


def test_count_by_arithmetic():
    words, embedding, units, maxout, rank = 15_001, 100, 1_000, 500, 100
    encoder = words * embedding + 3 * (embedding + units) * units
    bridges = 2 * units * units
    decoder = words * embedding + 3 * (embedding + 2 * units) * units
    readout = (2 * units + embedding) * 2 * maxout
    output = maxout * rank + rank * words
    params = rnn_encdec.VARIANTS["rnn_encdec"].params
    assert encoder + bridges + decoder + readout + output == params == 18_250_300
    assert params - output + maxout * words == 24_200_700


@pytest.mark.parametrize("changes", [{"rank": None}, {"plain": True}])
def test_count_of_each_kind(changes):
    small = replace(SMALL, length=2)
    counts = [rnn_encdec.build(config).count_params() for config in (small, replace(small, **changes))]
    units, maxout, rank, words = SMALL.units, SMALL.maxout, SMALL.rank, SMALL.target_words
    biases = 2 * 3 * units + 2 * units + 2 * maxout + words
    expected = {"rank": maxout * words - rank * (maxout + words), "plain": biases}
    assert counts[1] - counts[0] == expected[next(iter(changes))]


def gated(w, x, h, name):
    """One step of the encoder: the gate resets before the product."""
    (xz, xr, xn), (uz, ur, un) = (np.split(w[f"{name}/{kind}"], 3, -1) for kind in ("kernel", "recurrent_kernel"))
    z, r = sigmoid(x @ xz + h @ uz), sigmoid(x @ xr + h @ ur)
    return z * h + (1 - z) * np.tanh(x @ xn + (r * h) @ un)


def by_hand(w, source, before, config):
    """Section 2 and appendix A.1 of the paper for one sentence without padding: logits of each step."""
    h = np.zeros(config.units)
    for word in source:
        h = gated(w, w["source_embedding/embeddings"][word], h, "encoder_gru/gru_cell")
    c = np.tanh(h @ w["summary/kernel"])
    h, logits = np.tanh(c @ w["first_state/kernel"]), []
    for word in before:
        e = w["target_embedding/embeddings"][word]
        # The matrices W of the word, U of the state and C of the context lie one upon the other.
        at = np.cumsum([config.embedding, config.units])
        (wz, uz, cz), (wr, ur, cr) = (np.split(w[f"decoder_{gate}/kernel"], at) for gate in ("update", "reset"))
        un, cn = np.split(w["decoder_held/kernel"], [config.units])
        z, r = sigmoid(e @ wz + h @ uz + c @ cz), sigmoid(e @ wr + h @ ur + c @ cr)
        h = z * h + (1 - z) * np.tanh(e @ w["decoder_word/kernel"] + r * (h @ un + c @ cn))
        pieces = []
        for index in (1, 2):
            oh, oy, oc = np.split(w[f"maxout_piece{index}/kernel"], np.cumsum([config.units, config.embedding]))
            pieces.append(h @ oh + e @ oy + c @ oc)
        s = np.maximum(*pieces)
        logits.append((s @ w["rank/kernel"] if config.rank else s) @ w["words/kernel"])
    return np.array(logits)


@pytest.mark.parametrize("rank", [SMALL.rank, None])
def test_says_what_the_equations_of_the_paper_say(rank):
    config = replace(SMALL, rank=rank)
    with in_float64():
        model = rnn_encdec.build(config)
    rows = np.zeros((2, 2, SMALL.length), np.int32)
    rows[0, 0, : len(SENTENCE)], rows[1, 0, : len(BEFORE)] = SENTENCE, BEFORE
    rows[0, 1], rows[1, 1] = 13, 17  # A longer sentence beside it.
    logits = by_hand(numbers_of(model), SENTENCE, BEFORE, config)
    np.testing.assert_allclose(np.asarray(model(list(rows)))[0, : len(BEFORE)], logits, rtol=0, atol=1e-6)


def test_one_step_of_the_plain_decoder_by_hand():
    keras.utils.set_random_seed(0)
    decoder = rnn_encdec.build(PLAIN).get_layer("decoder")
    for variable in decoder.weights:
        variable.assign(np.random.default_rng(len(variable.path)).normal(0, 0.5, variable.shape))
    weights = {variable.path: variable.numpy() for variable in decoder.weights}
    random = np.random.default_rng(1)
    state, context = (random.normal(0, 1, (2, SMALL.units)).astype(np.float32) for _ in range(2))
    token = np.array([5, 9], np.int32)
    logits, following = (np.asarray(out) for out in decoder([token, state, context]))

    word = weights["target_embedding/embeddings"][token]
    x = np.concatenate([word, context], -1) @ weights["decoder_gru/kernel"] + weights["decoder_gru/bias"]
    recurrent = np.split(weights["decoder_gru/recurrent_kernel"], 3, -1)
    xz, xr, xh = np.split(x, 3, -1)
    update, reset = sigmoid(xz + state @ recurrent[0]), sigmoid(xr + state @ recurrent[1])
    candidate = np.tanh(xh + (reset * state) @ recurrent[2])
    expected = update * state + (1 - update) * candidate
    np.testing.assert_allclose(following, expected, atol=1e-5)
    readout = np.concatenate([expected, word, context], -1)
    pieces = [readout @ weights[f"maxout_piece{i}/kernel"] + weights[f"maxout_piece{i}/bias"] for i in (1, 2)]
    maxout = np.maximum(*pieces) @ weights["rank/kernel"]
    np.testing.assert_allclose(logits, maxout @ weights["words/kernel"] + weights["words/bias"], atol=1e-4)


def test_padding_does_not_change_the_context():
    encoder = rnn_encdec.build(SMALL).get_layer("encoder")
    longer = keras.models.clone_model(encoder)
    longer.set_weights(encoder.get_weights())
    sentence = np.array([[5, 6, END, 0, 0, 0, 0, 0]], np.int32)
    other = np.array([[5, 6, END, 7, 0, 0, 0, 0]], np.int32)
    context = np.asarray(encoder(sentence)[0])
    assert not np.allclose(context, encoder(other)[0])
    gru, embedding = encoder.get_layer("encoder_gru"), encoder.get_layer("source_embedding")
    short = keras.layers.GRU.from_config({**gru.get_config(), "unroll": False, "name": "short"})
    short.build((None, 3, SMALL.embedding))
    short.set_weights(gru.get_weights())
    state = short(embedding(sentence[:, :3]))
    np.testing.assert_allclose(encoder.get_layer("summary")(state), context, atol=1e-5)


@pytest.mark.slow
def test_learns_to_copy_and_the_task_says_so():
    keras.utils.set_random_seed(0)
    config = rnn_encdec.Config(source_words=12, target_words=12, length=5, embedding=16, units=48, maxout=24, rank=16)
    model = rnn_encdec.build(config)
    random = np.random.default_rng(0)
    words = random.integers(4, 12, (512, 2))
    source = np.zeros((512, 5), np.int32)
    source[:, :2], source[:, 2] = words, END
    before = np.concatenate([np.full((512, 1), START), source[:, :-1]], 1).astype(np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    history = model.fit([source, before], source, batch_size=64, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0] * 0.1
    several = rnn_encdec.tasks(config, Assets(vocabulary=placeholder(12)))
    task = several["translate"]
    network = keras_engine.network(Built("rnn_encdec", model, several))
    said = task.answer(network, {"text": np.array([b"word5 word9", b"word11 word4"], object)})
    assert said["translation"].tolist() == [b"word5 word9", b"word11 word4"]
    assert (said["score"] > -0.2).all()


def test_vocabulary():
    with pytest.raises(UsageError, match="no vocabulary"):
        rnn_encdec.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="source vocabulary has 39 words; rnn_encdec has 40"):
        rnn_encdec.tasks(SMALL, Assets(vocabulary=placeholder(39)))


def test_builder():
    model = RNNEncoderDecoder(source_words=9, target_words=8, length=3, embedding=2, units=4, maxout=3, rank=2)
    assert model.output_shape == (None, 3, 8)
    for arguments in ({"units": 0}, {"length": 1.5}, {"weights": "imagenet"}, {"rank": 0}, {"plain": 1}):
        with pytest.raises(UsageError):
            RNNEncoderDecoder(**arguments)
