"""Word vectors are learned by the formulas of the word2vec program."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from kerazoo.errors import UsageError
from kerazoo.train import words
from kerazoo.words import unit

SIZE, UNITS = 12, 6


def tables(scale=1.0):
    random = np.random.default_rng(3)
    return scale * random.standard_normal((SIZE, UNITS)), scale * random.standard_normal((SIZE, UNITS))


def program(syn0, syn1, context, turns, alpha, tree):
    """`word2vec.c`, number by number: `turns` are rows of `syn1` with their label, or with their code in a tree."""
    neu1 = [sum(syn0[c][u] for c in context) / len(context) for u in range(UNITS)]
    neu1e = [0.0] * UNITS
    for row, label in turns:
        f = sum(neu1[u] * syn1[row][u] for u in range(UNITS))
        if tree:
            if f <= -6 or f >= 6:
                continue
            g = (1 - label - 1 / (1 + math.exp(-f))) * alpha
        elif f > 6:
            g = (label - 1) * alpha
        elif f < -6:
            g = (label - 0) * alpha
        else:
            g = (label - 1 / (1 + math.exp(-f))) * alpha
        for u in range(UNITS):
            neu1e[u] += g * syn1[row][u]
        for u in range(UNITS):
            syn1[row][u] += g * neu1[u]
    for c in context:
        for u in range(UNITS):
            syn0[c][u] += neu1e[u]


@pytest.mark.parametrize("scale", [0.3, 4.0], ids=["within the bounds", "beyond them"])
@pytest.mark.parametrize("context", [[4], [4, 7, 1], [2, 2, 5]], ids=["skip-gram", "bag", "a word twice"])
@pytest.mark.parametrize("tree", [False, True])
def test_an_update_is_the_programs(scale, context, tree):
    given, sought = tables(scale)
    syn0, syn1 = given.tolist(), sought.tolist()
    way = words.huffman(np.array([40, 30, 20, 18, 9, 8, 7, 6, 4, 3, 2, 1]))
    if tree:
        length = way.length[8]
        turns = list(zip(way.node[8, :length].tolist(), way.code[8, :length].tolist(), strict=True))
        words.hierarchical(given, sought, np.array(context), way, 8, 0.025)
    else:
        turns = [(8, 1), (0, 0), (3, 0), (11, 0)]
        words.negative(given, sought, np.array(context), np.array([8, 0, 3, 11]), 0.025)
    program(syn0, syn1, context, turns, 0.025, tree)
    np.testing.assert_allclose(given, syn0, rtol=0, atol=1e-14)
    np.testing.assert_allclose(sought, syn1, rtol=0, atol=1e-14)


@pytest.mark.parametrize("counts", [[1, 1], [5, 3, 1], [100, 50, 20, 20, 20, 7, 7, 1, 1, 1], range(300, 0, -1)])
def test_a_tree_is_the_shortest_and_leads_to_each_word(counts):
    counts = np.array(counts)
    tree = words.huffman(counts)
    # The least sum of turns is the sum of all that was ever merged, whatever merged with what.
    heap, least = counts.tolist(), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        least += both
        heapq.heappush(heap, both)
    assert (tree.length * counts).sum() == least
    assert sum(2.0**-length for length in tree.length.tolist()) == pytest.approx(1.0)
    ways = {tuple(tree.code[word, : tree.length[word]].tolist()) for word in range(len(counts))}
    assert len(ways) == len(counts)
    assert not any(way[:cut] in ways for way in ways for cut in range(1, len(way)))
    assert (tree.node[:, 0] == len(counts) - 2).all()
    for word in range(len(counts)):
        assert (np.diff(tree.node[word, : tree.length[word]]) < 0).all()


def test_frequent_words_are_read_more_rarely():
    counts = np.array([50_000, 5_000, 995_00, 100])
    share = counts / counts.sum()
    expected = np.minimum((np.sqrt(share / 1e-3) + 1) * 1e-3 / share, 1)
    np.testing.assert_allclose(words.kept(counts, 1e-3), expected)
    assert words.kept(counts, 0).tolist() == [1, 1, 1, 1] and words.kept(counts, 1e-3)[3] == 1


def test_noise_is_flatter_than_the_text():
    drawn = np.diff(words.noise(np.array([81, 16, 1])), prepend=0)
    np.testing.assert_allclose(drawn, np.array([27, 8, 1]) / 36)


def test_the_rate_falls_to_a_ten_thousandth():
    assert words.rate(0, 999, 0.025) == 0.025
    assert words.rate(500, 999, 0.025) == pytest.approx(0.0125)
    assert words.rate(10_000, 999, 0.025) == pytest.approx(2.5e-6)


def test_rare_words_are_left_out():
    assert words.counted([["b", "a", "c"], ["a", "b"], ["b"]], least=2)[0] == ("b", "a")
    with pytest.raises(UsageError, match="0 words occur 9 times"):
        words.counted([["a", "b"]], least=9)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(words.Way(), id="skip-gram", marks=pytest.mark.slow),
        pytest.param(words.Way(negative=0), id="skip-gram, tree", marks=pytest.mark.slow),
        pytest.param(words.Way(bag=True), id="bag"),
        pytest.param(words.Way(bag=True, negative=0), id="bag, tree", marks=pytest.mark.slow),
    ],
)
def test_words_that_stand_together_come_together(way):
    from dataclasses import replace

    rng = np.random.default_rng(0)
    half = 10
    sentences = [rng.integers(0, half, 12) + half * (row % 2) for row in range(30)]
    counts = np.bincount(np.concatenate(sentences), minlength=2 * half)
    way = replace(way, units=8, window=3, sample=0, epochs=8, start=0.2)
    *_, vectors = words.learn(sentences, counts, way)
    vectors = unit(vectors - vectors.mean(0))
    cosine = vectors @ vectors.T
    within = (cosine[:half, :half].sum() - half) / (half * (half - 1))
    assert within > cosine[:half, half:].mean() + 0.5
    *_, again = words.learn(sentences, counts, way)
    np.testing.assert_array_equal(unit(again - again.mean(0)), vectors)
