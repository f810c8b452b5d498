"""`rank`: a picture and a sentence in, how well they fit, and where in the picture each word is, out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from kerazoo import codecs
from kerazoo.codecs.image import Image
from kerazoo.codecs.text import END, PAD, SPECIAL, START, UNKNOWN, Text
from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.errors import UsageError
from kerazoo.tasks import _drawing
from kerazoo.tasks._chain import smoothed

NEAR = 1e-3
"""Two regions may stand for the same where a word scores as much in both, to this share of the largest score."""


@dataclass(frozen=True)
class Word:
    """One word of a sentence, as it was read.

    Attributes:
        text: The word; `<unk>` where the vocabulary does not have it.
        score: How well it fits its region; 0 of what is not known.
        box: Left, top, right and bottom of the region, in pixels of the picture; `None` of what is not known.
    """

    text: str
    score: float
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class Match:
    """How well one sentence fits one picture.

    Attributes:
        score: The sum of what each word scores in the region where it scores most; only ever to be compared with
            others of the same model.
        words: Of the sentence, each with its region.
        size: Height and width of the picture.
        ground: The picture itself, where regions are to be drawn on it.
    """

    score: float
    words: tuple[Word, ...]
    size: tuple[int, int]
    ground: bytes | None = None

    def on(self, picture: bytes) -> Match:
        """The same, shown on the picture that was asked about."""
        return replace(self, ground=picture)

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        """The score, and every word."""
        words = [
            {
                "word": word.text,
                "score": round(word.score, 6),
                "box": None if word.box is None else [round(side, 2) for side in word.box],
            }
            for word in self.words
        ]
        return {"score": round(self.score, 6), "words": words}

    def rows(self, limit: int = 5) -> list[str]:
        rows = [f"{self.score:8.3f}  in all"]
        for word in self.words:
            where = "not in the vocabulary" if word.box is None else " ".join(f"{side:7.1f}" for side in word.box)
            rows.append(f"{word.score:8.3f}  {where:>31}  {word.text}")
        return rows

    def files(self) -> dict[str, bytes]:
        if self.ground is None:
            return {}
        at: dict[tuple[float, float, float, float], list[str]] = {}
        for word in self.words:
            if word.box is not None:
                at.setdefault(word.box, []).append(word.text)
        captions = [" ".join(words) for words in at.values()]
        return {"regions.png": _drawing.boxed(list(at), captions, range(len(at)), self.size, self.ground)}


@dataclass(frozen=True)
class Rank:
    """Regions of a picture and words of a sentence are vectors of one space, in which what belongs together is alike.

    The score is the sum over the words of the largest inner product with a region (Karpathy, Fei-Fei, arXiv:1412.2306,
    equation 8). Words that the vocabulary does not have are vectors of zeros, and count for nothing.

    Attributes:
        input: How a picture is made to fit.
        sentence: How a sentence becomes numbers.
        grid: Rows and columns of the regions, which share the network's picture out evenly.
        full: Whether behind these the whole picture is one more region.
        units: Numbers of a vector.
        smoothing: What a word gains where it takes the region of the word before it, when regions are chosen: 0 for
            each word the region where it scores most, more for stretches of words in one region. The score does not
            depend on it.
    """

    kind: ClassVar[str] = "rank"
    batched: ClassVar[bool] = True

    input: Image
    sentence: Text
    grid: tuple[int, int]
    full: bool
    units: int
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not self.smoothing >= 0:
            raise UsageError(f"smoothing={self.smoothing!r} must be at least 0.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port, self.sentence.port)

    @property
    def response(self) -> tuple[Port, ...]:
        shape = (None, self.sentence.length)
        return (
            Port("score", "float32", (None,)),
            Port("word", "string", shape, "text"),
            Port("word_score", "float32", shape),
            Port("box", "float32", (*shape, 4)),
            Port("count", "int32", (None,)),
            Port("size", "float32", (None, 2)),
        )

    @property
    def parts(self) -> Mapping[str, Signature]:
        regions = Port("regions", "float32", (None, len(self._regions), self.units))
        words = Port("words", "float32", (None, self.sentence.length, self.units))
        return {
            "picture": Signature((self.input.tensor,), (regions,)),
            "sentence": Signature((self.sentence.tensor,), (words,)),
        }

    @functools.cached_property
    def _regions(self) -> np.ndarray:
        """Top, left, bottom and right of each in the network's picture, float32 [regions, 4]."""
        sides = np.array([self.input.height, self.input.width])
        cells = np.stack(np.meshgrid(*map(np.arange, self.grid), indexing="ij"), -1).reshape(-1, 2)
        step = sides / self.grid
        found = np.concatenate([cells * step, (cells + 1) * step], -1)
        around = np.concatenate([[0, 0], sides])[None] if self.full else np.zeros((0, 4))
        return np.concatenate([found, around]).astype(np.float32)

    def golden(self) -> dict[str, Any]:
        picture = codecs.of(self.input.port).example(self.input.port, np.random.default_rng(7))
        words = self.sentence.words[len(SPECIAL) : len(SPECIAL) + min(5, self.sentence.length - 1)]
        return {self.input.port.name: picture, self.sentence.port.name: " ".join(words).encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        tokens, words = self.words(network, request[self.sentence.port.name])
        regions, placements = self.regions(network, request[self.input.port.name])
        alike = ops.matmul(words, ops.transpose(regions, (0, 2, 1)))
        best, chosen = ops.argmax(alike), smoothed(ops, alike, self.smoothing)
        known = ops.cast(tokens >= len(SPECIAL), "float32")
        return {
            "score": ops.sum(self._there(ops, alike, best), 1),
            "word": ops.gather(self._read, tokens),
            "word_score": self._there(ops, alike, chosen),
            "box": ops.gather_batched(self._placed(ops, placements), chosen) * known[:, :, None],
            "count": ops.sum(ops.cast(tokens != PAD, "int32"), 1) - 1,
            "size": placements.size,
        }

    def words(self, network: Network, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Texts to the numbers of their words, int32 [batch, length], and these words, float32 [batch, length, units].

        Raises:
            InputError: A text has no word that is known, or too many.
        """
        ops = network.ops
        tokens = self.sentence.prepare(ops, texts)
        ops.check(ops.any(tokens >= len(SPECIAL), 1), "The vocabulary of this model has no word of the text.")
        return tokens, network.part("sentence")({self.sentence.tensor.name: tokens})["words"]

    def regions(self, network: Network, pictures: Tensor) -> tuple[Tensor, Any]:
        """Encoded pictures to their regions, float32 [batch, regions, units], and where the pictures were placed.

        Raises:
            InputError: A picture cannot be read.
        """
        pixels, placements = self.input.place(network.ops, pictures)
        return network.part("picture")({self.input.tensor.name: pixels})["regions"], placements

    @functools.cached_property
    def _read(self) -> tuple[str, ...]:
        """What each number says that was read: nothing of an end."""
        return tuple("" if n in (PAD, START, END) else word for n, word in enumerate(self.sentence.words))

    def _there(self, ops: Any, alike: Tensor, chosen: Tensor) -> Tensor:
        """What each word scores in its region, float32 [batch, length]."""
        flat = ops.reshape(alike, (-1, len(self._regions)))
        return ops.reshape(ops.gather_batched(flat, ops.reshape(chosen, (-1, 1))), (-1, self.sentence.length))

    def _placed(self, ops: Any, placements: Any) -> Tensor:
        """Left, top, right and bottom of each region in each picture, float32 [batch, regions, 4]."""

        def placed(row: Tensor) -> Tensor:
            box = placements.of(row).boxes(ops, self._regions)
            return ops.stack([box[:, side] for side in (1, 0, 3, 2)], -1)

        return ops.map_items(placed, ops.arange(ops.length(placements.size)), self._regions.shape)

    def read(self, response: Tensors, row: int) -> Match:
        height, width = response["size"][row]
        texts, scores, boxes = (response[name][row] for name in ("word", "word_score", "box"))
        words = []
        for place in range(int(response["count"][row])):
            text = texts[place].decode()
            left, top, right, bottom = np.asarray(boxes[place], np.float64).tolist()
            box = None if text == SPECIAL[UNKNOWN] else (left, top, right, bottom)
            words.append(Word(text, float(scores[place]), box))
        return Match(float(response["score"][row]), tuple(words), (int(height), int(width)))

    def compare(self, expected: Tensors, got: Tensors) -> dict[str, float]:
        """Regions where a word scores as much are as good: there boxes may differ."""
        found = {port.name: codecs.of(port).distance(expected[port.name], got[port.name]) for port in self.response}
        scores = np.asarray(expected["word_score"], np.float64)
        apart = np.abs(scores - np.asarray(got["word_score"], np.float64))
        other = apart > NEAR * np.abs(scores).max(initial=1e-12)
        boxes = np.abs(np.asarray(expected["box"], np.float64) - np.asarray(got["box"], np.float64)).max(-1)
        return found | {"box": float((boxes * other).max(initial=0.0) / max(self.input.height, self.input.width))}
