from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kerazoo.applications import Seq2SeqSutskever, seq2seq_sutskever
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, START, placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.registry import Built
from tests.applications.common import in_float64, lstm, numbers_of

SMALL = seq2seq_sutskever.VARIANTS["seq2seq_sutskever"].small
SENTENCE, BEFORE = np.array([5, 9, 7, 11, 6, END]), np.array([START, 12, 8, 30])


def test_count_by_arithmetic():
    outer, recurrent = (160_000 + 80_000 + 80_000) * 1_000, 8 * 4 * 2 * 1_000**2
    assert outer + recurrent == 384_000_000 and recurrent == 64_000_000  # As the paper says.
    assert seq2seq_sutskever.VARIANTS["seq2seq_sutskever"].params == outer + recurrent + 8 * 4 * 1_000


def by_hand(w, source, before, config):
    """Section 2 of the paper for one sentence without padding: logits of each step."""
    layers = range(1, config.layers + 1)
    states = {layer: (np.zeros(config.units),) * 2 for layer in layers}
    for word in source[::-1]:
        x = w["source_embedding/embeddings"][word]
        for layer in layers:
            states[layer] = lstm(w, f"encoder_lstm{layer}/lstm_cell", x, *states[layer])
            x = states[layer][0]
    logits = []
    for word in before:
        x = w["target_embedding/embeddings"][word]
        for layer in layers:
            states[layer] = lstm(w, f"decoder_lstm{layer}", x, *states[layer])
            x = states[layer][0]
        logits.append(x @ w["words/kernel"])
    return np.array(logits)


def test_says_what_the_paper_says():
    with in_float64():
        model = seq2seq_sutskever.build(SMALL)
    rows = np.zeros((2, 2, SMALL.length), np.int32)
    rows[0, 0, : len(SENTENCE)], rows[1, 0, : len(BEFORE)] = SENTENCE, BEFORE
    rows[0, 1], rows[1, 1] = 13, 17  # A longer sentence beside it.
    logits = by_hand(numbers_of(model), SENTENCE, BEFORE, SMALL)
    np.testing.assert_allclose(np.asarray(model(list(rows)))[0, : len(BEFORE)], logits, rtol=0, atol=1e-6)
    # Step by step, as the task has it; in the network's own precision.
    single = seq2seq_sutskever.build(SMALL)
    single.set_weights(model.get_weights())
    several = seq2seq_sutskever.tasks(SMALL, Assets(vocabulary={"source": placeholder(40), "target": placeholder(50)}))
    network = keras_engine.network(Built("seq2seq_sutskever", single, several))
    step, state = several["translate"].begun(network, rows[0])
    for word, expected in zip(BEFORE, logits, strict=True):
        said, state = step(np.full(2, word, np.int32), state)
        np.testing.assert_allclose(said[0], expected, rtol=0, atol=1e-5)


def test_a_beam_needs_nothing_beside_the_state():
    built = seq2seq_sutskever.build(SMALL)
    several = seq2seq_sutskever.tasks(SMALL, Assets(vocabulary={"source": placeholder(40), "target": placeholder(50)}))
    network = keras_engine.network(Built("seq2seq_sutskever", built, several))
    task = replace(several["translate"], search="beam", width=3)
    said = task.answer(network, {"text": np.array([b"word5 word9"], object)})
    assert len(said["translation"]) == 1 and said["score"][0] <= 0


def test_vocabulary():
    with pytest.raises(UsageError, match="no vocabulary"):
        seq2seq_sutskever.tasks(SMALL, Assets())


def test_builder():
    sizes = {"source_words": 9, "target_words": 8, "length": 3, "layers": 2, "embedding": 2, "units": 4}
    assert Seq2SeqSutskever(**sizes).output_shape == (None, 3, 8)
    for arguments in ({"layers": 0}, {"units": 1.5}, {"dropout": 1.0}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            Seq2SeqSutskever(**{**sizes, **arguments})
