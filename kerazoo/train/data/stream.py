"""One long text in windows: a batch's rows are places far apart in it, and the next batch goes on where it ended."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.train.recipe import Batch


@dataclass(frozen=True)
class Stream:
    """A text as numbers.

    Attributes:
        numbers: int32 [n].
        window: Characters that are learnt together, by going back in time through them.
    """

    numbers: np.ndarray = field(repr=False)
    window: int = 64

    def __post_init__(self) -> None:
        if len(self) < 1:
            raise UsageError(
                f"The text has {len(self.numbers)} characters; there must be more than the {self.window} that are "
                "learnt together."
            )

    def __len__(self) -> int:
        return (len(self.numbers) - 1) // self.window

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.window}".encode())
        digest.update(np.ascontiguousarray(self.numbers).data)
        return digest.hexdigest()

    def order(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers of all windows, such that row by row a batch goes on with the one before it, int64 [n].

        Where the first row begins is drawn; behind the end of the text comes its beginning.
        """
        each = len(self) // size
        windows = (np.arange(len(self)) + rng.integers(len(self))) % len(self)
        rows = windows[: each * size].reshape(size, each)
        return np.concatenate([rows.T.ravel(), windows[each * size :]])

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The characters of windows, and the one behind each, int32 [batch, window]."""
        places = np.asarray(rows)[:, None] * self.window + np.arange(self.window)
        return self.numbers[places], self.numbers[places + 1]
