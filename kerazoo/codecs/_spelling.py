"""Spelling: sentences as their characters, with no word beside them.

A vocabulary is the characters of some texts and nothing more. In what is written a tab stands before the sentence and a
line break ends it; what a row is longer than its sentence is filled with spaces. So there is no number for a character
that is not known: it is refused, because a sentence without it, or with another in its place, is another sentence.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.codecs._characters import meant, named
from kerazoo.codecs._subwords import looked_up
from kerazoo.codecs.text import Sentences, Vocabulary
from kerazoo.contract import Tensor
from kerazoo.errors import UsageError

START, END, SPACE = "\t", "\n", " "


def characters(texts: Iterable[str], written: bool = False) -> Vocabulary:
    """The characters of texts by their code points, and a space.

    Args:
        written: Whether such texts are written: then tab and line break are characters, too.
    """
    return Vocabulary(map(named, sorted({SPACE, *(START + END) * written}.union(*texts))))


def placeholder(size: int, written: bool = False) -> Vocabulary:
    """A vocabulary of so many characters, for trying a network that has been trained on none."""
    marks = 1 + 2 * written
    return characters([chr(ord("a") + index) for index in range(size - marks)], written)


@dataclass(frozen=True)
class Spelling(Sentences):
    """Sentences to numbers of characters [batch, length] and back.

    Attributes:
        words: The vocabulary, one character a line, a space among them; of what is written `START` and `END` as well.
        length: Numbers a sentence has: its characters, `END` where it is written, then spaces.
    """

    words: Vocabulary
    length: int

    unknown = None

    def __post_init__(self) -> None:
        known = self.pieces
        if len(set(known)) < len(known):
            raise UsageError("Two lines of the vocabulary are the same character.")
        if SPACE not in known or (START in known) != (END in known):
            raise UsageError(
                "A vocabulary of characters has a space, which stands behind a sentence, and of what is written "
                f"{named(START)} and {named(END)}, which begin and end it."
            )

    @functools.cached_property
    def pieces(self) -> tuple[str, ...]:
        """What each number stands for."""
        return tuple(map(meant, self.words))

    @property
    def start(self) -> int:
        """The number before a sentence that is written."""
        return self.pieces.index(START)

    @property
    def end(self) -> int:
        """The number that ends it."""
        return self.pieces.index(END)

    @property
    def pad(self) -> int:
        """The number that stands behind it, which is that of a space."""
        return self.pieces.index(SPACE)

    @property
    def never(self) -> tuple[int, ...]:
        """Numbers that are not written."""
        return (self.start,)

    @property
    def some(self) -> str:
        """A text that it can read."""
        return "".join([piece for piece in self.pieces if piece.isalpha()][: min(5, self.length - 1)])

    def other(self, words: Vocabulary, length: int) -> Spelling:
        """How the other language is written."""
        return replace(self, words=words, length=length)

    def tokens(self, text: str) -> list[str]:
        """The characters of one text."""
        return list(text)

    def _prepare(self, ops: Any, text: Tensor) -> Tensor:
        codes, written = ops.code_points(text), END in self.pieces
        size, most = ops.length(codes), self.length - written
        ops.check(size > 0, "The text is empty.")
        ops.check(size <= most, f"The text has more than {most} characters; give it in parts.")
        ascending, values = self._table
        numbers = looked_up(ops, ascending, values, codes, ops.full((size,), -1, "int32"))
        read, unknown = "".join(map(chr, ascending)), ops.sum(ops.cast(numbers < 0, "int32"), 0)
        ops.check(unknown == 0, f"The text has a character that is none of {read!r}.")
        behind = ([self.end] if written else []) + [self.pad] * self.length
        return ops.concat([numbers, np.array(behind, np.int32)], 0)[: self.length]

    @functools.cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Code points of what a sentence may have, ascending, and their numbers."""
        known = sorted((ord(piece), number) for number, piece in enumerate(self.pieces) if piece not in (START, END))
        codes, numbers = zip(*known, strict=True)
        return np.array(codes, np.int32), np.array(numbers, np.int32)

    def decode(self, ops: Any, numbers: Tensor) -> Tensor:
        """int32 [batch, n] to UTF-8 texts [batch]; tab and line break are silent, and what is behind the latter."""
        silent = tuple("" if piece in (START, END) else piece for piece in self.pieces)
        ends = ops.cumsum(ops.cast(numbers == self.end, "int32")) > 0
        return ops.join(ops.gather((*silent, ""), ops.where(ends, ops.full((1, 1), len(silent), "int32"), numbers)))
