"""What belongs to weights besides the numbers: labels, preprocessing, vocabulary.

Labels and preprocessing ship with the package. Vocabularies are files of their own, one word a line in UTF-8: those of
an entry of the manifest have the role `asset:vocabulary`, or `asset:vocabulary_source` and `asset:vocabulary_target`,
and are fetched and verified like weights. Those of one's own weights lie beside them and have their name, without its
ending: `words.npz` or `words.weights.h5` goes with `words.vocabulary.txt`, or with `words.source.txt` and
`words.target.txt`. Files of the word2vec program hold their words themselves.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerazoo import store
from kerazoo.errors import UsageError, WeightsDamaged, near
from kerazoo.manifest import Entry

if TYPE_CHECKING:
    from kerazoo.codecs.text import Vocabulary

WITH_WORDS = "word2vec"
"""The format of weight files that hold their vocabulary themselves."""


@dataclass(frozen=True)
class Assets:
    """What a task needs to read requests and name answers.

    Attributes:
        labels: One name a class, in the order of the logits.
        preprocessing: The manifest's recipe from pixels to tensor.
        task: What the weights want of their task: the scale they enlarge by.
        vocabulary: One token an id; or two vocabularies, `source` and `target`.
        missing: Where a vocabulary would be taken from if it were there, for messages.
    """

    labels: tuple[str, ...] | None = None
    preprocessing: Mapping[str, Any] | None = None
    task: Mapping[str, Any] | None = None
    vocabulary: Vocabulary | Mapping[str, Vocabulary] | None = None
    missing: str | None = None

    def hashes(self) -> list[str]:
        """The sha256 of each vocabulary."""
        sides = self.vocabulary.values() if isinstance(self.vocabulary, Mapping) else [self.vocabulary]
        return [words.sha256 for words in sides if words is not None]


def vocabulary_of(assets: Assets, lack: str, lines: str) -> Vocabulary:
    """The vocabulary of a network that has one.

    Args:
        lack: What the network cannot do without it, for the message: `bert_tiny has no vocabulary, so ...`.
        lines: What stands on its lines: `words`.

    Raises:
        UsageError: There is none, or there are two.
    """
    if assets.vocabulary is None or isinstance(assets.vocabulary, Mapping):
        place = (assets.missing or "a file beside them").partition(",")[0]
        raise UsageError(f"{lack}.\nPut the {lines} of these weights, one a line, into {place}.")
    return assets.vocabulary


@functools.cache
def labels(name: str) -> tuple[str, ...]:
    """Human names of the classes of a data set, in class order; names of two classes can be equal (two `crane`)."""
    known = label_sets()
    if name not in known:
        raise UsageError(f"There are no labels {name!r}; there are {', '.join(known)}.{near(name, known)}")
    return tuple(label for _, label in _lines(name))


def label_sets() -> list[str]:
    """The data sets whose classes are known by name, sorted."""
    folder = importlib.resources.files("kerazoo").joinpath("labels")
    return sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))


def identifiers(known: tuple[str, ...]) -> tuple[str, ...]:
    """What the data set of these labels calls its classes in folders and lists (WordNet ids), if it does."""
    for name in label_sets():
        lines = _lines(name)
        if tuple(label for _, label in lines) == known:
            return tuple(identifier for identifier, _ in lines if identifier)
    return ()


def _lines(name: str) -> list[tuple[str, str]]:
    """Identifier, where there is one, and label of each class."""
    text = importlib.resources.files("kerazoo").joinpath("labels", f"{name}.txt").read_text(encoding="utf-8")
    # A line is the name, or an identifier (a WordNet id), a tab and the name.
    parts = [line.rpartition("\t") for line in text.splitlines()]
    return [(identifier, label) for identifier, _, label in parts]


def of(entry: Entry, words: bool = True) -> Assets:
    """The assets of one manifest entry; a vocabulary is fetched where it is not in the cache.

    Args:
        entry: The weights.
        words: Whether the vocabulary is wanted.

    Raises:
        WeightsUnavailable: Its vocabulary is not in the cache and cannot be fetched.
        WeightsDamaged: Its bytes are not what the manifest says, or no vocabulary.
    """
    names = {"": "asset:vocabulary", "source": "asset:vocabulary_source", "target": "asset:vocabulary_target"}
    found = {}
    for side, role in names.items() if words else ():
        if role in entry.assets():
            path = store.fetch(entry, role)
            try:
                found[side] = _vocabulary(path, store.sha256_of(entry, role))
            except UsageError as error:
                raise WeightsDamaged(f"{entry.name}: {error}") from error
    full = next((file for file in entry.files if file.role == "full"), None)
    if words and not found and full is not None and full.format == WITH_WORDS:
        found[""] = _in_weights(store.fetch(entry), store.sha256_of(entry))
    return Assets(
        labels=labels(entry.labels) if entry.labels else None,
        preprocessing=entry.preprocessing or None,
        task=entry.task or None,
        vocabulary=_sides(found),
    )


def beside(weights: Path) -> Assets:
    """The vocabulary of a weight file of one's own, from the files beside it; see above for their names.

    Raises:
        UsageError: One of two files is missing, or one is no vocabulary.
    """
    stem = weights.name.removesuffix(weights.suffix).removesuffix(".weights")
    paths = {side: weights.with_name(f"{stem}.{side or 'vocabulary'}.txt") for side in ("", "source", "target")}
    found = {side: _vocabulary(path, None) for side, path in paths.items() if path.is_file()}
    if found.keys() in ({"source"}, {"target"}):
        lacking = paths[({"source", "target"} - found.keys()).pop()]
        raise UsageError(f"{weights} has a vocabulary on one side alone; {lacking} is missing.")
    if not found and _has_words(weights):
        found[""] = _in_weights(weights, str(weights.stat().st_mtime_ns))
    wanted = f"{paths['']}, or {paths['source'].name} and {paths['target'].name} there"
    return Assets(vocabulary=_sides(found), missing=None if found else wanted)


def _has_words(path: Path) -> bool:
    from kerazoo.weights import word2vec

    try:
        with path.open("rb") as file:
            return word2vec.recognises(path, file.read(32))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _sides(found: Mapping[str, Vocabulary]) -> Vocabulary | Mapping[str, Vocabulary] | None:
    return found[""] if "" in found else dict(found) or None


@functools.lru_cache(maxsize=8)
def _known(path: Path, sha256: str) -> Vocabulary:
    return _read(path)


def _vocabulary(path: Path, sha256: str | None) -> Vocabulary:
    """Read once for each hash; one's own files, of which none is noted, each time."""
    return _read(path) if sha256 is None else _known(path, sha256)


@functools.lru_cache(maxsize=4)
def _in_weights(path: Path, sha256: str | None) -> Vocabulary:
    """The words of a weight file that holds them beside its numbers."""
    from kerazoo.codecs.text import Vocabulary
    from kerazoo.weights import word2vec

    return Vocabulary(word2vec.words(path))


def _read(path: Path) -> Vocabulary:
    # What describes models must start without NumPy.
    from kerazoo.codecs.text import Vocabulary

    try:
        return Vocabulary.loads(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
