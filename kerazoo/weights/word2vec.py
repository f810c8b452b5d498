"""The binary files of the word2vec program: `V D`, then V times a word, a space and D float32 numbers.

Bounds: the numbers must be in the file; a word has at most `LONGEST` bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kerazoo.errors import UsageError, WeightsDamaged

ABOUT = "vectors of the word2vec program, .bin"

HEADER = re.compile(rb"([1-9]\d{0,9}) ([1-9]\d{0,4})\n")
LONGEST = 4096

VECTORS = "vectors"
"""What the one array is called."""


def recognises(path: Path, head: bytes) -> bool:
    return HEADER.match(head) is not None


def read(path: Path) -> dict[str, np.ndarray]:
    """The vectors, float32 [V, D], in the file's order."""
    return {VECTORS: np.stack([row for _, row in _rows(path)])}


def words(path: Path) -> list[str]:
    """The words, in the file's order.

    Raises:
        WeightsDamaged: It is no such file, or a word is not UTF-8.
    """
    return [word for word, _ in _rows(path)]


def write(path: str | os.PathLike[str], words: Sequence[str], vectors: np.ndarray) -> None:
    """Writes such a file.

    Args:
        path: Where; what is there is replaced once the new file is whole.
        words: Without spaces and line ends.
        vectors: Of each, [V, D].

    Raises:
        UsageError: There are not as many vectors as words, or a word has a space.
    """
    if len(words) != len(vectors):
        raise UsageError(f"{len(words)} words have {len(vectors)} vectors.")
    bad = next((word for word in words if not word or " " in word or "\n" in word), None)
    if bad is not None:
        raise UsageError(f"The word {bad!r} cannot be written: a space ends a word there.")
    rows = zip(words, np.asarray(vectors, "<f4"), strict=True)
    data = b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in rows)
    part = Path(f"{path}.part")
    part.write_bytes(f"{len(words)} {vectors.shape[1]}\n".encode() + data)
    part.replace(path)


def _rows(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    data = path.read_bytes()
    header = HEADER.match(data)
    if header is None:
        raise WeightsDamaged(f"{path} does not begin with the number of words and the size of their vectors.")
    count, size = map(int, header.groups())
    at, width = header.end(), 4 * size
    if count * (width + 2) > len(data) - at + 1:
        raise WeightsDamaged(f"{path} says that it has {count} vectors of {size} numbers, and is too short for them.")
    for row in range(count):
        at += data[at : at + 1] == b"\n"  # Behind the numbers of the word before; some programs leave it out.
        space = data.find(b" ", at, at + LONGEST)
        if space <= at or space + 1 + width > len(data):
            raise WeightsDamaged(f"{path} ends within word {row + 1} of {count}, or has no word there.")
        try:
            word = data[at:space].decode()
        except UnicodeDecodeError as error:
            raise WeightsDamaged(f"{path}: word {row + 1} is not UTF-8: {error.reason}.") from None
        at = space + 1 + width
        yield word, np.frombuffer(data, "<f4", size, space + 1)
    if data[at:].strip(b"\n"):
        raise WeightsDamaged(f"{path} goes on behind its last word.")
