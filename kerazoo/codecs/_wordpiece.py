"""WordPiece, the text codec of BERT: words cut into the longest pieces that a vocabulary has.

Source: Devlin et al., "BERT", arXiv:1810.04805, section 3, and google-research/bert's `tokenization.py`, to whose
tokens these are equal. What a letter is comes from Python's own Unicode data; for a graph it is baked into tables.
"""

from __future__ import annotations

import functools
import math
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kerazoo.codecs._subwords import Subwords, codec
from kerazoo.codecs.text import Text, Vocabulary, powers, small
from kerazoo.contract import Port, Tensor
from kerazoo.errors import UsageError

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
"""Pieces that every vocabulary has, anywhere but `[PAD]`, which is the first; no text is split into one of them."""

GOES_ON = "##"
"""What a piece begins with that does not begin a word."""

_CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""First and last of the ideographs, each of which is a word; not so Hangul, Hiragana and Katakana."""

_PLACES = (*range(0x40000), *range(0xE0000, 0xE1000))
"""Code points that Unicode has given to letters, and those between; all others are alike."""

_LINES = "\u2028\u2029"
"""Ends of lines and paragraphs, which are no spaces to Unicode and part words all the same."""

_DROPPED, _SPACE, _ALONE, _OTHER = range(4)
_REMEMBERED, _LENGTH = 1 << 16, 64
"""Words whose pieces are kept, and letters of the longest of these."""


def _kind(code: int) -> int:
    """What is done to a letter first."""
    letter = chr(code)
    category = unicodedata.category(letter)
    if letter in " \t\n\r" or category == "Zs":
        return _SPACE
    if code in (0, 0xFFFD) or category in ("Cc", "Cf"):
        return _DROPPED
    return _ALONE if any(first <= code <= last for first, last in _CJK) else _OTHER


def _sign(letter: str) -> bool:
    """Whether it is a word by itself: all that is neither letter, digit nor space in ASCII, and punctuation."""
    if ord(letter) < 128:
        return not (letter.isalnum() or letter <= " " or letter == "\x7f")
    return unicodedata.category(letter).startswith("P")


def _folded(word: str) -> str:
    """Small letters without accents."""
    apart = unicodedata.normalize("NFD", word.lower())
    return "".join(letter for letter in apart if unicodedata.category(letter) != "Mn")


class _Cleaning(dict[int, Any]):
    """For `str.translate`: what is dropped, what is a space, and ideographs with spaces around them."""

    def __missing__(self, code: int) -> Any:
        becomes: Any = {_DROPPED: None, _SPACE: " ", _ALONE: f" {chr(code)} "}.get(_kind(code), code)
        self[code] = becomes
        return becomes


_CLEANING = _Cleaning()


class Letters(NamedTuple):
    """What every Unicode letter is, in runs: `first` code points ascending, and a property each."""

    first: np.ndarray
    kind: np.ndarray
    """0 dropped, 1 a space, 2 a word by itself, 3 other."""
    sign: np.ndarray
    nonspacing: np.ndarray
    order: np.ndarray
    """Canonical combining class; 0 begins a run that is put in order."""
    cased: np.ndarray
    ignorable: np.ndarray
    """Which letters a capital sigma is at the end of a word by, and which it looks past."""


class Folding(NamedTuple):
    """Letters that are others once they are small and taken apart: `code` ascending, `letters` one behind another."""

    code: np.ndarray
    begin: np.ndarray
    length: np.ndarray
    letters: np.ndarray


class Pieces(NamedTuple):
    """Hashes of pieces, ascending, and their numbers; `longest` is their most letters.

    A piece's hash is the sum of its letters' code points plus one, each times the one of `powers` at its place, and of
    `salt` where it goes on within a word; modulo 2^64.
    """

    hashes: np.ndarray
    numbers: np.ndarray
    longest: int
    powers: np.ndarray
    salt: np.int64


_POWERS = powers(512)
_SALT = np.int64(0x5851F42D4C957F2D)


@functools.cache
def letters() -> Letters:
    """Of every code point; one behind Unicode's last stands for the marks of `WordPiece`."""
    codes = (*_PLACES, sys.maxunicode)
    every = [chr(code) for code in codes]
    # Python's own lower case tells which letters count: a capital sigma behind a cased one is a final one.
    cased = ["ς" in (letter + "Σ").lower() for letter in every]
    seen_past = ["ς" in ("A" + letter + "Σ").lower() for letter in every]
    rows = [
        (_SPACE if letter in _LINES else _kind(ord(letter)), _sign(letter), unicodedata.category(letter) == "Mn",
         unicodedata.combining(letter), before, past and not before)
        for letter, before, past in zip(every, cased, seen_past, strict=True)
    ]  # fmt: skip
    table = np.array([*rows, (_ALONE, False, False, 0, False, False)], np.int32)
    runs = np.concatenate([[0], 1 + np.flatnonzero((table[1:] != table[:-1]).any(1))])
    kind, sign, nonspacing, order, cased_, ignorable = table[runs].T
    first = np.array([*codes, sys.maxunicode + 1], np.int32)[runs]
    return Letters(first, kind, sign > 0, nonspacing > 0, order, cased_ > 0, ignorable > 0)


@functools.cache
def folding() -> Folding:
    """Of all letters that are written otherwise, accents among them, which fall away afterwards."""
    found = {}
    for code in _PLACES:
        apart = unicodedata.normalize("NFD", chr(code).lower())
        if apart != chr(code):
            found[code] = [ord(letter) for letter in apart]
    length = np.array([len(each) for each in found.values()], np.int32)
    begin = (np.cumsum(length) - length).astype(np.int32)
    return Folding(np.array([*found], np.int32), begin, length, np.concatenate([*found.values()]).astype(np.int32))


def _hash(codes: list[int], within: bool) -> int:
    summed = np.sum((np.array(codes, np.int64) + 1) * _POWERS[: len(codes)], dtype=np.int64)
    return int(summed + _SALT * np.int64(within))


@functools.lru_cache(maxsize=8)
def pieces(words: tuple[str, ...], longest: int, marks: tuple[str, ...]) -> Pieces:
    """The pieces that a word can be cut into, and the marks, each one letter behind Unicode's last.

    Raises:
        UsageError: Two words of the vocabulary are equal.
    """
    found = {}
    for number, word in enumerate(words):
        within = word.startswith(GOES_ON) and word != GOES_ON
        codes = [ord(letter) for letter in (word[len(GOES_ON) :] if within else word)]
        if len(codes) <= min(longest, len(_POWERS)):
            found[number] = codes, within
    for index, mark in enumerate(marks):
        found[words.index(mark)] = [sys.maxunicode + 1 + index], False
    with np.errstate(over="ignore"):
        hashes = np.array([_hash(*each) for each in found.values()], np.int64)
    order = np.argsort(hashes, kind="stable")
    if (np.diff(hashes[order]) == 0).any():
        raise UsageError("Two words of the vocabulary are equal.")
    most = max(len(codes) for codes, _ in found.values())
    return Pieces(hashes[order], np.array([*found], np.int32)[order], most, _POWERS, _SALT)


@dataclass(frozen=True)
class WordPiece:
    """Texts to numbers of pieces [batch, n]: `[CLS]`, the pieces, `[SEP]`, then `[PAD]` where others are longer.

    Attributes:
        words: The vocabulary, one piece a number.
        length: The most numbers of a text, `[CLS]` and `[SEP]` among them.
        lower: Whether capitals are read as small letters, and accents left out.
        cut: Whether a longer text loses its end; otherwise it is refused.
        longest: Letters of the longest word that is cut into pieces; a longer one is `[UNK]`.
        marks: Pieces that are read where they are written out in a text, as `[MASK]` is.
        padded: Whether there is `[PAD]` up to `length` in any case.
    """

    words: Vocabulary
    length: int = 512
    lower: bool = True
    cut: bool = False
    longest: int = 200
    marks: tuple[str, ...] = ()
    padded: bool = False

    def __post_init__(self) -> None:
        missing = [piece for piece in (PAD, UNKNOWN, START, END, *self.marks) if piece not in self.numbers]
        if missing or self.words[0] != PAD:
            raise UsageError(
                f"A vocabulary of pieces begins with {PAD} and has {UNKNOWN}, {START} and {END}; this one "
                + (f"lacks {', '.join(missing)}." if missing else f"begins with {self.words[0]!r}.")
            )
        if len(self.numbers) != len(self.words):
            raise UsageError("Two words of the vocabulary are equal.")
        if self.length < 3:
            raise UsageError(f"length={self.length!r} leaves no room for a piece between {START} and {END}.")

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """Piece -> number."""
        return {word: number for number, word in enumerate(self.words)}

    @functools.cached_property
    def _frame(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What stands before the pieces, what ends each part, and padding enough: int32 [1], [1], [length]."""
        return tuple(np.array(row, np.int32) for row in ([self.numbers[START]], [self.end], [0] * self.length))  # type: ignore[return-value]

    @functools.cached_property
    def _known(self) -> dict[str, tuple[int, ...]]:
        return {}

    @functools.cached_property
    def _marks(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.marks)))

    @property
    def port(self) -> Port:
        """Of a request: texts."""
        return Port("text", "string", (None,), "text")

    @property
    def tensor(self) -> Port:
        """Of a network: numbers of pieces."""
        return Port("tokens", "int32", (None, self.length if self.padded else None))

    @property
    def end(self) -> int:
        """The number of `[SEP]`."""
        return self.numbers[END]

    @property
    def some(self) -> str:
        """A text that it can read."""
        # Of its first pieces many are none that a text is split into.
        return " ".join([word for word in self.words if word.isalnum()][: min(5, self.length - 2)])

    def other(self, words: Vocabulary, length: int) -> Text | Subwords:
        """How the language that is written stands, by its vocabulary: in subwords, or in whole words."""
        return codec(words, length, small(words))

    def tokens(self, text: str) -> list[str]:
        """What one text is read as but for its end: `[CLS]` and its pieces; nothing where it has none."""
        found = [self.words[number] for number in self.pieces(text)]
        return [START, *found] if found else []

    def pieces(self, text: str) -> list[int]:
        """The pieces of one text, of any length, without `[CLS]` and `[SEP]`."""
        if not self.marks:
            return self._plain(text)
        out: list[int] = []
        at = 0
        for found in self._marks.finditer(text):
            out += self._plain(text[at : found.start()])
            out.append(self.numbers[found[0]])
            at = found.end()
        return out + self._plain(text[at:])

    def _plain(self, text: str) -> list[int]:
        known = self._known
        out: list[int] = []
        for word in text.translate(_CLEANING).split():
            found = known.get(word)
            if found is None:
                found = self._cut(word)
                if len(known) >= _REMEMBERED:
                    known.clear()
                if len(word) <= _LENGTH:
                    known[word] = found
            out += found
        return out

    def _cut(self, word: str) -> tuple[int, ...]:
        """What stands between two spaces to pieces: signs are words of their own."""
        out: list[int] = []
        begin = 0
        word = _folded(word) if self.lower else word
        for place, letter in enumerate(word):
            if _sign(letter):
                out += (*self._word(word[begin:place]), *self._word(letter))
                begin = place + 1
        return (*out, *self._word(word[begin:]))

    def _word(self, word: str) -> list[int]:
        """The longest piece that it begins with, again and again."""
        unknown = [self.numbers[UNKNOWN]]
        if len(word) > self.longest:
            return unknown
        out: list[int] = []
        begin = 0
        while begin < len(word):
            for end in range(min(len(word), begin + self._most), begin, -1):
                piece = word[begin:end] if begin == 0 else GOES_ON + word[begin:end]
                if piece in self.numbers:
                    break
            else:
                return unknown
            out.append(self.numbers[piece])
            begin = end
        return out

    @functools.cached_property
    def _most(self) -> int:
        return max(len(word) for word in self.words)

    def tables(self) -> tuple[Letters, Folding | None, Pieces, int]:
        """What a graph needs to do the same; last how often the reach of jumps within a word must double."""
        doubled = math.ceil(math.log2(self.longest + 1))
        return letters(), folding() if self.lower else None, pieces(self.words, self.longest, self.marks), doubled

    def prepare(self, ops: Any, text: Tensor) -> Tensor:
        """UTF-8 texts [batch] to int32 [batch, n], n at most `length`, or just that.

        Raises:
            InputError: A text has nothing to read, or too much where nothing may be cut.
        """
        rows = ops.map_range(lambda i: self._row(ops, text[i]), ops.length(text), (self.length,), "int32")
        return rows if self.padded else self.trimmed(ops, rows)

    def _row(self, ops: Any, text: Tensor) -> Tensor:
        found = ops.word_pieces(text, self)
        ops.check(ops.length(found) > 0, "The text is empty.")
        return self.row(ops, [found])

    def row(self, ops: Any, parts: list[Tensor]) -> Tensor:
        """Pieces of one text or of several, int32 [n] each, to int32 [length].

        Raises:
            InputError: They are too many, and nothing may be cut.
        """
        most = self.length - 1 - len(parts)
        count = sum(ops.length(part) for part in parts)
        if not self.cut:
            ops.check(count <= most, f"The text has more than {most} pieces; give it in parts.")
        start, end, blank = self._frame
        row = [start]
        for index, part in enumerate(parts):
            # What is cut off is the end of the last one.
            part = part[: ops.maximum(most, 0)] if index == 0 else part[: ops.maximum(most - ops.length(parts[0]), 0)]
            row += [part, end]
        return ops.concat([*row, blank], 0)[: self.length]

    @staticmethod
    def trimmed(ops: Any, rows: Tensor) -> Tensor:
        """Without what is padding in every row."""
        return rows[:, : ops.sum(ops.cast(ops.any(rows != 0, 0), "int32"), 0)]


def placeholder(size: int, end: int = 3) -> Vocabulary:
    """A vocabulary of the alphabet and of invented words, for trying a network that has been trained on none.

    Args:
        size: Pieces.
        end: The number of `[SEP]`.
    """
    alphabet = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [PAD, UNKNOWN, START, MASK, *alphabet, *(GOES_ON + letter for letter in alphabet)]
    words += [f"word{index}" for index in range(len(words), size)]
    return Vocabulary([*words[:end], END, *words[end:]][:size])
