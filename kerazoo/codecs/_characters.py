"""Characters: Unicode code points as numbers and back, the same in NumPy and in a graph."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo.codecs.text import Vocabulary
from kerazoo.contract import Port, Tensor
from kerazoo.errors import UsageError

UNKNOWN = "<unk>"
"""The first line of every vocabulary: any character that is in none of the others."""

LINE = "\n"

_NAMED = re.compile(r"<U\+([0-9A-F]{4,6})>")


def named(character: str) -> str:
    """A character as a line of a vocabulary: itself, or `<U+000A>` where it cannot be seen."""
    return character if character.isprintable() else f"<U+{ord(character):04X}>"


def meant(line: str) -> str:
    """The character of a line, the inverse of `named`.

    Raises:
        UsageError: It is none.
    """
    found = _NAMED.fullmatch(line)
    code = int(found.group(1), 16) if found else ord(line) if len(line) == 1 else -1
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise UsageError(f"A vocabulary of characters has one a line, as itself or as <U+000A>; {line!r} is none.")
    return chr(code)


def alphabet(texts: Iterable[str], size: int | None = None) -> Vocabulary:
    """The characters of texts by their code points, `size` lines at most: then the most frequent; a line break always.

    Characters that are no text, halves of surrogate pairs, are left out.
    """
    counts = Counter(character for text in texts for character in text)
    counts[LINE] = counts.total() + 1
    known = sorted(counts, key=lambda character: (-counts[character], character))
    known = [character for character in known if not "\ud800" <= character <= "\udfff"]
    kept = sorted(known[: len(known) if size is None else size - 1])
    return Vocabulary((UNKNOWN, *map(named, kept)))


def placeholder(size: int) -> Vocabulary:
    """A vocabulary of so many lines, for trying a network that has been trained on none."""
    return Vocabulary((UNKNOWN, named(LINE), *(chr(ord("a") + index) for index in range(size - 2))))


@dataclass(frozen=True)
class Characters:
    """Texts to numbers of characters and back.

    Attributes:
        words: The vocabulary: `UNKNOWN`, and one character a line, a line break among them.
        longest: Characters that a text may have.
    """

    words: Vocabulary
    longest: int = 4_096

    def __post_init__(self) -> None:
        if self.words[:1] != (UNKNOWN,) or named(LINE) not in self.words:
            raise UsageError(f"A vocabulary of characters begins with {UNKNOWN} and has {named(LINE)}, a line break.")
        if len(set(self.characters)) < len(self.words):
            raise UsageError("Two lines of the vocabulary are the same character.")

    @property
    def characters(self) -> tuple[str, ...]:
        """What each number stands for; the first is written as the character for what is none."""
        return ("\N{REPLACEMENT CHARACTER}", *map(meant, self.words[1:]))

    @property
    def port(self) -> Port:
        """Of a request: texts."""
        return Port("text", "string", (None,), "text")

    def numbers(self, text: str) -> np.ndarray:
        """int32 [n]: one number a character; 0 for those that are not known."""
        codes, numbers = self._table()
        asked = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int32)
        place = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
        return np.where(codes[place] == asked, numbers[place], 0).astype(np.int32)

    def prepare(self, ops: Any, text: Tensor) -> tuple[Tensor, Tensor]:
        """UTF-8 texts [batch] to numbers int32 [batch, longest + 1], and how many count, int32 [batch].

        A line break stands before each: what a text begins with is what a line begins with, and an empty text is a
        text. Behind it are zeros.

        Raises:
            InputError: A text has more than `longest` characters; nothing is cut off unsaid.
        """
        rows = ops.map_range(lambda i: self._prepare(ops, text[i]), ops.length(text), (self.longest + 2,), "int32")
        return rows[:, 1:], rows[:, 0]

    def _prepare(self, ops: Any, text: Tensor) -> Tensor:
        """How many, and the numbers."""
        ascending, numbers = self._table()
        codes = ops.code_points(text)
        size = ops.length(codes)
        ops.check(size <= self.longest, f"The text has more than {self.longest} characters; give its end.")
        place = ops.maximum(ops.searchsorted(ascending, codes) - 1, 0)
        unknown = ops.full((size,), 0, "int32")
        found = ops.where(ops.gather(ascending, place) == codes, ops.gather(numbers, place), unknown)
        line, rest = ops.full((1,), self.line, "int32"), ops.full((self.longest,), 0, "int32")
        count = ops.reshape(ops.cast(size + 1, "int32"), (1,))
        return ops.concat([count, line, found, rest], 0)[: self.longest + 2]

    @property
    def line(self) -> int:
        """The number of a line break."""
        return self.words.index(named(LINE))

    def decode(self, ops: Any, numbers: Tensor) -> Tensor:
        """int32 [batch, n] to UTF-8 texts [batch]."""
        return ops.join(ops.gather(self.characters, numbers))

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Code points ascending, and their numbers."""
        codes = np.array([ord(character) for character in self.characters[1:]], np.int32)
        order = np.argsort(codes)
        return codes[order], (order + 1).astype(np.int32)
