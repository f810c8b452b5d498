from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import RNNEncoderDecoder, rnn_encdec
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, START, placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.registry import Built

SMALL = rnn_encdec.VARIANTS["rnn_encdec"].small


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_count_by_arithmetic():
    words, embedding, units, maxout, rank = 15_000, 100, 1_000, 500, 100
    gates = 3 * (units * units + units)
    encoder = words * embedding + 3 * embedding * units + gates
    bridges = 2 * (units * units + units)
    decoder = words * embedding + 3 * (embedding + units) * units + gates
    output = (2 * units + embedding + 1) * 2 * maxout + maxout * rank + (rank + 1) * words
    assert encoder + bridges + decoder + output == rnn_encdec.VARIANTS["rnn_encdec"].params == 18_274_000


def test_one_step_of_the_decoder_by_hand():
    keras.utils.set_random_seed(0)
    decoder = rnn_encdec.build(SMALL).get_layer("decoder")
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
    for arguments in ({"units": 0}, {"length": 1.5}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            RNNEncoderDecoder(**arguments)
