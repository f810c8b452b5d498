"""Finds the subwords that are worth having, by `tokenizers`; what is read later needs no package: see the codec."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kerazoo.codecs._subwords import Subwords, marked
from kerazoo.codecs.text import SPECIAL, UNKNOWN, Vocabulary
from kerazoo.errors import UsageError
from kerazoo.packages import needed


def learnt(sentences: Iterable[str], size: int, lower: bool = True) -> Vocabulary:
    """A vocabulary of byte-pair encoding: the special words, the letters, and merges of what is often side by side.

    Args:
        sentences: Plain text.
        size: Pieces at most; fewer where there is nothing more to merge.
        lower: Whether capitals are read as small letters.

    Raises:
        UsageError: The letters alone are more.
        PackageMissing: tokenizers is not installed.
    """
    lines = [" ".join(marked(sentence, lower)) for sentence in sentences]
    return of_lines(lines, size)


def of_pairs(pairs: Iterable[tuple[str, str]], size: int) -> Vocabulary:
    """As `learnt`, for sentences that are read in small letters and translations that are written as they are."""
    sides = ((text, lower) for pair in pairs for text, lower in zip(pair, (True, False), strict=True))
    return of_lines((" ".join(marked(*side)) for side in sides), size)


def of_lines(lines: Iterable[str], size: int) -> Vocabulary:
    """As `learnt`, of lines of `kerazoo.codecs._subwords.marked` words with spaces between them."""
    tokenizers = needed("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=SPECIAL[UNKNOWN]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.train_from_iterator(
        lines,
        tokenizers.trainers.BpeTrainer(
            vocab_size=size, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
        ),
    )
    told = _told(made)
    products = {left + right for left, right in told["merges"]}
    letters = [piece for piece in sorted(told["vocab"], key=told["vocab"].get) if piece not in products]
    found = Vocabulary((*letters, *(f"{left} {right}" for left, right in told["merges"])))
    pieces = len(Subwords(found, 2).pieces)
    if pieces > size:
        raise UsageError(f"words={size}: the letters of these sentences alone are {len(letters) - len(SPECIAL)}.")
    return found


def tokenizer(words: Vocabulary) -> Any:
    """A vocabulary as a `tokenizers.Tokenizer` of marked words.

    Raises:
        PackageMissing: tokenizers is not installed.
    """
    tokenizers = needed("tokenizers")
    numbers = {piece: number for number, piece in enumerate(Subwords(words, 2).pieces)}
    merges = [tuple(line.split(" ")) for line in words if " " in line]
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=numbers, merges=merges, unk_token=SPECIAL[UNKNOWN]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return made


def _told(made: Any) -> dict[str, Any]:
    import json

    told: dict[str, Any] = json.loads(made.to_str())["model"]
    return told
