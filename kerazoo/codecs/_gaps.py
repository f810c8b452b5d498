"""Texts as BERT learns from them: two stretches of lines, and gaps where pieces stood.

Source: Devlin et al., "BERT", arXiv:1810.04805, section 3.1 and appendix A.1, and google-research/bert's
`create_pretraining_data.py`. Of its numbers of pieces 15 % are looked for: 80 % of these are `[MASK]`, 10 % any other
piece, 10 % stay as they are. The second stretch follows the first in half of all pairs, and else is from anywhere.

Differs: a text is one document, so that what does not follow is from elsewhere in it, and not from another. Gaps are
drawn each time a text is read, where the program draws ten times and stores. `[UNK]` is never looked for, and no gap
gets a mark such as `[PAD]` or `[SEP]` for its other piece: they say where texts end.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kerazoo.codecs._wordpiece import END, MASK, PAD, START, UNKNOWN, WordPiece
from kerazoo.errors import UsageError

SHARE, MASKED, OTHER = 0.15, 0.8, 0.1
"""How many of the pieces are looked for, and how many of these are hidden, and are another."""

FOLLOWS = 0.5
"""How many of the second stretches follow the first."""


class Batch(NamedTuple):
    """What is asked of rows of pieces, and what is right.

    Attributes:
        tokens: int32 [rows, length].
        places: Of the pieces that are looked for, int32 [rows, n], in order; those behind are 0.
        pieces: That stood there, int32 [rows, n].
        counted: 1 where one is looked for and 0 behind, float32 [rows, n].
        elsewhere: 0 where the second stretch follows the first, else 1, int32 [rows].
    """

    tokens: np.ndarray
    places: np.ndarray
    pieces: np.ndarray
    counted: np.ndarray
    elsewhere: np.ndarray


def marks(codec: WordPiece) -> np.ndarray:
    """Numbers of the pieces that are no part of a text, ascending."""
    return np.array(sorted(codec.numbers[mark] for mark in (PAD, UNKNOWN, START, END, MASK)), np.int32)


def gaps(tokens: np.ndarray, codec: WordPiece, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hides some pieces of a row.

    Args:
        tokens: int32 [n], without padding.
        codec: Whose pieces they are.
        rng: Of all that is drawn.

    Returns:
        The row as it is asked, int32 [n], and the places of what is looked for, ascending: none is a mark.
    """
    ours = np.flatnonzero(~np.isin(tokens, marks(codec)))
    count = min(len(ours), max(1, round(SHARE * len(tokens))))
    places = np.sort(rng.choice(ours, count, replace=False))
    drawn, asked = rng.random(count), tokens.copy()
    others = np.delete(np.arange(len(codec.words), dtype=np.int32), marks(codec))
    asked[places[drawn < MASKED]] = codec.numbers[MASK]
    changed = places[(drawn >= MASKED) & (drawn < MASKED + OTHER)]
    asked[changed] = rng.choice(others, len(changed))
    return asked, places


@dataclass(frozen=True)
class Lines:
    """A text in lines, which go into rows as they come.

    Attributes:
        codec: Its pieces.
        lines: Of each line, int32 [n]; none is longer than half a row.
        length: Of a row: `[CLS]`, the first stretch, `[SEP]`, the second, `[SEP]`, then `[PAD]`.
    """

    codec: WordPiece
    lines: Sequence[np.ndarray] = field(repr=False)
    length: int = 128

    @classmethod
    def of(cls, codec: WordPiece, text: str, length: int = 128) -> Lines:
        """Of a text whose lines are sentences, or anything that belongs together; empty ones are left out.

        Raises:
            UsageError: A row has no room for two lines, or the text has not two.
        """
        if length < len(["[CLS]", "a", "[SEP]", "b", "[SEP]"]):
            raise UsageError(f"length={length} has no room for two texts of a piece each.")
        most = (length - 3) // 2
        found = [np.array(codec.pieces(line), np.int32) for line in text.split("\n")]
        cut = [line[at : at + most] for line in found for at in range(0, len(line), most)]
        if len(cut) < 2:
            raise UsageError("The text has not two lines, so that none follows another.")
        return cls(codec, cut, length)

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """The first line of each row, and the one behind its last, int64 [rows, 2]; a line that is left over is not."""
        out, begin, room = [], 0, self.length - 3
        while begin < len(self.lines) - 1:
            end, size = begin, 0
            while end < len(self.lines) and size + len(self.lines[end]) <= room:
                size, end = size + len(self.lines[end]), end + 1
            out.append((begin, end))
            begin = end
        return np.array(out)

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.codec.words.sha256} {self.length}".encode())
        for line in self.lines:
            digest.update(line.tobytes() + b"\n")
        return digest.hexdigest()

    def pair(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bool]:
        """Two stretches of lines, int32 [n] each, and whether the second follows the first.

        Either fills the row as far as the text goes: how long it is tells nothing.
        """
        begin, end = self.rows[number]
        cut = int(rng.integers(begin + 1, end))
        first, follows = np.concatenate(self.lines[begin:cut]), bool(rng.random() < FOLLOWS)
        elsewhere = int(rng.integers(len(self.lines) - 1))
        place = cut if follows else elsewhere + (elsewhere >= cut)
        room, second = self.length - 3 - len(first), self.lines[place]
        while len(second) < room and (place := place + 1) < len(self.lines):
            second = np.concatenate([second, self.lines[place]])
        return first, second[:room], follows

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Rows of these numbers, with gaps that are drawn anew each time."""
        many = max(1, round(SHARE * self.length))
        shape = (len(rows), many)
        tokens = np.full((len(rows), self.length), self.codec.numbers[PAD], np.int32)
        places, pieces, counted = (np.zeros(shape, dtype) for dtype in (np.int32, np.int32, np.float32))
        elsewhere = np.zeros(len(rows), np.int32)
        start, end = (np.array([self.codec.numbers[mark]], np.int32) for mark in (START, END))
        for row, number in enumerate(rows):
            first, second, follows = self.pair(int(number), rng)
            whole = np.concatenate([start, first, end, second, end])
            asked, there = gaps(whole, self.codec, rng)
            tokens[row, : len(whole)], elsewhere[row] = asked, not follows
            places[row, : len(there)], pieces[row, : len(there)], counted[row, : len(there)] = there, whole[there], 1
        return Batch(tokens, places, pieces, counted, elsewhere)
