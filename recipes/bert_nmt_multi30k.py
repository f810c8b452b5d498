"""Trains `bert_nmt_frozen:multi30k-en-de`: English sentences about pictures, which MiniLM reads, written in German.

    python recipes/bert_nmt_multi30k.py multi30k_train_val.tar out/
    kerazoo evaluate bert_nmt_frozen:out/bert_nmt_frozen_multi30k-en-de.npz multi30k_train_val.tar --languages en-de

The archive holds train.en.gz, train.de.gz, val.en.gz and val.de.gz: 29,000 pairs, learnt from, and 1,014, measured on.
German has the 3,000 subwords that a plain Transformer would have for both languages. `minilm_l6:all` learns nothing
further: what it says of each sentence is computed once, in four minutes of one core, and kept beside the archive in
359 MB.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import registry
from kerazoo.applications import bert_nmt
from kerazoo.assets import Assets
from kerazoo.codecs.text import PAD, Vocabulary
from kerazoo.lazy import keras
from kerazoo.train import script
from kerazoo.train.data import subwords
from kerazoo.train.jobs import translate
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import InverseRoot, Optimizer
from kerazoo.train.state import replacing

CONFIG = bert_nmt.VARIANTS["bert_nmt_frozen"].config
READER = "minilm_l6:all"


def opened(path: Path) -> dict[str, Any]:
    """The pairs of `train` and `val`, the vocabularies, and what MiniLM says of each sentence, `vectors`."""
    found: dict[str, Any] = script.pairs(path, ("en", "de"))
    found["words"] = {"source": bert_nmt.pieces(), "target": subwords.of_pairs(found["train"], CONFIG.words)}
    task = bert_nmt.tasks(CONFIG, Assets(vocabulary=found["words"]))["translate"]
    for part in ("train", "val"):
        found[part, "numbers"] = translate.read(found[part], task, buckets=8)[0]
    source = np.concatenate([found[part, "numbers"].source for part in ("train", "val")])
    kept = path.with_name(f"{path.stem}.{READER.replace(':', '_')}.npy")
    if not kept.exists():
        with replacing(kept) as file:
            np.save(file, np.concatenate(list(read(source))))
    found["vectors"] = Vectors(source, np.load(kept, mmap_mode="r"))
    return found


def read(source: np.ndarray) -> Iterable[np.ndarray]:
    """What MiniLM says of the pieces of each sentence, one sentence after the other, float16 [pieces, units]."""
    reader, lengths = registry.build(READER).keras, np.sum(source != PAD, axis=1)
    said: dict[int, np.ndarray] = {}
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for some in np.split(rows, range(64, len(rows), 64)):
            sequence = reader(source[some, :length], training=False)["sequence"]
            said |= zip(some, np.asarray(sequence, np.float16), strict=True)
    return (said[row] for row in range(len(source)))


@dataclass(frozen=True)
class Vectors:
    """What MiniLM said, by the numbers of a sentence's pieces.

    Attributes:
        source: Of all sentences, int32 [n, length].
        said: Of the pieces of one after the other, [pieces, units].
    """

    source: np.ndarray = field(repr=False)
    said: np.ndarray = field(repr=False)

    @functools.cached_property
    def places(self) -> dict[bytes, slice]:
        """Where each sentence's vectors are."""
        ends = np.cumsum(np.sum(self.source != PAD, axis=1)).tolist()
        spans = map(slice, [0, *ends[:-1]], ends)
        return {row[row != PAD].tobytes(): span for row, span in zip(self.source, spans, strict=True)}

    def __call__(self, source: np.ndarray) -> np.ndarray:
        """Pieces int32 [n, length] to vectors float32 [n, length, units], zeros where there are no pieces."""
        out = np.zeros((*source.shape, self.said.shape[1]), np.float32)
        for row, vectors in zip(source, out, strict=True):
            row = row[row != PAD]
            vectors[: len(row)] = self.said[self.places[row.tobytes()]]
        return out

    def batch(self, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
        """A batch with vectors in place of pieces."""
        source, *others = batch
        return self(source), *others


def build(config: bert_nmt.Config) -> Any:
    """The network behind MiniLM: its vectors [batch, length, units] and the tokens before each step to logits."""
    vectors = keras.Input((config.length, config.bert.units), name="vectors")
    return bert_nmt.behind(config, vectors, keras.ops.any(keras.ops.not_equal(vectors, 0), axis=-1), vectors)


def words(data: dict[str, Any]) -> dict[str, Vocabulary]:
    return data["words"]


class Family:
    """For `translate.step`, whose networks have the batch's length."""

    build = staticmethod(build)


def recipe(data: dict[str, Any]) -> Recipe:
    return Recipe(
        name="bert_nmt_frozen:multi30k-en-de",
        model=functools.partial(build, CONFIG),
        data=data["train", "numbers"],
        augment=data["vectors"].batch,
        step=translate.step(Family, CONFIG, smoothing=0.1),
        optimizer=Optimizer("adam"),
        schedule=InverseRoot(1e-3, warm_up=0.5),
        measure=translate.Held(data["val", "numbers"], data["vectors"]),
        average=2,
        seed=2002,
        batch=64,
        epochs=3,
    )


if __name__ == "__main__":
    script.main(
        __doc__, recipe, opened=opened, vocabulary=words, measure=script.bleu,
        store=functools.partial(script.seeing, bert_nmt.build(CONFIG), body=READER),
    )  # fmt: skip
