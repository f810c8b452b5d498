"""Which of many sentences fits a picture, and which of many pictures a sentence: each is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from kerazoo import codecs, inputs
from kerazoo.codecs.text import SPECIAL
from kerazoo.contract import Network
from kerazoo.errors import InputError, KerazooError, UsageError
from kerazoo.predictor import Failure, Predictor
from kerazoo.tasks.rank import Rank

BATCH = 64
"""Sentences that are read at a time."""


@dataclass(frozen=True)
class Pair:
    """A picture with a sentence.

    Attributes:
        picture: As it was given.
        sentence: As it was given.
        score: As `kerazoo.tasks.rank.Match` has it.
    """

    picture: Any
    sentence: str
    score: float


def ranked(predictor: Predictor, pictures: Iterable[Any], sentences: Sequence[str]) -> list[Pair]:
    """Every picture with every sentence, what fits best first: of one picture its sentences, of one sentence a search.

    Args:
        predictor, pictures, sentences: As for `scored`.

    Raises:
        UsageError, InputError: As there; or a picture cannot be read.
    """
    pairs = []
    for picture, scores in scored(predictor, pictures, sentences):
        if isinstance(scores, Failure):
            raise scores.error
        pairs += [Pair(picture, *pair) for pair in zip(sentences, scores.tolist(), strict=True)]
    return sorted(pairs, key=lambda pair: -pair.score)


def scored(
    predictor: Predictor, pictures: Iterable[Any], sentences: Sequence[str]
) -> Iterator[tuple[Any, np.ndarray | Failure]]:
    """What each sentence scores on one picture after the other.

    Args:
        predictor: Of a model that does `rank`, on an engine that computes on NumPy's arrays.
        pictures: Each as for a predictor; folders and patterns are opened.
        sentences: At least one.

    Returns:
        An iterator of a picture and float32 [sentences], or why it cannot be read.

    Raises:
        UsageError: The model ranks nothing, or its engine hides the network.
        InputError: There is no sentence, or one has no word that is known, or too many.
    """
    task, network = predictor.task, predictor.network
    if not isinstance(task, Rank):
        raise UsageError(f"{predictor.name} does {task.kind}, and ranks nothing; visual_semantic_small:scenes does.")
    if network is None:
        raise UsageError(f"The engine {predictor.engine} answers one pair after the other; take keras, onnx or litert.")
    if not sentences:
        raise InputError("There is no sentence to rank by.")
    texts = np.array([codecs.of(task.sentence.port).read(each, task.sentence.port) for each in sentences], object)
    read = [task.words(network, texts[at : at + BATCH])[1] for at in range(0, len(texts), BATCH)]
    return _scored(task, network, pictures, np.concatenate(read))


def unknown(predictor: Predictor, sentences: Iterable[str]) -> list[str]:
    """Words of sentences that the vocabulary of a model that ranks does not have, each once."""
    codec = predictor.task.sentence  # type: ignore[attr-defined]
    known = set(codec.words[len(SPECIAL) :])
    return [word for word in dict.fromkeys(chain.from_iterable(map(codec.tokens, sentences))) if word not in known]


def _scored(
    task: Rank, network: Network, pictures: Iterable[Any], words: np.ndarray
) -> Iterator[tuple[Any, np.ndarray | Failure]]:
    port = task.input.port
    for picture in (each for item in pictures for each in inputs.expand(item, port)):
        try:
            data = codecs.of(port).read(picture() if callable(picture) else picture, port)
            (regions,), _ = task.regions(network, np.array([data], object))
        except KerazooError as error:
            yield picture, Failure(error)
        else:
            yield picture, (words @ regions.T).max(-1).sum(-1)
