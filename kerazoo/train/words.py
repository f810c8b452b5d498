"""Skip-gram and continuous bag of words, with negative samples or a Huffman tree, as the word2vec program learns them.

Source: Mikolov et al., arXiv:1301.3781 and arXiv:1310.4546, and tmikolov/word2vec's `word2vec.c`, whose formulas these
are; its table of the logistic function, which rounds, is the function itself here. Several windows are learned from at
once, all words of one against the same drawn ones, so that an update is products of small matrices (Ji, Satish, Li,
Dubey, "Parallelizing Word2Vec in Shared and Distributed Memory", arXiv:1604.04661). NumPy only, in the precision of the
arrays.

Rows of `given` are the vectors that are published, those of `sought` the output vectors or the tree's inner nodes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kerazoo.errors import UsageError

MOST = 6.0
"""Scores beyond it are told apart no further."""

STRETCH = 10_000
"""Words that are read at one learning rate, as the program reads them; no window goes from one to the next."""


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


def negative(
    given: np.ndarray, sought: np.ndarray, context: np.ndarray, targets: np.ndarray, step: float, bag: bool = False
) -> None:
    """One update in place, from several windows at once, by the vectors as they were before.

    What stands around a word comes closer to it, and farther from the words that were drawn.

    Args:
        given, sought: Vectors [words, units].
        context: Numbers of the words around [windows, n], -1 where there is none; one at least in each window.
        targets: The word itself, then those drawn, [windows, m], -1 for none.
        step: The learning rate.
        bag: Whether the mean of a window's vectors is taken, and not one after the other.
    """
    label = np.zeros(targets.shape, given.dtype)
    label[:, 0] = 1
    _update(given, sought, context, targets, label, step, bag, np.subtract)


def hierarchical(
    given: np.ndarray,
    sought: np.ndarray,
    context: np.ndarray,
    tree: Tree,
    words: np.ndarray,
    step: float,
    bag: bool = False,
) -> None:
    """The same by the ways to words through the tree; a node that is surely right or wrong is left out.

    Args:
        given: Vectors [words, units].
        sought: Of inner nodes, [words - 1, units] or more.
        context: As `negative` takes it.
        tree: From `huffman`.
        words: That were there, [windows].
        step, bag: As `negative` takes them.
    """
    longest = int(tree.length[words].max())
    on_the_way = np.arange(longest) < tree.length[words, None]
    nodes = np.where(on_the_way, tree.node[words, :longest], -1)
    label = (1 - tree.code[words, :longest]).astype(given.dtype)
    _update(given, sought, context, nodes, label, step, bag, lambda label, said: np.zeros_like(label))


def _update(
    given: np.ndarray,
    sought: np.ndarray,
    context: np.ndarray,
    targets: np.ndarray,
    label: np.ndarray,
    step: float,
    bag: bool,
    beyond: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    """Of scores beyond `MOST` the error is what `beyond` makes of labels and of what they surely say."""
    there = (context >= 0)[..., None].astype(given.dtype)
    known = (targets >= 0)[:, None].astype(given.dtype)
    hidden, rows = given[context], sought[targets]
    if bag:
        hidden = (hidden * there).sum(1, keepdims=True) / there.sum(1, keepdims=True)
    scores = hidden @ rows.swapaxes(1, 2)
    label = label[:, None]
    error = label - 1 / (1 + np.exp(np.minimum(-scores, 30)))
    sure = np.abs(scores) > MOST
    if sure.any():
        error = np.where(sure, beyond(np.broadcast_to(label, scores.shape), scores > 0), error)
    error *= given.dtype.type(step) * (known if bag else known * there)
    _add(sought, targets, error.swapaxes(1, 2) @ hidden)
    change = error @ rows
    _add(given, context, np.broadcast_to(change, (*context.shape, change.shape[-1])))


def _add(table: np.ndarray, numbers: np.ndarray, changes: np.ndarray) -> None:
    """Adds changes [..., units] to the rows of these numbers [...], -1 to none; some may be equal."""
    numbers = numbers.ravel()
    order = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers < 0) :]
    ordered = numbers[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    table[ordered[first]] += np.add.reduceat(changes.reshape(len(numbers), -1)[order], first)


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
        together: Windows of an update; `None` for 64, or with a tree, whose first nodes are in every word's way, 8.
    """

    units: int = 100
    window: int = 5
    bag: bool = False
    negative: int = 5
    sample: float = 1e-3
    epochs: int = 5
    start: float | None = None
    seed: int = 0
    together: int | None = None

    @property
    def first(self) -> float:
        """The first learning rate."""
        return self.start or (0.05 if self.bag else 0.025)

    @property
    def windows(self) -> int:
        """Of an update."""
        return self.together or (64 if self.negative else 8)


@dataclass(frozen=True)
class Tables:
    """What words' counts decide.

    Attributes:
        read: See `kept`.
        drawn: See `noise`.
        tree: See `huffman`; `None` where words are drawn.
    """

    read: np.ndarray
    drawn: np.ndarray
    tree: Tree | None

    @classmethod
    def of(cls, counts: np.ndarray, way: Way) -> Tables:
        return cls(kept(counts, way.sample), noise(counts), None if way.negative else huffman(counts))


def begun(words: int, way: Way) -> tuple[np.ndarray, np.ndarray]:
    """The vectors before any word is read, `given` and `sought`, float32 [words, units]."""
    drawn = np.random.default_rng(way.seed).random((words, way.units))
    return ((drawn - 0.5) / way.units).astype(np.float32), np.zeros((words, way.units), np.float32)


def read(
    given: np.ndarray,
    sought: np.ndarray,
    numbers: np.ndarray,
    sentences: np.ndarray,
    tables: Tables,
    way: Way,
    step: float,
    rng: np.random.Generator,
) -> None:
    """Reads a stretch of text: updates in place, from `Way.windows` of its words at a time.

    Args:
        given, sought: Vectors [words, units].
        numbers: Of the stretch's words, [n].
        sentences: Which sentence each is in, [n]; windows end with it.
        tables: Of the words' counts.
        way: How.
        step: The learning rate.
        rng: Of all that is drawn.
    """
    kept = rng.random(len(numbers)) < tables.read[numbers]
    numbers, sentences = numbers[kept].astype(np.int64), sentences[kept]
    places, far = np.arange(len(numbers))[:, None], np.delete(np.arange(-way.window, way.window + 1), way.window)
    around = np.clip(places + far, 0, max(0, len(numbers) - 1))
    reach = rng.integers(1, way.window + 1, len(numbers))[:, None]
    within = (np.abs(far) <= reach) & (around == places + far) & (sentences[around] == sentences[:, None])
    context = np.where(within, numbers[around], -1)
    drawn = np.searchsorted(tables.drawn, rng.random((len(numbers), way.negative)), "right")
    # A word that was there itself is passed over.
    targets = np.concatenate([numbers[:, None], np.where(drawn == numbers[:, None], -1, drawn)], 1)
    alone = ~within.any(1)
    context, targets = context[~alone], targets[~alone]
    for first in range(0, len(context), way.windows):
        rows = slice(first, first + way.windows)
        if tables.tree is None:
            negative(given, sought, context[rows], targets[rows], step, way.bag)
        else:
            hierarchical(given, sought, context[rows], tables.tree, targets[rows, 0], step, way.bag)


def learn(sentences: Sequence[Sequence[int]], counts: np.ndarray, way: Way) -> Iterator[np.ndarray]:
    """Word vectors float32 [words, units] after each epoch, the same array each time.

    Args:
        sentences: Of numbers of words.
        counts: How often each occurs.
        way: How.
    """
    given, sought = begun(len(counts), way)
    tables, rng = Tables.of(counts, way), np.random.default_rng((way.seed, 1))
    numbers = np.concatenate([np.zeros(0, np.int64), *map(np.asarray, sentences)]).astype(np.int64)
    of = np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])
    for epoch in range(way.epochs):
        for first in range(0, len(numbers), STRETCH):
            rows, done = slice(first, first + STRETCH), epoch * len(numbers) + first
            step = rate(done, way.epochs * len(numbers), way.first)
            read(given, sought, numbers[rows], of[rows], tables, way, step, rng)
        yield given
