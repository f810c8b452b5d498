"""Text: from UTF-8 to word numbers and back, the same letter by letter in NumPy and in a graph.

Both op sets run the code below on code points, so that lower case, word borders and the vocabulary cannot differ
between them as they would between two regular expression engines. The tables of letters come from Python's own
Unicode data and are baked into what is exported. Accents are not composed: `é` is one letter (NFC) to a vocabulary
that has it so, and another word when it is written as two.
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerazoo.contract import Port, Tensor
from kerazoo.errors import GateError, InputError, UsageError

SUFFIXES: tuple[str, ...] = ()
MIME = "text/plain"
AGREES = ("equal words", 0.98)

SPECIAL = ("<pad>", "<unk>", "<start>", "<end>")
"""The first words of every vocabulary; no text is ever split into one of them."""

PAD, UNKNOWN, START, END = range(4)

NEVER = (PAD, UNKNOWN, START)
"""What is not written."""

_SPACE, _WORD, _OTHER, _HYPHEN, _APOSTROPHE = range(5)
_PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "\u2010": "-", "\u2011": "-", "İ": "i"}
_NO_SPACE_BEFORE = frozenset(".,!?:;)]}%…'")
_NO_SPACE_AFTER = frozenset("([{")

# Behind this are only private and unassigned code points, tags and selectors; all of them count as spaces.
_LAST = 0x3FFFF

_LONGEST = 64


def powers(count: int) -> np.ndarray:
    """Powers of an odd number modulo 2^64, int64 [count]: as the signed numbers that every engine wraps alike."""
    return np.array([pow(0x9E3779B97F4A7C15, n, 2**64) for n in range(count)], np.uint64).astype(np.int64)


_POWERS = powers(_LONGEST)


def read(item: Any, port: Port) -> bytes:
    """A text, or its UTF-8 bytes, to the bytes.

    Raises:
        InputError: It is neither, or cannot be written as UTF-8.
    """
    if isinstance(item, bytes):
        return item
    if not isinstance(item, str):
        raise InputError(f"{port.name} takes a text; this is {type(item).__name__}.")
    try:
        return item.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{port.name} is no text that UTF-8 can hold: {error.reason}.") from None


def plain(value: bytes) -> bytes:
    return value


def example(port: Port, rng: np.random.Generator) -> bytes:
    return b"the quick brown fox"


def drawn(port: Port, rng: np.random.Generator) -> bytes:
    """Some words of a few, others every time."""
    words = ["the", "a", "quick", "slow", "brown", "fox", "dog", "cat", "runs", "sees", "over", "under", "by"]
    return " ".join(rng.choice(words, rng.integers(2, 8))).encode()


def distance(expected: Any, got: Any) -> float:
    """Share of the texts that differ.

    Raises:
        GateError: Another number of texts.
    """
    a, b = np.asarray(expected, object), np.asarray(got, object)
    if a.shape != b.shape:
        raise GateError(f"has the shape {list(b.shape)}; {list(a.shape)} is expected")
    return float(np.mean(a != b)) if a.size else 0.0


def agreement(expected: Any, got: Any) -> float:
    """Share of the words that stand at the same place, on average over the texts.

    Raises:
        GateError: Another number of texts.
    """
    distance(expected, got)  # Their number.
    return float(np.mean([_same_words(a, b) for a, b in zip(np.ravel(expected), np.ravel(got), strict=True)]))


def _same_words(a: bytes | str, b: bytes | str) -> float:
    first, second = a.split(), b.split()
    longest = max(len(first), len(second))
    return sum(mine == theirs for mine, theirs in zip(first, second, strict=False)) / longest if longest else 1.0


class Vocabulary(tuple[str, ...]):
    """Words by number. A tuple that cards do not write out: it travels as a file beside them, known by its hash."""

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} words)"

    def dumps(self) -> bytes:
        """One word a line, in UTF-8."""
        return "".join(f"{word}\n" for word in self).encode()

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.dumps()).hexdigest()

    @classmethod
    def loads(cls, data: bytes, name: str = "The vocabulary") -> Vocabulary:
        """The inverse of `dumps`.

        Raises:
            UsageError: It is not UTF-8, or a line is empty.
        """
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name} is not UTF-8: {error.reason} at byte {error.start}.") from None
        words = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
        if "" in words:
            raise UsageError(f"{name}: line {words.index('') + 1} is empty; a vocabulary has one word a line.")
        return cls(words)


@functools.cache
def _kinds() -> tuple[np.ndarray, np.ndarray]:
    """Where the kind of letter changes, and to which: code points ascending, kinds."""
    starts, kinds = [0], [_SPACE]
    for code in range(_LAST + 1):
        letter = chr(code)
        if letter.isalnum():
            kind = _WORD
        elif letter == "-":
            kind = _HYPHEN
        elif letter == "'":
            kind = _APOSTROPHE
        else:
            category = unicodedata.category(letter)[0]
            kind = _WORD if category == "M" else _SPACE if category in "ZC" else _OTHER
        if kind != kinds[-1]:
            starts.append(code)
            kinds.append(kind)
    return np.array(starts, np.int32), np.array(kinds, np.int32)


@functools.cache
def _folding(lower: bool) -> tuple[np.ndarray, np.ndarray]:
    """Code points that are written otherwise, ascending, and how: typographic quotes plain, capitals small."""
    pairs = {ord(a): ord(b) for a, b in _PLAIN.items() if lower or a != "İ"}
    if lower:
        for code in range(_LAST + 1):
            small = chr(code).lower()
            if len(small) == 1 and ord(small) != code:
                pairs[code] = ord(small)
    codes = sorted(pairs)
    return np.array(codes, np.int32), np.array([pairs[code] for code in codes], np.int32)


def _letters(ops: Any, text: Tensor, lower: bool) -> Tensor:
    """One text to code points [n], n at least 1: the end is always a space."""
    codes = ops.concat([ops.code_points(text), ops.full((1,), ord(" "), "int32")], 0)
    source, target = _folding(lower)
    place = ops.maximum(ops.searchsorted(source, codes) - 1, 0)
    return ops.where(ops.gather(source, place) == codes, ops.gather(target, place), codes)


def _starts(ops: Any, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Where in code points [n] a token begins, and which belong to none, as booleans [n].

    A token is a run of letters, digits and marks, or any other single sign. A hyphen between letters stays in its
    word; so does an apostrophe, and ends the token there: `l'homme` is `l'` and `homme`.
    """
    starts, kinds = _kinds()
    kind = ops.gather(kinds, ops.searchsorted(starts, codes) - 1)
    space = ops.full((1,), _SPACE, "int32")
    between = (ops.concat([space, kind[:-1]], 0) == _WORD) & (ops.concat([kind[1:], space], 0) == _WORD)
    elided = (kind == _APOSTROPHE) & between
    word = (kind == _WORD) | ((kind == _HYPHEN) & between) | elided
    no = ops.full((1,), False, "bool")
    goes_on = word & ops.concat([no, word[:-1]], 0) & ~ops.concat([no, elided[:-1]], 0)
    return (kind != _SPACE) & ~goes_on, kind == _SPACE


def tokens(text: str, lower: bool = True) -> list[str]:
    """The tokens of one text, as models read it: for building vocabularies and training data."""
    from kerazoo.ops import numpy as ops

    codes = _letters(ops, text.encode("utf-8", "replace"), lower)
    begins, blank = _starts(ops, codes)
    out: list[str] = []
    for code, begin, empty in zip(codes.tolist(), begins.tolist(), blank.tolist(), strict=True):
        if begin:
            out.append(chr(code))
        elif not empty:
            out[-1] += chr(code)
    return out


def vocabulary(sentences: Iterable[Iterable[str]], size: int) -> Vocabulary:
    """The special words and the most frequent tokens of tokenised sentences, `size` at most; ties by spelling."""
    counts = Counter(token for sentence in sentences for token in sentence)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return Vocabulary((*SPECIAL, *ranked[: size - len(SPECIAL)]))


def small(words: Iterable[str]) -> bool:
    """Whether words have small letters alone."""
    return all(word == word.lower() for word in words)


def placeholder(size: int) -> Vocabulary:
    """A vocabulary of invented words, for trying a network that has been trained on none."""
    return Vocabulary((*SPECIAL, *(f"word{index}" for index in range(len(SPECIAL), size))))


def _hash(word: str) -> int:
    codes = np.array([ord(letter) for letter in word], np.int64) + 1
    return int(np.sum(codes * _POWERS[np.minimum(np.arange(len(codes)), _LONGEST - 1)], dtype=np.int64))


@functools.lru_cache(maxsize=8)
def _table(words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words behind the special ones, ascending, and their numbers."""
    hashes = np.array([_hash(word) for word in words[len(SPECIAL) :]], np.int64)
    order = np.argsort(hashes, kind="stable")
    if (np.diff(hashes[order]) == 0).any():
        raise UsageError("Two words of the vocabulary are equal.")
    return hashes[order], (order + len(SPECIAL)).astype(np.int32)


def _ended(ops: Any, numbers: Tensor, count: Tensor, length: int) -> Tensor:
    """The first `count` of numbers, `<end>`, and `<pad>` for the rest of [length]."""
    row = ops.arange(length)
    padding = ops.full((length,), PAD, "int32")
    ends = ops.where(row == count, ops.full((length,), END, "int32"), padding)
    return ops.where(row < count, ops.concat([numbers, padding], 0)[:length], ends)


class Sentences(ABC):
    """What codecs of sentences with a longest length have in common, whatever a number stands for in them."""

    length: int

    @property
    def port(self) -> Port:
        """Of a request: sentences."""
        return Port("text", "string", (None,), "text")

    @property
    def tensor(self) -> Port:
        """Of a network: the numbers of each."""
        return Port("tokens", "int32", (None, self.length))

    def prepare(self, ops: Any, text: Tensor) -> Tensor:
        """UTF-8 texts [batch] to int32 [batch, length].

        Raises:
            InputError: A text is empty or has too much, or what has no number; nothing is cut off unsaid.
        """
        return ops.map_range(lambda i: self._prepare(ops, text[i]), ops.length(text), (self.length,), "int32")

    @abstractmethod
    def _prepare(self, ops: Any, text: Tensor) -> Tensor:
        """One UTF-8 text to int32 [length]."""


@dataclass(frozen=True)
class Text(Sentences):
    """Sentences to word numbers [batch, length] and back; a word that is not known is `<unk>`.

    Attributes:
        words: The vocabulary, one token a number, `SPECIAL` first.
        length: Numbers a sentence has: its tokens, `<end>`, then `<pad>`.
        lower: Whether capitals are read as small letters.
    """

    words: Vocabulary
    length: int
    lower: bool = True

    start, end, pad, unknown, never = START, END, PAD, UNKNOWN, NEVER

    def __post_init__(self) -> None:
        if self.words[: len(SPECIAL)] != SPECIAL or len(self.words) == len(SPECIAL):
            raise UsageError(f"A vocabulary begins with {' '.join(SPECIAL)} and has at least one word more.")

    @property
    def pieces(self) -> tuple[str, ...]:
        """What each number stands for."""
        return self.words

    @property
    def some(self) -> str:
        """A text that it can read."""
        return " ".join(self.pieces[len(SPECIAL) :][: min(5, self.length - 1)])

    def other(self, words: Vocabulary, length: int) -> Text:
        """How the other language is written: in small letters where its words have no others."""
        return replace(self, words=words, length=length, lower=small(words))

    def tokens(self, text: str) -> list[str]:
        """The words of one text, also those that are not known."""
        return tokens(text, self.lower)

    def _prepare(self, ops: Any, text: Tensor) -> Tensor:
        codes = _letters(ops, text, self.lower)
        begins, blank = _starts(ops, codes)
        size = ops.length(codes)
        count = ops.sum(ops.cast(begins, "int32"), 0)
        ops.check(count > 0, "The text is empty.")
        ops.check(count < self.length, f"The text has more than {self.length - 1} words and signs; give it in parts.")
        # Every letter's token, and its place in it; spaces count for nothing.
        token = ops.maximum(ops.cumsum(ops.cast(begins, "int32")) - 1, 0)
        here = ops.arange(size)
        first = ops.segment_sum(ops.where(begins, here, ops.full((size,), 0, "int32")), token, size)
        place = ops.minimum(here - ops.gather(first, token), _LONGEST - 1)
        value = (ops.cast(codes, "int64") + 1) * ops.gather(_POWERS, ops.maximum(place, 0))
        found = ops.segment_sum(ops.where(blank, ops.full((size,), 0, "int64"), value), token, size)
        hashes, numbers = _table(self.words)
        nearest = ops.maximum(ops.searchsorted(hashes, found) - 1, 0)
        unknown = ops.full((size,), UNKNOWN, "int32")
        number = ops.where(ops.gather(hashes, nearest) == found, ops.gather(numbers, nearest), unknown)
        return _ended(ops, number, count, self.length)

    def decode(self, ops: Any, numbers: Tensor) -> Tensor:
        """int32 [batch, n] to UTF-8 texts [batch]: `<pad>`, `<start>` and `<end>` are silent, signs close up."""
        spoken = tuple("" if index in (PAD, START, END) else word for index, word in enumerate(self.words))
        silent = np.array([word == "" for word in spoken])
        before = silent | np.array([word in _NO_SPACE_BEFORE for word in self.words])
        after = silent | np.array(
            [word in _NO_SPACE_AFTER or (len(word) > 1 and word.endswith("'")) for word in self.words]
        )
        start = ops.full((ops.length(numbers), 1), START, "int32")
        previous = ops.concat([start, numbers[:, :-1]], 1)
        spaced = ~(ops.gather(before, numbers) | ops.gather(after, previous))
        pieces = ops.gather((*spoken, *(" " + word for word in spoken)), _shifted(ops, numbers, spaced, len(spoken)))
        return ops.join(pieces)


def _shifted(ops: Any, numbers: Tensor, spaced: Tensor, by: int) -> Tensor:
    return numbers + ops.cast(spaced, "int32") * by
