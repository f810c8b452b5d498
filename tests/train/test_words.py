"""Word vectors are learned by the formulas of the word2vec program."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from kerazoo.applications import word2vec
from kerazoo.errors import UsageError
from kerazoo.train import run, words
from kerazoo.train.data.sentences import Sentences
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Constant, Line, Optimizer
from kerazoo.train.steps.windows import Windows
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
@pytest.mark.parametrize(
    ("context", "bag"),
    [
        ([[4]], False),
        ([[4, 7, 1]], True),
        ([[2, 2, 5]], True),
        ([[4, 7, 4]], False),
        ([[-1, 7, 4], [5, -1, -1]], False),
        ([[-1, 7, 4], [5, -1, -1]], True),
    ],
    ids=["skip-gram", "bag", "a word twice", "a window", "two windows", "two bags"],
)
@pytest.mark.parametrize("tree", [False, True])
def test_an_update_is_the_programs(scale, context, bag, tree):
    given, sought = tables(scale)
    before = np.stack([given, sought])
    way = words.huffman(np.array([40, 30, 20, 18, 9, 8, 7, 6, 4, 3, 2, 1]))
    middle, step = np.array([8, 0])[: len(context)], 0.025
    if tree:
        lengths = way.length[middle]
        assert len(context) == 1 or lengths[0] != lengths[1]
        turns = [
            [*zip(way.node[word, :length].tolist(), way.code[word, :length].tolist(), strict=True)]
            for word, length in zip(middle, lengths, strict=True)
        ]
        words.hierarchical(given, sought, np.array(context), way, middle, step, bag)
    else:
        targets = np.array([[8, 0, 3, 11], [0, 11, -1, 6]])[: len(context)]
        turns = [[(word, int(place == 0)) for place, word in enumerate(row) if word >= 0] for row in targets.tolist()]
        words.negative(given, sought, np.array(context), targets, step, bag)
    # What is learned from at once moves the vectors as if each were alone.
    expected = before.copy()
    for row, way_ in zip(context, turns, strict=True):
        found = [word for word in row if word >= 0]
        for each in [found] if bag else [[word] for word in found]:
            syn0, syn1 = before.tolist()
            program(syn0, syn1, each, way_, step, tree)
            expected += np.array([syn0, syn1]) - before
    np.testing.assert_allclose(np.stack([given, sought]), expected, rtol=0, atol=1e-14)


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
    way = replace(way, units=8, window=3, sample=0, epochs=8, start=0.2, together=4)
    *_, vectors = words.learn(sentences, counts, way)
    vectors = unit(vectors - vectors.mean(0))
    cosine = vectors @ vectors.T
    within = (cosine[:half, :half].sum() - half) / (half * (half - 1))
    assert within > cosine[:half, half:].mean() + 0.5
    *_, again = words.learn(sentences, counts, way)
    np.testing.assert_array_equal(unit(again - again.mean(0)), vectors)


def test_a_recipe_goes_on_as_if_it_had_not_stopped(tmp_path):
    rng = np.random.default_rng(1)
    sentences = [rng.integers(0, SIZE, rng.integers(0, 9)) for _ in range(40)]
    counts = np.bincount(np.concatenate(sentences), minlength=SIZE)

    def vectors(folder, epochs):
        recipe = Recipe(
            name="words",
            model=lambda: word2vec.build(word2vec.Config("w", SIZE, UNITS)),
            data=Sentences.of(sentences),
            step=Windows(counts, words.Way(units=UNITS, negative=3)),
            optimizer=Optimizer("sgd"),
            schedule=Constant(0.05),
            batch=8,
            epochs=epochs,
        )
        return run.run(recipe, tmp_path / folder, say=lambda line: None).state.model.get_weights()[0]

    first = vectors("stopped", 1)
    whole = vectors("whole", 2)
    assert not np.array_equal(first, whole)
    np.testing.assert_array_equal(vectors("stopped", 2), whole)


def test_windows_end_with_the_sentence():
    way = words.Way(units=UNITS, sample=0, negative=0)
    counts = np.full(SIZE, 2)
    given, sought = words.begun(SIZE, way)
    sought += 1
    before = given.copy()
    # Each word is alone in its sentence: nothing stands around it.
    words.read(
        given,
        sought,
        np.arange(SIZE),
        np.arange(SIZE),
        words.Tables.of(counts, way),
        way,
        0.1,
        np.random.default_rng(0),
    )
    np.testing.assert_array_equal(given, before)
    words.read(
        given,
        sought,
        np.arange(SIZE),
        np.zeros(SIZE, int),
        words.Tables.of(counts, way),
        way,
        0.1,
        np.random.default_rng(0),
    )
    assert (given != before).any(1).all()


def test_a_batch_is_sentences_in_the_texts_order():
    data = Sentences.of([np.array([1, 2]), np.array([], int), np.array([3])])
    assert sorted(data.order(2, np.random.default_rng(0)).tolist()) == [0, 1, 2]
    numbers, lengths = data.batch(np.array([2, 0]), np.random.default_rng(0))
    assert numbers.tolist() == [3, 1, 2] and lengths.tolist() == [1, 2]
    assert data.fingerprint != Sentences.of([np.array([1]), np.array([2, 3])]).fingerprint


def test_a_rate_falls_along_a_line():
    rate = Line(0.5, 0.1).rate(steps=10, epochs=2)
    assert [round(float(rate(step)), 4) for step in (0, 10, 20, 30)] == [0.5, 0.275, 0.05, 0.05]
