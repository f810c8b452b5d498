from __future__ import annotations

import keras
import numpy as np
import pytest

from kerazoo.applications import AttentionBahdanau, bahdanau
from kerazoo.assets import Assets
from kerazoo.codecs.text import END, START, placeholder
from kerazoo.errors import UsageError
from tests.applications.common import in_float64, numbers_of, sigmoid, softmax

SMALL = bahdanau.VARIANTS["attention_bahdanau"].small
SENTENCE, BEFORE = np.array([5, 9, 7, 11, END]), np.array([START, 12, 8, 30])


def test_count_by_arithmetic():
    words, m, n, align, out = 30_001, 620, 1_000, 1_000, 500
    encoder = words * m + 2 * 3 * (m * n + n * n + n)
    decoder = words * m + 3 * (m + n + 2 * n) * n + n * n + (n + 2 * n + 1) * align
    assert (encoder, decoder + (n + m + 2 * n) * 2 * out + words * out) == (28_326_620, 52_082_120)
    assert bahdanau.VARIANTS["attention_bahdanau"].params == 28_326_620 + 52_082_120


def by_hand(w, source, before):
    """Appendix A of the paper for one sentence without padding: logits of each step, and its shares.

    The paper's update gate takes the new state, the network's keeps the old one: the same with its numbers negated.
    """

    def step(x, s, kernel, recurrent, bias=0.0):
        (wz, wr, wn), (uz, ur, un), (bz, br, bn) = (
            np.split(each, 3, -1) for each in (kernel, recurrent, bias + np.zeros(kernel.shape[-1]))
        )
        z, r = sigmoid(-x @ wz - s @ uz - bz), sigmoid(x @ wr + s @ ur + br)
        return (1 - z) * s + z * np.tanh(x @ wn + (r * s) @ un + bn)

    def read(words, way):
        cell = [w[f"{way}_gru/gru_cell/{name}"] for name in ("kernel", "recurrent_kernel", "bias")]
        states = [np.zeros(len(cell[1]))]
        for word in words:
            states.append(step(w["source_embedding/embeddings"][word], states[-1], *cell))
        return np.array(states[1:])

    forward, backward = read(source, "forward"), read(source[::-1], "backward")[::-1]
    h = np.concatenate([forward, backward], -1)
    s = np.tanh(backward[0] @ w["first_state/kernel"])
    logits, shares = [], []
    for word in before:
        y = w["target_embedding/embeddings"][word]
        e = np.tanh(s @ w["state_alignment/kernel"] + h @ w["annotation_alignment/kernel"]) @ w["alignment/kernel"]
        shares.append(softmax(e[:, 0]))
        c = shares[-1] @ h
        t = np.maximum(*(np.concatenate([s, y, c]) @ w[f"maxout_piece{piece}/kernel"] for piece in (1, 2)))
        logits.append(t @ w["words/kernel"])
        s = step(np.concatenate([y, c]), s, w["decoder_gru/kernel"], w["decoder_gru/recurrent_kernel"])
    return np.array(logits), np.array(shares)


def test_says_what_the_equations_of_the_paper_say():
    with in_float64():
        model = bahdanau.build(SMALL)
    weights = numbers_of(model)
    rows = np.zeros((2, 2, SMALL.length), np.int32)
    rows[0, 0, : len(SENTENCE)], rows[1, 0, : len(BEFORE)] = SENTENCE, BEFORE
    rows[0, 1], rows[1, 1] = 13, 17  # A longer sentence beside it.
    logits, shares = by_hand(weights, SENTENCE, BEFORE)
    np.testing.assert_allclose(np.asarray(model(list(rows)))[0, : len(BEFORE)], logits, rtol=0, atol=1e-6)
    *context, state = model.get_layer("encoder")(rows[0])
    for token, expected in zip(BEFORE, shares, strict=True):
        _, state, seen = model.get_layer("decoder")([keras.ops.full((2,), token, "int32"), state, *context])
        np.testing.assert_allclose(np.asarray(seen)[0, : len(SENTENCE)], expected, rtol=0, atol=1e-6)
        assert not np.asarray(seen)[0, len(SENTENCE) :].any()


def test_vocabulary():
    with pytest.raises(UsageError, match="no vocabulary"):
        bahdanau.tasks(SMALL, Assets())
    with pytest.raises(UsageError, match="target vocabulary has 40 words; attention_bahdanau has 50"):
        bahdanau.tasks(SMALL, Assets(vocabulary=placeholder(40)))


def test_builder():
    sizes = {"source_words": 9, "target_words": 8, "length": 3, "embedding": 2, "units": 4, "alignment": 5, "maxout": 3}
    assert AttentionBahdanau(**sizes).output_shape == (None, 3, 8)
    for arguments in ({"units": 0}, {"length": 1.5}, {"dropout": 1.0}, {"weights": "imagenet"}):
        with pytest.raises(UsageError):
            AttentionBahdanau(**{**sizes, **arguments})
