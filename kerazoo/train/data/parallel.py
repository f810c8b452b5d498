"""Sentences and their translations: two files of lines that belong together, or one with a tab in every line."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs.text import END, PAD, START, UNKNOWN, tokens
from kerazoo.errors import InputError, UsageError
from kerazoo.train.data import files
from kerazoo.train.recipe import Batch

LENGTHS = 4
"""Sentences are padded to one of so many lengths, unless said otherwise: a network is traced anew for each."""

Pair = tuple[str, str]
Cut = Callable[[str], list[str]]


def read(sources: Sequence[Path], part: str = "train") -> list[Pair]:
    """The pairs of a source, line by line.

    Args:
        sources: Two files of equally many lines, the language that is read first; or one file, each of whose lines has
            a tab between the two; or a folder that holds one or the other, or folders of parts that do.
        part: A key of `kerazoo.train.data.files.PARTS`.

    Raises:
        UsageError: There is nothing of the kind.
    """
    if len(sources) == 1 and sources[0].is_dir():
        held = files.part_of(files.opened(sources[0]), part)
        folder = held.source / held.root
        tables = [folder / name for name in held.names if "/" not in name and name.endswith(".tsv")]
        if len(tables) != 1:
            raise UsageError(
                f"{folder} holds {len(tables)} .tsv files; one is expected.\n"
                "Name two files of lines, the language that is read first: --data a.de --data a.en."
            )
        sources = tables
    if len(sources) == 1:
        return _table(sources[0])
    if len(sources) != 2:
        raise UsageError(f"A sentence and its translation are in one file or in two; {len(sources)} were given.")
    first, second = (_lines(path) for path in sources)
    if len(first) != len(second):
        raise UsageError(
            f"{sources[0]} has {len(first)} lines and {sources[1]} has {len(second)}; line by line they must be "
            "translations of each other."
        )
    return list(zip(first, second, strict=True))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or f"it is not UTF-8: {error}"
        raise UsageError(f"{path} cannot be read: {why}.") from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _table(path: Path) -> list[Pair]:
    found = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) < 2:
            raise UsageError(
                f"{path}: line {number} has no tab between a sentence and its translation: {line[:80]}\n"
                "Of two files of lines name both: --data a.de --data a.en."
            )
        found.append((cells[0], cells[1]))
    return found


def words(
    pairs: Sequence[Pair],
    length: int,
    cut: tuple[Cut, Cut] = (tokens, tokens),
    *,
    strict: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> tuple[list[tuple[list[str], list[str]]], int]:
    """The tokens of each pair, and how many pairs were left out: those with an empty or a too long side.

    Args:
        length: Tokens of the longest sentence, its end included.
        cut: From a text to its tokens, of either side.
        strict: Refuse where a pair does not fit, instead of leaving it out.
        say: Is told what is left out.

    Raises:
        InputError: A pair does not fit, and `strict`; or none does.
    """
    if not pairs:
        raise UsageError("There are no sentences to learn from.")
    out: list[Any] = [None] * len(pairs)

    def read_one(row: int) -> None:
        both = [each(text) for each, text in zip(cut, pairs[row], strict=True)]
        if not all(both):
            raise InputError("one side is empty")
        longest = max(map(len, both))
        if longest >= length:
            raise InputError(f"{longest} words and signs; {length - 1} fit")
        out[row] = tuple(both)

    kept = files.each([f"pair {row + 1}" for row in range(len(pairs))], read_one, what="pairs", strict=strict, say=say)
    return [pair for pair in out if pair is not None], int(np.sum(~kept))


def numbered(
    pairs: Sequence[tuple[list[str], list[str]]],
    source: Sequence[str],
    target: Sequence[str],
    length: int,
    buckets: int = LENGTHS,
    end: int = END,
) -> Parallel:
    """Tokens as numbers, which are their places in `source` and `target`; what is in none is `<unk>`.

    Args:
        pairs: Tokens of both sides.
        source, target: What each number stands for.
        length, buckets: See `Parallel`.
        end: The number that a source ends with.
    """
    sides = []
    for side, (vocabulary, last) in enumerate(((source, end), (target, END))):
        places: Mapping[str, int] = {word: number for number, word in enumerate(vocabulary)}
        rows = np.full((len(pairs), length), PAD, np.int32)
        for row, pair in zip(rows, pairs, strict=True):
            row[: len(pair[side])] = [places.get(word, UNKNOWN) for word in pair[side]]
            row[len(pair[side])] = last
        sides.append(rows)
    return Parallel(sides[0], sides[1], buckets)


@dataclass(frozen=True)
class Parallel:
    """Sentences and their translations as numbers, in batches of about equal length.

    Attributes:
        source, target: int32 [n, length]: words, `<end>`, and `<pad>`.
        buckets: Lengths that there are.
    """

    source: np.ndarray
    target: np.ndarray
    buckets: int = LENGTHS

    def __len__(self) -> int:
        return len(self.source)

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.source.shape} {self.buckets}".encode())
        for array in (self.source, self.target):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Of each pair what its longer side is padded to, int64 [n]: one of `buckets` lengths."""
        longest = np.maximum(np.sum(self.source != PAD, axis=1), np.sum(self.target != PAD, axis=1))
        whole = self.source.shape[1]
        step = max(1, -(-whole // self.buckets))
        return np.minimum(-(-longest // step) * step, whole)

    def order(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers of all pairs, such that those of a batch are about equally long, int64 [n]."""
        drawn = rng.permutation(len(self))
        ranked = drawn[np.argsort(self.lengths[drawn], kind="stable")]
        whole = len(self) // size
        # Who is left over is drawn as well: it would always be the longest.
        spared = np.sort(rng.permutation(len(self))[: len(self) - whole * size])
        batches = np.delete(ranked, spared).reshape(whole, size)
        return np.concatenate([batches[rng.permutation(whole)].ravel(), ranked[spared]])

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Source, target before each step, and target, int32 [batch, length of the longest]."""
        length = int(self.lengths[rows].max())
        source, target = self.source[rows, :length], self.target[rows, :length]
        before = np.concatenate([np.full((len(rows), 1), START, np.int32), target[:, :-1]], axis=1)
        return source, before, target
