"""Subwords: words cut into pieces that a training text has made worth having, by byte-pair encoding.

Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016, arXiv:1508.07909,
section 3.2, on letters. A word begins with `MARK` where a space is before it, so that pieces put together are the text
again. Cutting is what `tokenizers` does with the same merges, and takes nothing but array functions: it is part of
what is exported. Finding the merges is left to `tokenizers`, see `kerazoo.train.data.subwords`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from kerazoo.codecs import text as text_
from kerazoo.codecs.text import END, NEVER, PAD, SPECIAL, START, UNKNOWN, Text, Vocabulary, small
from kerazoo.contract import Tensor
from kerazoo.errors import UsageError

MARK = "▁"
"""Stands for a space, at the beginning of a piece; in a text it is read as `_`."""

NO_RANK = np.int32(2**31 - 1)


class Merges(NamedTuple):
    """A vocabulary of subwords as arrays.

    Attributes:
        pieces: By number: the special words, letters, and what merges make.
        letters, numbers: Code points of the pieces that are one letter, ascending, and their numbers.
        keys: `left * len(pieces) + right` of each merge, ascending, int64.
        ranks: Which merge it is: the lower comes first.
        products: The number of what it makes.
        longest: Letters of the longest piece.
    """

    pieces: tuple[str, ...]
    letters: np.ndarray
    numbers: np.ndarray
    keys: np.ndarray
    ranks: np.ndarray
    products: np.ndarray
    longest: int


@functools.lru_cache(maxsize=8)
def merges(lines: tuple[str, ...], special: int) -> Merges:
    """The lines of a vocabulary, of which so many are special words: then letters, then merges, `left right`.

    A merge whose product is there already makes no new piece.

    Raises:
        UsageError: A merge is of pieces that are not made before it.
    """
    numbers = {line: number for number, line in enumerate(lines[:special])}
    found: list[tuple[int, int, int]] = []
    for line in lines[special:]:
        left, space, right = line.partition(" ")
        if not space:
            numbers[line] = len(numbers)
            continue
        if left not in numbers or right not in numbers:
            raise UsageError(f"The vocabulary merges {line!r} before it has both.")
        product = numbers.setdefault(left + right, len(numbers))
        found.append((numbers[left], numbers[right], product))
    keys = np.array([left * len(numbers) + right for left, right, _ in found], np.int64)
    order = np.argsort(keys, kind="stable")
    pieces = tuple(numbers)
    letters = sorted((ord(piece), number) for piece, number in numbers.items() if len(piece) == 1)
    return Merges(
        pieces,
        np.array([code for code, _ in letters], np.int32),
        np.array([number for _, number in letters], np.int32),
        keys[order],
        order.astype(np.int32),
        np.array([product for _, _, product in found], np.int32)[order],
        max(map(len, pieces[special:])),
    )


def looked_up(ops: Any, ascending: np.ndarray, values: np.ndarray, asked: Tensor, missing: Tensor) -> Tensor:
    """The value that belongs to each key [n], and what `missing` [n] has for one that is not there."""
    place = ops.maximum(ops.searchsorted(ascending, asked) - 1, 0)
    return ops.where(ops.gather(ascending, place) == asked, ops.gather(values, place), missing)


def merged(ops: Any, table: Merges, numbers: Tensor, words: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Pieces that are merged as long as any can be: in each word the pair of the lowest rank first, from the left.

    Args:
        numbers: Of letters, int32 [n].
        words: Which word each belongs to, int32 [n], ascending.
        count: How many they are; what is behind is no letter.

    Returns:
        Numbers of pieces, int32 [n], and how many they are.
    """
    size = ops.length(numbers)
    here, no = ops.arange(size), ops.full((1,), False, "bool")
    none = ops.full((size,), NO_RANK, "int32")
    nothing = ops.full((size,), 0, "int32")
    last = ops.full((1,), -1, "int32")

    def step(more: Tensor, numbers: Tensor, words: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        pair = (words == ops.concat([words[1:], last], 0)) & (here + 1 < count)
        key = ops.cast(numbers, "int64") * len(table.pieces) + ops.cast(ops.concat([numbers[1:], last], 0), "int64")
        rank = ops.where(pair, looked_up(ops, table.keys, table.ranks, key, none), none)
        found = (rank < none) & (rank == ops.gather(ops.segment_min(rank, words, size), words))
        # Of a letter thrice the first two: in a run of pairs that overlap every other one counts.
        begins = found & ~ops.concat([no, found[:-1]], 0)
        run = ops.maximum(ops.cumsum(ops.cast(begins, "int32")) - 1, 0)
        start = ops.segment_sum(ops.where(begins, here, nothing), run, size)
        found = found & ((here - ops.gather(start, run)) % 2 == 0)
        numbers = ops.where(found, looked_up(ops, table.keys, table.products, key, nothing), numbers)
        kept = ~ops.concat([no, found[:-1]], 0)
        place = ops.cumsum(ops.cast(kept, "int32")) - 1
        numbers, words = (ops.segment_sum(ops.where(kept, each, nothing), place, size) for each in (numbers, words))
        merges = ops.sum(ops.cast(found, "int32"), 0)
        return merges > 0, numbers, words, count - merges

    begin = (ops.cast(1, "int32") > 0, numbers, words, ops.cast(count, "int32"))
    _, numbers, _, count = ops.while_loop(lambda more, *_: more, step, begin)
    return numbers, count


@functools.lru_cache(maxsize=8)
def cutter(lines: tuple[str, ...], special: int, unknown: str) -> Callable[[str], tuple[str, ...]]:
    """What cuts one word into its pieces, one after the other: what `merged` does with many, for much text at once."""
    pairs = (line.partition(" ") for line in lines[special:] if " " in line)
    ranks = {(left, right): rank for rank, (left, _, right) in enumerate(pairs)}
    letters = {chr(code) for code in merges(lines, special).letters}

    @functools.lru_cache(maxsize=1 << 16)
    def cut(word: str) -> tuple[str, ...]:
        parts = [letter if letter in letters else unknown for letter in word]
        while True:
            found = [ranks.get(pair, int(NO_RANK)) for pair in zip(parts, parts[1:], strict=False)]
            best = min(found, default=int(NO_RANK))
            if best == NO_RANK:
                return tuple(parts)
            out, place = [], 0
            while place < len(parts):
                take = 2 if place < len(found) and found[place] == best else 1
                out.append("".join(parts[place : place + take]))
                place += take
            parts = out

    return cut


@dataclass(frozen=True)
class Subwords(text_.Sentences):
    """Sentences to numbers of pieces of words [batch, length] and back; for whom pieces put together are the text.

    Attributes:
        words: `SPECIAL`, then one letter a line, `MARK` among them, then one merge a line, `left right`.
        length: Numbers a sentence has: its pieces, `<end>`, then `<pad>`.
        lower: Whether capitals are read as small letters.
    """

    words: Vocabulary
    length: int
    lower: bool = True

    start, end, pad, unknown, never = START, END, PAD, UNKNOWN, NEVER

    def __post_init__(self) -> None:
        if self.words[: len(SPECIAL)] != SPECIAL or MARK not in self.words:
            raise UsageError(f"A vocabulary of subwords begins with {' '.join(SPECIAL)} and has {MARK} as a letter.")
        _ = self._merges

    @property
    def _merges(self) -> Merges:
        return merges(self.words, len(SPECIAL))

    @property
    def pieces(self) -> tuple[str, ...]:
        """What each number stands for."""
        return self._merges.pieces

    @property
    def some(self) -> str:
        """A text that it can read."""
        # Every letter may be a piece of its own.
        return " ".join(self.pieces[len(SPECIAL) :][: min(5, self.length - 1)])

    def other(self, words: Vocabulary, length: int) -> Subwords:
        """How the other language is written: in small letters where its pieces have no others."""
        return replace(self, words=words, length=length, lower=small(words))

    def tokens(self, text: str) -> list[str]:
        """The pieces of one text; letters that are not known are `<unk>`."""
        cut = cutter(self.words, len(SPECIAL), SPECIAL[UNKNOWN])
        return [piece for word in marked(text, self.lower) for piece in cut(word)]

    def _prepare(self, ops: Any, text: Tensor) -> Tensor:
        codes = text_._letters(ops, text, self.lower)
        begins, blank = text_._starts(ops, codes)
        size, table = ops.length(codes), self._merges
        longer = f"The text has more than {self.length - 1} pieces of words; give it in parts."
        letters = ops.sum(ops.cast(~blank, "int32"), 0)
        ops.check(letters > 0, "The text is empty.")
        ops.check(letters < self.length * table.longest, longer)
        codes = ops.where(codes == ord(MARK), ops.full((size,), ord("_"), "int32"), codes)
        unknown = ops.full((size,), UNKNOWN, "int32")
        number = looked_up(ops, table.letters, table.numbers, codes, unknown)
        # Before every letter there is room for a mark.
        spaced = begins & ops.concat([ops.full((1,), True, "bool"), blank[:-1]], 0)
        marks = ops.full((size,), self.pieces.index(MARK), "int32")
        both = ops.reshape(ops.stack([marks, number], 1), (-1,))
        kept = ops.reshape(ops.stack([spaced, ~blank], 1), (-1,))
        word = ops.cumsum(ops.cast(begins, "int32")) - 1
        words = ops.reshape(ops.stack([word, word], 1), (-1,))
        nothing = ops.full((2 * size,), 0, "int32")
        place = ops.maximum(ops.cumsum(ops.cast(kept, "int32")) - 1, 0)
        both, words = (ops.segment_sum(ops.where(kept, each, nothing), place, 2 * size) for each in (both, words))
        number, count = merged(ops, table, both, words, ops.sum(ops.cast(kept, "int32"), 0))
        ops.check(count < self.length, longer)
        return text_._ended(ops, number, count, self.length)

    def decode(self, ops: Any, numbers: Tensor) -> Tensor:
        """int32 [batch, n] to UTF-8 texts [batch]; `<pad>`, `<start>` and `<end>` are silent."""
        spoken = tuple(
            "" if index in (PAD, START, END) else piece.replace(MARK, " ") for index, piece in enumerate(self.pieces)
        )
        said = ops.cast(ops.gather(np.array([piece != "" for piece in spoken]), numbers), "int32")
        first = (said == 1) & (ops.cumsum(said) == 1)
        begins = tuple(piece.removeprefix(" ") for piece in spoken)
        return ops.join(ops.gather((*spoken, *begins), text_._shifted(ops, numbers, first, len(spoken))))


def marked(text: str, lower: bool = True) -> list[str]:
    """The words of one text, those with a space before them marked, as subwords are made of them."""
    from kerazoo.ops import numpy as ops

    codes = text_._letters(ops, text.encode("utf-8", "replace"), lower)
    begins, blank = text_._starts(ops, codes)
    out: list[str] = []
    spaced = True
    for code, begin, empty in zip(codes.tolist(), begins.tolist(), blank.tolist(), strict=True):
        letter = "_" if code == ord(MARK) else chr(code)
        if begin:
            out.append(MARK + letter if spaced else letter)
        elif not empty:
            out[-1] += letter
        spaced = empty
    return out


def codec(words: Vocabulary, length: int, lower: bool = True) -> Text | Subwords:
    """How a vocabulary is read and written: one with merges is of subwords."""
    return (Subwords if any(" " in line for line in words) else Text)(words, length, lower)
