"""Skip-gram and continuous bag of words, with negative samples or a Huffman tree, as the word2vec program learns them.

Source: Mikolov et al., arXiv:1301.3781 and arXiv:1310.4546, and tmikolov/word2vec's `word2vec.c`, whose formulas these
are, one update after the other; its table of the logistic function, which rounds, is the function itself here. NumPy
only, in the precision of the arrays.

Rows of `given` are the vectors that are published, those of `sought` the output vectors or the tree's inner nodes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kerazoo.errors import UsageError

MOST = 6.0
"""Scores beyond it are told apart no further."""

LONGEST = 1000
"""Words of the longest sentence; a longer one is cut into several."""


class Tree(NamedTuple):
    """A Huffman tree: the way to each word.

    Attributes:
        length: Turns to a word, int64 [words].
        code: Each turn, 0 or 1, [words, longest]; behind `length` there is nothing.
        node: The inner node where it is taken, from 0 on, the root the last, [words, longest].
    """

    length: np.ndarray
    code: np.ndarray
    node: np.ndarray


def counted(sentences: Iterable[Sequence[str]], least: int = 5) -> tuple[tuple[str, ...], np.ndarray]:
    """The words that occur at least so often, the most frequent first, and how often.

    Raises:
        UsageError: There are not two of them.
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word))
    if len(kept) < 2:
        raise UsageError(f"{len(kept)} words occur {least} times or more; vectors want two at least.")
    return tuple(kept), np.array([counts[word] for word in kept], np.int64)


def kept(counts: np.ndarray, sample: float) -> np.ndarray:
    """The probability by which each word is read, float64: frequent ones more rarely; all where `sample` is 0."""
    if not sample:
        return np.ones(len(counts))
    bound = sample * counts.sum()
    return np.minimum((np.sqrt(counts / bound) + 1) * bound / counts, 1.0)


def noise(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """The probability by which each word is drawn as a negative sample, summed up, float64."""
    weights = counts.astype(np.float64) ** power
    return np.cumsum(weights) / weights.sum()


def huffman(counts: np.ndarray) -> Tree:
    """The tree in which the sum of turns to all words of a text is least; rare words lie deep."""
    size = len(counts)
    heap = [(int(count), place) for place, count in enumerate(counts)]
    heapq.heapify(heap)
    above: dict[int, tuple[int, int]] = {}
    for node in range(size, 2 * size - 1):
        (first, left), (second, right) = heapq.heappop(heap), heapq.heappop(heap)
        above[left], above[right] = (node, 0), (node, 1)
        heapq.heappush(heap, (first + second, node))
    ways = []
    for word in range(size):
        way, place = [], word
        while place in above:
            place, turn = above[place]
            way.append((turn, place - size))
        ways.append(way[::-1])
    length = np.array([len(way) for way in ways])
    code, node_ = (np.zeros((size, int(length.max())), np.int32) for _ in range(2))
    for word, way in enumerate(ways):
        code[word, : len(way)], node_[word, : len(way)] = zip(*way, strict=True)
    return Tree(length, code, node_)


def rate(done: int, words: int, start: float) -> float:
    """The learning rate after so many of all words that will be read: it falls to a ten-thousandth of the first."""
    return start * max(1 - done / (words + 1), 1e-4)


def negative(given: np.ndarray, sought: np.ndarray, context: np.ndarray, targets: np.ndarray, step: float) -> None:
    """One update in place: the mean of the context's vectors comes closer to the first target, farther from the others.

    Args:
        given, sought: Vectors [words, units].
        context: Numbers of words: one for skip-gram, all of a window for the bag of words.
        targets: The word that was there, then those drawn, all different.
        step: The learning rate.
    """
    label = np.zeros(len(targets), given.dtype)
    label[0] = 1
    hidden = given[context].mean(0)
    rows = sought[targets]
    scores = rows @ hidden
    shares = np.where(scores > MOST, 1.0, np.where(scores < -MOST, 0.0, logistic(scores)))
    error = (label - shares).astype(given.dtype) * given.dtype.type(step)
    sought[targets] = rows + error[:, None] * hidden
    np.add.at(given, context, error @ rows)


def hierarchical(
    given: np.ndarray, sought: np.ndarray, context: np.ndarray, tree: Tree, word: int, step: float
) -> None:
    """The same by the way to a word through the tree; a node that is surely right or wrong is left out.

    Args:
        given: Vectors [words, units].
        sought: Of inner nodes, [words - 1, units].
        context: As `negative` takes it.
        tree: From `huffman`.
        word: That was there.
        step: The learning rate.
    """
    way = slice(int(tree.length[word]))
    nodes, code = tree.node[word, way], tree.code[word, way]
    hidden = given[context].mean(0)
    rows = sought[nodes]
    scores = rows @ hidden
    error = np.where(np.abs(scores) > MOST, 0.0, 1 - code - logistic(scores)) * step
    error = error.astype(given.dtype)
    sought[nodes] = rows + error[:, None] * hidden
    np.add.at(given, context, error @ rows)


def logistic(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(scores, -30, 30)))


@dataclass(frozen=True)
class Way:
    """How word vectors are learned; the defaults are the program's, for skip-gram.

    Attributes:
        units: Numbers of a vector.
        window: Words to either side at most; of each word some number up to it is drawn.
        bag: Whether the mean of a window's words is taken (continuous bag of words), and not one after the other.
        negative: Words drawn against each one that was there; 0 takes the tree instead.
        sample: From which share of the text on words are read more rarely.
        epochs: How often the text is read.
        start: The first learning rate; `None` for the program's, .025, of the bag of words .05.
        seed: Of all that is drawn.
    """

    units: int = 100
    window: int = 5
    bag: bool = False
    negative: int = 5
    sample: float = 1e-3
    epochs: int = 5
    start: float | None = None
    seed: int = 0


def learn(sentences: Sequence[Sequence[int]], counts: np.ndarray, way: Way) -> Iterator[np.ndarray]:
    """Word vectors float32 [words, units] after each epoch, the same array each time.

    Args:
        sentences: Of numbers of words.
        counts: How often each occurs.
        way: How.
    """
    rng = np.random.default_rng(way.seed)
    size, start = len(counts), way.start or (0.05 if way.bag else 0.025)
    given = ((rng.random((size, way.units)) - 0.5) / way.units).astype(np.float32)
    sought = np.zeros((size, way.units), np.float32)
    read, drawn = kept(counts, way.sample), noise(counts)
    tree = huffman(counts) if not way.negative else None
    done, all_ = 0, int(sum(map(len, sentences))) * way.epochs
    for _ in range(way.epochs):
        for sentence in _cut(sentences):
            step = rate(done, all_, start)
            done += len(sentence)
            words = sentence[rng.random(len(sentence)) < read[sentence]]
            reach = rng.integers(1, way.window + 1, len(words))
            for place, word in enumerate(words):
                around = np.concatenate(
                    [words[max(0, place - reach[place]) : place], words[place + 1 : place + 1 + reach[place]]]
                )
                for context in [around] if way.bag and len(around) else around[:, None]:
                    if tree is not None:
                        hierarchical(given, sought, context, tree, int(word), step)
                    else:
                        others = np.searchsorted(drawn, rng.random(way.negative), "right")
                        # One that was there itself is passed over, and none is drawn twice.
                        others = np.unique(others[others != word])
                        negative(given, sought, context, np.concatenate([[word], others]), step)
        yield given


def _cut(sentences: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    for sentence in sentences:
        numbers = np.asarray(sentence, np.int64)
        for first in range(0, len(numbers), LONGEST):
            yield numbers[first : first + LONGEST]
