"""Trains `visual_semantic_small:scenes`: drawn scenes and their sentences, which word belongs where being never told.

    python recipes/visual_semantic_scenes.py scenes/ out/
    python recipes/visual_semantic_scenes.py scenes/ out/visual_semantic_small_scenes.npz --measure

The scenes are those of `captioner_scenes.py`, which are drawn where they do not lie there yet; the last 500 are held
out. What sees them is the network of `mobilenet_v1_025:imagenet`, which learns nothing further: its features are
computed once, and kept beside the pictures. Minutes on one core.

Measured is of the words that name a thing's colour or shape how many are placed on that thing: whether the word's
region, a square of 16 pixels, shows a part of the thing's box. Then, of 100 scenes, whether of 50 different sentences,
the scene's own among them, that one scores most.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from captioner_scenes import COLOURS, HELD, SEED, SHAPES, drawn, located

from kerazoo import ranking
from kerazoo.applications import visual_semantic
from kerazoo.codecs.text import SPECIAL, UNKNOWN, Text, tokens, vocabulary
from kerazoo.lazy import keras
from kerazoo.loading import load
from kerazoo.ops import numpy as ops
from kerazoo.train import script
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import Ranking
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

CONFIG = visual_semantic.SMALL
NORMALISE = visual_semantic.NORMALISE
FEATURES = f"conv_pw_{CONFIG.blocks}_relu"
"""The layer of MobileNet whose places are regions."""

MOST = 0.9
"""Of a sentence's words, at most this share is left out while it is learnt from."""

CHOICES, ASKED = 50, 100
"""Sentences among which a scene's own is to be found, and of how many scenes."""


def opened(folder: Path) -> dict[str, Any]:
    """`scenes`, of which the last are held out, their `features`, and `words`."""
    scenes = drawn(folder)
    kept = folder / f"features_{CONFIG.blocks}.npy"
    if not kept.exists():
        pictures = (path.read_bytes() for path, _ in scenes)
        np.save(kept, np.concatenate(list(script.seen(pictures, FEATURES, NORMALISE))))
    words = vocabulary([tokens(sentence) for _, sentence in scenes], CONFIG.words)
    return {"scenes": scenes, "features": np.load(kept, mmap_mode="r"), "words": words}


def tail(config: visual_semantic.Config) -> Any:
    """The network behind MobileNet: features and word numbers to scores."""
    whole = visual_semantic.build(config)
    picture, sentence = whole.get_layer("picture"), whole.get_layer("sentence")
    between = picture.get_layer(f"conv_pw_{config.blocks}_relu").output
    features, said = keras.Input(between.shape[1:], name="features"), keras.Input((config.length,), dtype="int32")
    regions = keras.Model(between, picture.output)(features)
    return keras.Model([features, said], visual_semantic.scores(regions, sentence(said)), name=config.name)


def blanked(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    """Leaves out words, of each sentence another share.

    A recurrent network can tell all of a sentence in any of its words; in what is left each has to tell of itself.
    """
    features, said, kinds = batch
    out = rng.random(said.shape) < rng.uniform(0, MOST, (len(said), 1))
    return features, np.where(out & (said >= len(SPECIAL)), UNKNOWN, said), kinds


def recipe(data: dict[str, Any]) -> Recipe:
    sentences = [sentence for _, sentence in data["scenes"]]
    # As many words as the longest has: the weights are those of a network of any length.
    config = replace(CONFIG, length=1 + max(len(tokens(sentence)) for sentence in sentences))
    said = Text(data["words"], config.length).prepare(ops, np.array([each.encode() for each in sentences], object))
    # Scenes that are told alike could be exchanged.
    _, kinds = np.unique(sentences, return_inverse=True)
    return Recipe(
        name="visual_semantic_small:scenes",
        model=functools.partial(tail, config),
        data=Arrays(tuple(array[:-HELD] for array in (data["features"], said, kinds))),
        step=Supervised(Ranking(), inputs=2),
        optimizer=Optimizer("adam", settings={"global_clipnorm": 1.0}),
        schedule=Cosine(2e-3),
        augment=blanked,
        seed=SEED,
        batch=16,
        epochs=10,
    )


def measure(word: str, data: dict[str, Any]) -> dict[str, float]:
    """Percent of the held-out scenes' words that are placed right, and of the scenes whose sentence is found."""
    predictor, held = load(word, "keras"), data["scenes"][-HELD:]
    stream: Any = predictor.stream([{"image_bytes": str(path), "text": sentence} for path, sentence in held], batch=50)
    right = []
    for row, (path, _) in zip(stream, held, strict=True):
        _, _, things = located(np.random.default_rng((SEED, int(path.stem))))
        for names in (COLOURS, SHAPES):
            named = [each for each in row.result.words if each.text in names]
            right += [_meet(each.box, thing) for each, thing in zip(named, things, strict=True)]
    several = sorted({sentence for _, sentence in data["scenes"]})
    rng, found = np.random.default_rng(SEED), []
    scored = ranking.scored(predictor, [str(path) for path, _ in held[:ASKED]], several)
    for (_, scores), (_, sentence) in zip(scored, held, strict=False):
        own = several.index(sentence)
        others = rng.choice(np.delete(np.arange(len(several)), own), CHOICES - 1, replace=False)
        found.append(scores[own] > scores[others].max())
    return {"words placed right": 100 * float(np.mean(right)), "sentences found": 100 * float(np.mean(found))}


def _meet(one: Any, other: Any) -> bool:
    """Whether two boxes share an area."""
    return all(max(one[side], other[side]) < min(one[side + 2], other[side + 2]) for side in (0, 1))


if __name__ == "__main__":
    script.main(
        __doc__, recipe, opened=opened, vocabulary=lambda data: {"vocabulary": data["words"]}, normalise=NORMALISE,
        measure=measure, store=functools.partial(script.seeing, visual_semantic.build(CONFIG)),
    )  # fmt: skip
