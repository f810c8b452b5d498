"""Which words lie close to a word, which is to one what another is to a third, and words as a map."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerazoo.codecs._word import Word
from kerazoo.errors import UsageError, near
from kerazoo.predictor import Predictor
from kerazoo.tasks._drawing import mapped

BATCH = 512
"""Rows of cosines that are held at once."""


@dataclass(frozen=True)
class Table:
    """The words of a model, and their vectors at length 1.

    Attributes:
        words: In the order of their numbers.
        vectors: float32 [words, units]; a vector of zeros stays one.
        lower: Whether capitals are read as small letters.
    """

    words: tuple[str, ...]
    vectors: np.ndarray
    lower: bool = True

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        # Of equal words the first is the more frequent one.
        return {word: number for number, word in reversed([*enumerate(self.words)])}

    def number(self, word: str) -> int:
        """A word's number.

        Raises:
            UsageError: It is not known; near ones are suggested.
        """
        asked = word.lower() if self.lower else word
        if asked not in self._numbers:
            raise UsageError(f"{word!r} is none of the {len(self.words)} words.{near(asked, self.words)}")
        return self._numbers[asked]

    def known(self, word: str) -> bool:
        """Whether a word has a vector."""
        return (word.lower() if self.lower else word) in self._numbers

    def similar(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words nearest to one, without it, and the cosines.

        Raises:
            UsageError: The word is not known.
        """
        number = self.number(word)
        return self._nearest(self.vectors[number], (number,), count)

    def analogy(self, a: str, b: str, c: str, count: int = 5) -> list[tuple[str, float]]:
        """What is to `c` as `b` is to `a`: the words nearest to b - a + c, without these three, and the cosines.

        Raises:
            UsageError: A word is not known.
        """
        given = [self.number(word) for word in (a, b, c)]
        first, second, third = self.vectors[given]
        return self._nearest(unit(second - first + third), given, count)

    def _nearest(self, vector: np.ndarray, without: Sequence[int], count: int) -> list[tuple[str, float]]:
        cosines = self.vectors @ vector
        cosines[list(without)] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: max(0, min(count, len(cosines) - len(set(without))))]
        return [(self.words[place], float(cosines[place])) for place in best]

    def answers(self, questions: np.ndarray) -> np.ndarray:
        """Of analogies int [n, 3], numbers of words, the number of the word that is nearest: int64 [n]."""
        found = np.empty(len(questions), np.int64)
        for first in range(0, len(questions), BATCH):
            asked = questions[first : first + BATCH]
            a, b, c = (self.vectors[asked[:, place]] for place in range(3))
            cosines = unit(b - a + c) @ self.vectors.T
            np.put_along_axis(cosines, asked, -np.inf, 1)
            found[first : first + BATCH] = cosines.argmax(1)
        return found


def drawn(table: Table, words: Sequence[str], count: int = 10) -> bytes:
    """A map of words and those nearest to each, in one colour: a PNG.

    It is the plane in which their vectors differ most (principal component analysis: Pearson 1901, Hotelling 1933).

    Args:
        table: Of the vectors.
        words: That are asked about.
        count: How many to each; a word that is near to two goes with the first.

    Raises:
        UsageError: A word is not known.
        PackageMissing: Matplotlib is not installed.
    """
    kinds = {table.number(word): kind for kind, word in enumerate(words)}
    for kind, word in enumerate(words):
        for near_, _ in table.similar(word, count):
            kinds.setdefault(table.number(near_), kind)
    numbers = [*kinds]
    names = [table.words[number] for number in numbers]
    return mapped(plane(table.vectors[numbers]), names, [*kinds.values()], len({*map(table.number, words)}))


def plane(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n, units] seen along the two directions in which they differ most, the first the most: [n, 2].

    Each direction points to where the vector that lies farthest along it does.
    """
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    seen = centred @ directions[:2].T
    return seen * np.sign(seen[np.abs(seen).argmax(0), range(seen.shape[1])])


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., units] at length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)


def table(predictor: Predictor) -> Table:
    """The words of a model and what it says of each.

    Raises:
        UsageError: The model's items are not single words, or its engine hides the network.
    """
    task = predictor.task
    codec = getattr(task, "input", None)
    if not isinstance(codec, Word):
        raise UsageError(f"{predictor.name} does {task.kind} and has no vectors of single words; glove_50:6b has.")
    if predictor.network is None:
        raise UsageError(f"The engine {predictor.engine} answers one word after the other; take keras, onnx or litert.")
    ((part, signature),) = task.parts.items()
    numbers = np.arange(len(codec.words), dtype=np.int32)
    vectors = predictor.network.part(part)({codec.tensor.name: numbers})[signature.outputs[0].name]
    return Table(tuple(codec.words), unit(np.asarray(vectors, np.float32)), codec.lower)
