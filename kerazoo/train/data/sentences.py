"""Sentences of a text, as many numbers each as they have words, in the text's own order."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kerazoo.train.recipe import Batch


@dataclass(frozen=True)
class Sentences:
    """Sentences as numbers of words.

    Attributes:
        numbers: Of all words, one sentence behind the other, int32 [words].
        bounds: Where each sentence begins, and the end of the last, int64 [sentences + 1].
    """

    numbers: np.ndarray = field(repr=False)
    bounds: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, sentences: Sequence[np.ndarray]) -> Sentences:
        bounds = np.cumsum([0, *map(len, sentences)])
        return cls(np.concatenate([np.zeros(0, np.int32), *sentences]).astype(np.int32), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(self.bounds).data)
        digest.update(np.ascontiguousarray(self.numbers).data)
        return digest.hexdigest()

    def order(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """The text's own, int64 [sentences]. Where it begins is drawn; behind its end comes its beginning."""
        return (np.arange(len(self)) + rng.integers(len(self))) % len(self)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The words of sentences, int32 [words], and how many each has, int64 [rows]."""
        found = [self.numbers[self.bounds[row] : self.bounds[row + 1]] for row in rows]
        return np.concatenate(found), np.array([len(each) for each in found])
