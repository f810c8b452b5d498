"""Trains `captioner` or `visual_semantic` on photographs of Flickr8k, as far as a part of it goes.

    python recipes/flickr8k.py captioner flickr8k.tar out/
    python recipes/flickr8k.py visual_semantic flickr8k.tar out/
    python recipes/flickr8k.py captioner flickr8k.tar out/ --measure
    kerazoo predict photo.jpg -m captioner:out/captioner_flickr8k.npz
    kerazoo rank photos/ -m visual_semantic:out/visual_semantic_flickr8k.npz --sentence 'a dog runs on the beach'

The archive holds `train/*.jpg` and `dev/*.jpg`; `train.tsv` and `dev.tsv`: file, tab, sentence, five a picture; and
`captions_without_pictures.txt.xz`: further sentences, one a line. What is measured is of `dev`, by which nothing is
chosen; the last 50 pictures of `train` choose the epoch. Flickr8k is for research that earns nothing, its pictures
belong to those who took them, and so what was learnt from them does not ship with Kerazoo.

What sees pictures, and their mirror images, is the network of `mobilenet_v1_025:imagenet`, which learns nothing
further; its features are computed once. The captioner reads the further sentences, too, as though of pictures in which
there is nothing.

Measured are of captions BLEU-1 to 4, by sacrebleu, against all five sentences, in small letters and without
punctuation; of alignments the share of pictures of whose five sentences one is among the 10 of all 500 that score most
(by chance 9.6 %), and the share of sentences whose picture is among the first 10 of 100 (by chance 10 %).
"""

from __future__ import annotations

import functools
import hashlib
import io
import lzma
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import captioner_scenes
import numpy as np
import visual_semantic_scenes
from captioner_scenes import numbers
from PIL import Image, ImageOps

from kerazoo import ranking
from kerazoo.applications import captioner, visual_semantic
from kerazoo.codecs.text import START, tokens, vocabulary
from kerazoo.lazy import keras
from kerazoo.loading import load
from kerazoo.packages import needed
from kerazoo.train import script
from kerazoo.train.jobs.translate import worded
from kerazoo.train.losses import Ranking, cross_entropy
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

HELD, SEED, AMONG, WIDTH = 50, 2015, 10, 3
FEATURES = f"conv_pw_{visual_semantic.Config().blocks}_relu"
"""The layer of MobileNet whose grid both networks are told of."""


def opened(path: Path, size: int, further: bool) -> dict[str, Any]:
    """Of `train` and `dev` the pictures' bytes and their sentences; the words, and the further sentences if they count.

    Args:
        size: Words of the vocabulary.
        further: Whether the further sentences are read.
    """
    found: dict[str, Any] = {"further": []}
    with tarfile.open(path) as archive:

        def text(name: str) -> bytes:
            file: Any = archive.extractfile(name)
            return file.read()

        for part in ("train", "dev"):
            told: dict[str, list[str]] = {}
            for line in text(f"{part}.tsv").decode().splitlines():
                name, _, sentence = line.partition("\t")
                told.setdefault(name, []).append(sentence)
            found[part] = [(text(f"{part}/{name}"), sentences) for name, sentences in told.items()]
        if further:
            found["further"] = lzma.decompress(text("captions_without_pictures.txt.xz")).decode().splitlines()
    said = [sentence for _, sentences in found["train"] for sentence in sentences]
    found["words"] = vocabulary((tokens(sentence) for sentence in (*said, *found["further"])), size)
    return found


def mirrored(picture: bytes) -> bytes:
    out = io.BytesIO()
    ImageOps.mirror(Image.open(io.BytesIO(picture)).convert("RGB")).save(out, "PNG", compress_level=1)
    return out.getvalue()


@dataclass(frozen=True)
class Told:
    """Pictures with their sentences; and, where there are any, as many of the further sentences, others each time.

    Attributes:
        pictures: Their bytes.
        said: Sentences, as many a picture, in the pictures' order.
        further: The further ones, of which there may be none.
        following: Whether a batch is for learning each word from those before it.
    """

    pictures: Sequence[bytes] = field(repr=False)
    said: np.ndarray = field(repr=False)
    further: np.ndarray = field(repr=False)
    following: bool

    def __len__(self) -> int:
        return len(self.said) * (2 if len(self.further) else 1)

    @functools.cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(b"".join((*self.pictures, self.said.tobytes(), self.further.tobytes()))).hexdigest()

    @functools.cached_property
    def grids(self) -> np.ndarray:
        """What networks are told of pictures and their mirror images: float16 [n, 2, height, width, channels]."""
        both = (each for picture in self.pictures for each in (picture, mirrored(picture)))
        grids = np.concatenate(list(script.seen(both, FEATURES, captioner.NORMALISE)))
        return grids.reshape(len(self.pictures), 2, *grids.shape[1:])

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        own, place = rows < len(self.said), rows % len(self.said)
        picture = place * len(self.pictures) // len(self.said)
        grids, said = self.grids[picture, rng.integers(2, size=len(rows))], self.said[place]
        if not own.all():
            drawn = self.further[rng.integers(len(self.further), size=len(rows))]
            grids, said = grids * own[:, None, None, None], np.where(own[:, None], said, drawn)
        start = np.full((len(said), 1), START, np.int32)
        return (grids, np.concatenate([start, said[:, :-1]], 1), said) if self.following else (grids, said, picture)


@dataclass(frozen=True)
class Held:
    """The loss of pictures that are not learnt from, in batches of one sentence a picture.

    Attributes:
        data: Of these pictures.
        loss: Of what a batch holds behind the inputs, and the output.
    """

    data: Told
    loss: Callable[[Any, Any], Any]

    def __call__(self, state: State) -> dict[str, float]:
        each = len(self.data.said) // len(self.data.pictures)
        losses = []
        for place in range(each):
            rows = np.arange(len(self.data.pictures)) * each + place
            *inputs, known = self.data.batch(rows, np.random.default_rng(place))
            losses.append(float(keras.ops.mean(self.loss(known, state.model(inputs, training=False)))))
        return {"loss": float(np.mean(losses))}


def learnt(data: dict[str, Any], name: str, length: int, loss: Callable[..., Any], **settings: Any) -> Recipe:
    """Either recipe.

    Args:
        name: Of the variant.
        length: Words of a sentence.
        loss: Of what a batch holds behind the inputs, and the output.
        settings: What differs: the network behind MobileNet, and how it learns.
    """
    pictures, sentences = zip(*data["train"], strict=True)
    _, said = numbers([each for some in sentences for each in some], data["words"], length)
    _, further = numbers(data["further"], data["words"], length)
    held, following = HELD * (len(said) // len(pictures)), name == captioner.Config.name
    return Recipe(
        name=f"{name}:flickr8k",
        data=Told(pictures[:-HELD], said[:-held], further, following),
        step=Supervised(loss, inputs=2),
        optimizer=Optimizer("adam", settings={"global_clipnorm": 1.0}),
        measure=Held(Told(pictures[-HELD:], said[-held:], further[:0], following), loss),
        best=("val_loss", "min"),
        seed=SEED,
        **settings,
    )


def captioning(data: dict[str, Any]) -> Recipe:
    config, loss = captioner.Config(), worded(cross_entropy)
    model = functools.partial(captioner_scenes.tail, config)
    return learnt(data, config.name, config.length, loss, model=model, schedule=Cosine(2e-3), batch=64, epochs=6)


def aligning(data: dict[str, Any]) -> Recipe:
    # Longer sentences lose their ends while they are learnt from; the weights are those of a network of any length.
    config, loss = replace(visual_semantic.Config(), length=24), Ranking()
    model = functools.partial(visual_semantic_scenes.tail, config)
    return learnt(data, config.name, config.length, loss, model=model, schedule=Cosine(5e-4), batch=32, epochs=6)


def captions(word: str, data: dict[str, Any]) -> dict[str, float]:
    """BLEU of the captions of `dev`, by the likeliest word again and again, and by a beam."""
    metric = needed("sacrebleu.metrics").BLEU
    pictures, sentences = zip(*data["dev"], strict=True)
    references = [[plain(each) for each in column] for column in zip(*sentences, strict=True)]
    greedy, found = load(word, "keras"), {}
    for how, predictor in (("", greedy), (f", beam of {WIDTH}", greedy.changed(search="beam", width=WIDTH))):
        said = [plain(row.result.text) for row in predictor.stream(list(pictures), batch=20)]
        for order in range(1, 5):
            scored = metric(max_ngram_order=order, tokenize="none").corpus_score(said, references)
            found[f"BLEU-{order}{how}"] = float(scored.score)
    return found


def plain(sentence: str) -> str:
    """In small letters, without punctuation."""
    return " ".join(token for token in tokens(sentence) if any(map(str.isalnum, token)))


def recall(word: str, data: dict[str, Any]) -> dict[str, float]:
    """Percent of the pictures of `dev` of which a sentence is found, and of its sentences of which the picture is."""
    pictures, sentences = zip(*data["dev"], strict=True)
    owner = np.repeat(np.arange(len(pictures)), [len(each) for each in sentences])
    stream = ranking.scored(load(word, "keras"), pictures, [each for some in sentences for each in some])
    scores = np.stack([each for _, each in stream])
    own = owner == np.arange(len(pictures))[:, None]
    of_pictures = ranks(scores)[own].reshape(len(pictures), -1).min(1)
    of_sentences = ranks(scores.T)[own.T]
    return {
        f"sentences found among {AMONG}": 100 * float(np.mean(of_pictures <= AMONG)),
        f"pictures found among {AMONG}": 100 * float(np.mean(of_sentences <= AMONG)),
        "median rank of a sentence": float(np.median(of_pictures)),
        "median rank of a picture": float(np.median(of_sentences)),
    }


def ranks(scores: np.ndarray) -> np.ndarray:
    """The rank of each within its row, from 1."""
    return np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1


KINDS = {"captioner": (captioner, captioning, captions), "visual_semantic": (visual_semantic, aligning, recall)}


def main(arguments: Sequence[str] | None = None) -> None:
    kind, *left = sys.argv[1:] if arguments is None else arguments
    if kind not in KINDS:
        raise SystemExit(f"{kind!r} is not taught here; {' and '.join(KINDS)} are.")
    family, made, measure = KINDS[kind]
    config = family.Config()
    script.main(
        __doc__,
        made,
        opened=functools.partial(opened, size=config.words, further=family is captioner),
        vocabulary=lambda data: {"vocabulary": data["words"]},
        normalise=family.NORMALISE,
        measure=measure,
        arguments=left,
        store=functools.partial(script.seeing, family.build(config)),
    )


if __name__ == "__main__":
    main()
