"""Single words as numbers of a vocabulary, the same on the host and in a graph."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.codecs import text as text_
from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Port, Tensor
from kerazoo.errors import UsageError


@functools.lru_cache(maxsize=4)
def _table(words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words, ascending, and their numbers."""
    hashes = np.array([text_._hash(word) for word in words], np.int64)
    order = np.argsort(hashes, kind="stable")
    if (np.diff(hashes[order]) == 0).any():
        raise UsageError("Two words of the vocabulary are equal.")
    return hashes[order], order.astype(np.int32)


@functools.cache
def _small() -> tuple[np.ndarray, np.ndarray]:
    """Capitals, ascending, and their small letters."""
    pairs = [(code, chr(code).lower()) for code in range(text_._LAST + 1)]
    found = [(code, ord(small)) for code, small in pairs if len(small) == 1 and ord(small) != code]
    source, target = np.array(found, np.int32).T
    return source, target


@dataclass(frozen=True)
class Word:
    """Words to their numbers [batch].

    Attributes:
        words: The vocabulary, one word a number.
        lower: Whether capitals are read as small letters.
    """

    words: Vocabulary
    lower: bool = True

    @property
    def port(self) -> Port:
        """Of a request: one word each."""
        return Port("text", "string", (None,), "text")

    @property
    def tensor(self) -> Port:
        """Of a network: numbers of words."""
        return Port("word", "int32", (None,))

    def golden(self) -> bytes:
        """A word that is known."""
        return next(word for word in self.words if not self.lower or word == word.lower()).encode()

    def prepare(self, ops: Any, text: Tensor) -> Tensor:
        """UTF-8 words [batch] to int32 [batch].

        Raises:
            InputError: The vocabulary does not have one of them.
        """
        return ops.map_range(lambda i: self._number(ops, text[i]), ops.length(text), (), "int32")

    def _number(self, ops: Any, text: Tensor) -> Tensor:
        codes = ops.code_points(text)
        if self.lower:
            source, target = _small()
            place = ops.maximum(ops.searchsorted(source, codes) - 1, 0)
            codes = ops.where(ops.gather(source, place) == codes, ops.gather(target, place), codes)
        places = ops.minimum(ops.arange(ops.length(codes)), len(text_._POWERS) - 1)
        found = ops.sum((ops.cast(codes, "int64") + 1) * ops.gather(text_._POWERS, places), 0)
        hashes, numbers = _table(self.words)
        nearest = ops.maximum(ops.searchsorted(hashes, ops.reshape(found, (1,))) - 1, 0)
        ops.check(ops.gather(hashes, nearest) == found, "The vocabulary does not have this word; give one at a time.")
        return ops.gather(numbers, nearest)[0]
