from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerazoo.applications import AttentionLuong, luong
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, START, placeholder
from kerazoo.engines import keras as keras_engine
from kerazoo.errors import UsageError
from kerazoo.registry import Built
from tests.applications.common import in_float64, lstm, numbers_of, sigmoid, softmax

SMALL = luong.VARIANTS["attention_luong"].small
SENTENCE, BEFORE = np.array([5, 9, 7, 11, 6, END]), np.array([START, 12, 8, 30])

PLAIN = 2 * 50_000 * 1_000 + 8 * 4 * (2 * 1_000 * 1_000 + 1_000) + 50_000 * 1_000
"""Two embeddings, 4 + 4 layers with a bias a gate, and the words."""


def test_count_by_arithmetic():
    attended, general, place, fed = 2_000 * 1_000, 1_000**2, 1_000**2 + 1_000, 4 * 1_000 * 1_000
    assert PLAIN == 214_032_000
    assert luong.VARIANTS["attention_luong"].params == PLAIN + attended + general + place + fed


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"score": "dot"}, 0),
        ({"score": "general"}, 16**2),
        ({"score": "concat"}, 2 * 16**2 + 16),
        ({"score": "dot", "window": "local-m"}, 0),
        ({"score": "dot", "window": "local-p"}, 16**2 + 16),
        ({"score": "dot", "feeding": False}, -4 * 16 * 16),
    ],
)
def test_count_of_each_kind(changes, more):
    plain = replace(SMALL, length=2, score="dot", window="global")
    counts = [luong.build(config).count_params() for config in (plain, replace(plain, **changes))]
    assert counts[1] - counts[0] == more


def by_hand(w, source, before, config):
    """Sections 3 and 3.3 of the paper for one sentence without padding: logits of each step, and its shares."""
    layers = range(1, config.layers + 1)
    states = {layer: (np.zeros(config.units),) * 2 for layer in layers}
    h_s = []
    for word in source[::-1]:
        x = w["source_embedding/embeddings"][word]
        for layer in layers:
            states[layer] = lstm(w, f"encoder_lstm{layer}/lstm_cell", x, *states[layer])
            x = states[layer][0]
        h_s.append(x)
    h_s = np.array(h_s[::-1])
    logits, shares, fed = [], [], np.zeros(config.units)
    for t, word in enumerate(before):
        x = w["target_embedding/embeddings"][word]
        x = np.concatenate([x, fed]) if config.feeding else x
        for layer in layers:
            states[layer] = lstm(w, f"decoder_lstm{layer}", x, *states[layer])
            x = states[layer][0]
        if config.score == "concat":
            hidden = np.tanh(x @ w["state_score/kernel"] + h_s @ w["memory_score/kernel"])
            scores = (hidden @ w["score_concat/kernel"])[:, 0]
        else:
            scores = h_s @ (x @ w["score_general/kernel"] if config.score == "general" else x)
        places = np.arange(len(source))
        if config.window == "global":
            a = softmax(scores)
        else:
            p = t
            if config.window == "local-p":
                p = len(source) * sigmoid(np.tanh(x @ w["place_hidden/kernel"]) @ w["place/kernel"])[0]
            inside = np.abs(places - p) <= config.reach
            a = np.where(inside, np.exp(scores), 0)
            a /= a.sum()
            if config.window == "local-p":
                a = a * np.exp(-((places - p) ** 2) / (2 * (config.reach / 2) ** 2))
        shares.append(a)
        fed = np.tanh(np.concatenate([a @ h_s, x]) @ w["attended/kernel"])
        logits.append(fed @ w["words/kernel"])
    return np.array(logits), np.array(shares)


@pytest.mark.parametrize(
    ("score", "window", "feeding"),
    [
        pytest.param("dot", "global", True, marks=pytest.mark.slow),
        pytest.param("general", "global", False, marks=pytest.mark.slow),
        pytest.param("concat", "global", True, marks=pytest.mark.slow),
        ("dot", "local-m", True),
        ("general", "local-p", True),
        pytest.param("concat", "local-p", False, marks=pytest.mark.slow),
    ],
)
def test_says_what_the_equations_of_the_paper_say(score, window, feeding):
    config = replace(SMALL, score=score, window=window, feeding=feeding)
    with in_float64():
        model = luong.build(config)
    weights = numbers_of(model)
    rows = np.zeros((2, 2, SMALL.length), np.int32)
    rows[0, 0, : len(SENTENCE)], rows[1, 0, : len(BEFORE)] = SENTENCE, BEFORE
    rows[0, 1], rows[1, 1] = 13, 17  # A longer sentence beside it.
    logits, shares = by_hand(weights, SENTENCE, BEFORE, config)
    assert (shares > 1e-3).sum(1).min() > 1
    np.testing.assert_allclose(np.asarray(model(list(rows)))[0, : len(BEFORE)], logits, rtol=0, atol=1e-6)
    # Step by step, as the task has it; in the network's own precision.
    single = luong.build(config)
    single.set_weights(model.get_weights())
    several = luong.tasks(config, Assets(vocabulary={"source": placeholder(40), "target": placeholder(50)}))
    task = several["translate"]
    step, state = task.begun(keras_engine.network(Built("luong", single, several)), rows[0], seen=True)
    for word, expected, looked in zip(BEFORE, logits, shares, strict=True):
        said, state = step(np.full(2, word, np.int32), state)
        np.testing.assert_allclose(said[0], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(state["attention"][0, : len(SENTENCE)], looked, rtol=0, atol=1e-5)
        assert not state["attention"][0, len(SENTENCE) :].any()


def test_nothing_is_seen_where_a_window_lies_behind_the_sentence():
    model = luong.build(replace(SMALL, window="local-m", reach=1))
    source = np.zeros((1, SMALL.length), np.int32)
    source[0, :2] = 5, END
    memory, seen, state = model.get_layer("encoder")(source)
    fed = keras.ops.zeros((1, SMALL.units))
    for count, looks in ((0, True), (2, True), (3, False)):
        inputs = [keras.ops.array([4]), state, fed, keras.ops.array([count]), memory, seen]
        *_, after, shares = model.get_layer("decoder")(inputs)
        assert np.asarray(shares).any() == looks and np.isfinite(shares).all() and np.asarray(after) == [count + 1]


def test_vocabulary():
    with pytest.raises(UsageError, match="no vocabulary"):
        luong.tasks(SMALL, Assets())


def test_builder():
    sizes = {"source_words": 9, "target_words": 8, "length": 3, "layers": 2, "embedding": 2, "units": 4}
    assert AttentionLuong(**sizes).output_shape == (None, 3, 8)
    with pytest.raises(UsageError, match="score='bilinear' is not known; allowed are dot, general, concat"):
        AttentionLuong(**sizes, score="bilinear")
    for arguments in ({"window": "local"}, {"layers": 0}, {"reach": 0}, {"feeding": 1}, {"dropout": 1.0}):
        with pytest.raises(UsageError):
            AttentionLuong(**{**sizes, **arguments})
