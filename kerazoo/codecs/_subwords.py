"""Subwords: words cut into pieces that a training text has made worth having, by byte-pair encoding.

Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016, arXiv:1508.07909,
section 3.2, on letters. A word begins with `MARK` where a space is before it, so that pieces put together are the text
again. Cutting is what `tokenizers` does with the same merges, and takes nothing but array functions: it is part of
what is exported. Finding the merges is left to `tokenizers`, see `kerazoo.train.data.subwords`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

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
