"""Trains `captioner_small:scenes`: drawn scenes of one or two shapes, told in a sentence.

    python recipes/captioner_scenes.py scenes/ out/
    python recipes/captioner_scenes.py scenes/ out/captioner_small_scenes.npz --measure

The first draws 6,000 scenes into the folder, each a PNG, with their sentences in `scenes.tsv`, where they do not lie
there yet; the last 500 are held out. What sees them is the network of `mobilenet_v1_025:imagenet`, which learns nothing
further: its features are computed once, and kept beside the pictures. Minutes on one core.

A scene is a large or a small shape in one of four corners ("a large red circle at the top left"), or two shapes that
differ, beside or above each other ("a red circle left of a blue square"): 120 and 420 sentences, places and sizes drawn
anew for each.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from kerazoo.applications import captioner
from kerazoo.codecs.text import END, PAD, START, Vocabulary, tokens, vocabulary
from kerazoo.lazy import keras
from kerazoo.loading import load
from kerazoo.train import script
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.translate import worded
from kerazoo.train.losses import cross_entropy, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

CONFIG = captioner.SMALL
NORMALISE = captioner.NORMALISE
SCENES, HELD, SEED = 6_000, 500, 2015
FEATURES = "conv_pw_13_relu"
"""The layer of MobileNet whose grid is told of."""

COLOURS = {
    "red": (215, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 215), "yellow": (235, 205, 50),
    "purple": (150, 60, 180),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle")
THINGS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def scene(rng: np.random.Generator, side: int = 224) -> tuple[Image.Image, str]:
    """A picture and its sentence."""
    picture, sentence, _ = located(rng, side)
    return picture, sentence


def located(rng: np.random.Generator, side: int = 224) -> tuple[Image.Image, str, list[Box]]:
    """A picture, its sentence, and where each thing is that the sentence names, in that order."""
    ground = tuple(int(level) for level in rng.integers(225, 256, 3))
    picture = Image.new("RGB", (side, side), ground)
    draw, far = ImageDraw.Draw(picture), side / 4
    if rng.random() < 0.5:
        colour, shape = THINGS[rng.integers(len(THINGS))]
        low, right_ = rng.integers(2, size=2)
        large = bool(rng.integers(2))
        radius = side * (rng.uniform(0.17, 0.2) if large else rng.uniform(0.07, 0.1))
        at = [far + 2 * far * half + rng.uniform(-0.03, 0.03) * side for half in (right_, low)]
        boxes = [_put(draw, shape, colour, at, radius)]
        size, place = ("small", "large")[large], f"{('top', 'bottom')[low]} {('left', 'right')[right_]}"
        return picture, f"a {size} {colour} {shape} at the {place}", boxes
    first, second = (THINGS[number] for number in rng.choice(len(THINGS), 2, replace=False))
    beside, boxes = bool(rng.integers(2)), []
    for place, (colour, shape) in enumerate((first, second)):
        along, across = side * (0.25 + 0.5 * place + rng.uniform(-0.06, 0.06)), side * rng.uniform(0.38, 0.62)
        at = [along, across] if beside else [across, along]
        boxes.append(_put(draw, shape, colour, at, side * rng.uniform(0.1, 0.16)))
    return picture, f"a {' '.join(first)} {'left of' if beside else 'above'} a {' '.join(second)}", boxes


def _put(draw: ImageDraw.ImageDraw, shape: str, colour: str, at: list[float], radius: float) -> Box:
    (x, y), fill = at, COLOURS[colour]
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        draw.ellipse(box, fill)
    elif shape == "square":
        draw.rectangle(box, fill)
    else:
        draw.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill)
    return box


def drawn(folder: Path, count: int = SCENES) -> list[tuple[Path, str]]:
    """The scenes of a folder, which are drawn into it first where they are not there."""
    table = folder / "scenes.tsv"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number in range(count):
            picture, sentence = scene(np.random.default_rng((SEED, number)))
            picture.save(folder / f"{number:04d}.png")
            rows.append(f"{number:04d}.png\t{sentence}\n")
        table.write_text("".join(rows), encoding="utf-8")
    lines = table.read_text(encoding="utf-8").splitlines()
    return [(folder / name, sentence) for name, _, sentence in (line.partition("\t") for line in lines)]


def opened(folder: Path) -> dict[str, Any]:
    """`scenes`, of which the last are held out, their `features`, and `words`."""
    scenes = drawn(folder)
    kept = folder / "features.npy"
    if not kept.exists():
        pictures = (path.read_bytes() for path, _ in scenes)
        np.save(kept, np.concatenate(list(script.seen(pictures, FEATURES, NORMALISE))))
    words = vocabulary([tokens(sentence) for _, sentence in scenes], CONFIG.words)
    return {"scenes": scenes, "features": np.load(kept, mmap_mode="r"), "words": words}


def numbers(sentences: list[str], words: Vocabulary, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What stands before each word, and the words with their end, int32 [n, length]."""
    index = {word: number for number, word in enumerate(words)}
    said = np.full((len(sentences), length), PAD, np.int32)
    for row, sentence in enumerate(sentences):
        found = [*(index.get(token, index["<unk>"]) for token in tokens(sentence)), END][:length]
        said[row, : len(found)] = found
    return np.concatenate([np.full((len(said), 1), START, np.int32), said[:, :-1]], 1), said


def tail(config: captioner.Config) -> Any:
    """The captioner behind MobileNet: features and the words before each step to logits."""
    whole = captioner.build(config)
    encoder, decoder = whole.get_layer("encoder"), whole.get_layer("decoder")
    between = encoder.get_layer(FEATURES).output
    features = keras.Input(between.shape[1:], name="features")
    before = keras.Input((None,), dtype="int32", name="before")
    logits, _, _ = decoder([before, *keras.Model(between, encoder.outputs)(features)])
    return keras.Model([features, before], logits, name=config.name)


class Held:
    """Loss and accuracy of the held-out scenes' words, each told those before it."""

    def __init__(self, arrays: tuple[np.ndarray, ...]) -> None:
        self.arrays = arrays

    def __call__(self, state: State) -> dict[str, float]:
        *inputs, said = self.arrays
        logits = state.model.predict(inputs, verbose=0)
        return {
            "loss": float(worded(cross_entropy)(said, logits)),
            "accuracy": float(worded(right)(said, logits)),
        }


def recipe(data: dict[str, Any]) -> Recipe:
    before, said = numbers([sentence for _, sentence in data["scenes"]], data["words"], CONFIG.length)
    arrays = (data["features"], before, said)
    return Recipe(
        name="captioner_small:scenes",
        model=functools.partial(tail, CONFIG),
        data=Arrays(tuple(array[:-HELD] for array in arrays)),
        step=Supervised(worded(cross_entropy), inputs=2, metrics={"accuracy": worded(right)}),
        optimizer=Optimizer("adam", settings={"global_clipnorm": 1.0}),
        schedule=Cosine(2e-3),
        measure=Held(tuple(np.asarray(array[-HELD:]) for array in arrays)),
        every=5,
        seed=SEED,
        batch=64,
        epochs=30,
    )


def measure(word: str, data: dict[str, Any]) -> dict[str, float]:
    """Percent of the held-out scenes whose sentence is right, word for word."""
    held = data["scenes"][-HELD:]
    stream: Any = load(word, "keras").stream([str(path) for path, _ in held], batch=50)
    same = [row.result.text == sentence for row, (_, sentence) in zip(stream, held, strict=True)]
    return {"captions right": 100 * float(np.mean(same))}


if __name__ == "__main__":
    script.main(
        __doc__, recipe, opened=opened, vocabulary=lambda data: {"vocabulary": data["words"]}, normalise=NORMALISE,
        measure=measure, store=functools.partial(script.seeing, captioner.build(CONFIG)),
    )  # fmt: skip
