"""What the files in `recipes/` share: the command, the run, and what is written at the end."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import registry
from kerazoo.assets import Assets, labels
from kerazoo.codecs.image import Image, Normalise
from kerazoo.codecs.text import Vocabulary
from kerazoo.codecs.text import vocabulary as vocabulary_of
from kerazoo.lazy import keras
from kerazoo.loading import load
from kerazoo.metrics.translate import bleu_chrf
from kerazoo.ops import numpy as ops
from kerazoo.sources import texts
from kerazoo.train import product
from kerazoo.train.data import parallel
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run


def fitted(image: Image, pictures: np.ndarray) -> np.ndarray:
    """Pictures uint8 [n, h, w] or [n, h, w, channels] as `kerazoo predict` fits them: uint8 [n, height, width, c]."""
    pictures = pictures if pictures.ndim == 4 else pictures[..., None]
    return np.stack([np.rint(image.fit(ops, each)[0]).astype(np.uint8) for each in pictures])


def top1(word: str, data: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Percent of `x_test` whose most probable class is that of `y_test`."""
    guesses: Any = load(word, "keras").stream(list(data["x_test"]), batch=200)
    right = [guess.result.indices[0] == int(label) for guess, label in zip(guesses, data["y_test"], strict=True)]
    return {"top-1": 100 * float(np.mean(right))}


def pairs(path: Path, languages: tuple[str, str] = ("de", "en")) -> dict[str, list[tuple[str, str]]]:
    """Sentences and their translations, `train` and `val`, of an archive that holds Multi30k's files."""
    return {
        part: [(each.item, each.truth) for each in texts.parallel([path], f"*/{part}.*", languages)]
        for part in ("train", "val")
    }


def in_words(path: Path, config: Any) -> dict[str, Any]:
    """These pairs, and the vocabularies of whole words that the training ones have, `source` and `target`.

    Args:
        config: Has `length`, `source_words` and `target_words`.
    """
    found: dict[str, Any] = pairs(path)
    kept, _ = parallel.words(found["train"], config.length)
    for side, name in enumerate(("source", "target")):
        found[name] = vocabulary_of((pair[side] for pair in kept), getattr(config, f"{name}_words"))
    return found


def sides(data: Mapping[str, Any]) -> dict[str, Vocabulary]:
    """The two vocabularies of `in_words`."""
    return {side: data[side] for side in ("source", "target")}


def bleu(word: str, data: Mapping[str, Any], lower: bool = False) -> dict[str, float]:
    """BLEU and chrF of `val`, as `kerazoo evaluate` has them; with `lower` capitals do not count."""
    sources, references = zip(*data["val"], strict=True)
    stream: Any = load(word, "keras").stream(list(sources), batch=64)
    guesses = [row.result.text for row in stream]
    figures, _ = bleu_chrf(guesses, [[line] for line in references], lower=lower)
    return figures


BODY = "mobilenet_v1_025:imagenet"
"""What sees pictures for `seen`."""


def seen(pictures: Iterable[bytes], layer: str, normalise: Normalise, batch: int = 50) -> Iterator[np.ndarray]:
    """Encoded pictures as a layer of `BODY` has them, batch by batch: float16 [batch, height, width, channels]."""
    whole = registry.build(BODY).keras
    body, image = keras.Model(whole.input, whole.get_layer(layer).output), Image(*whole.input.shape[1:3])
    rest = iter(pictures)
    while some := list(itertools.islice(rest, batch)):
        pixels = normalise(image.prepare(ops, np.array(some, object)))
        yield np.asarray(body(pixels, training=False), np.float16)


def seeing(whole: Any, taught: Any, path: Path, body: str = BODY) -> Path:
    """Stores the weights of a network that was taught behind a body: what it learnt, and those of the body."""
    known = {variable.path: variable for model in (registry.build(body).keras, taught) for variable in model.weights}
    for variable in whole.weights:
        variable.assign(known[variable.path])
    return product.half(whole, path)


def main(
    doc: str,
    recipe: Callable[[Any], Recipe],
    *,
    opened: Callable[[Path], Any] = lambda path: np.load(path, allow_pickle=False),
    labels_of: str | None = None,
    vocabulary: Callable[[Any], Mapping[str, Vocabulary]] | None = None,
    normalise: Normalise | None = None,
    measure: Callable[[str, Any], Mapping[str, float]] | None = top1,
    arguments: list[str] | None = None,
    store: Callable[[Any, Path], Path] = product.half,
) -> None:
    """Runs a recipe from its command line, `DATA OUT`, or measures what it made, `DATA OUT --measure`.

    OUT is a folder: the states, `log.csv` and `curves.png` of `kerazoo.train.run`, `model.keras` with its card, and
    the weights, in half precision by default, `<variant>_<weights>.npz`, with their vocabularies beside them. The same
    command goes on from the state that is there.

    Args:
        doc: The recipe's docstring, for its help.
        recipe: From the opened data to the recipe, whose name is `variant:weights`.
        opened: Opens the data's path.
        labels_of: Name of the class names in `kerazoo/labels`.
        vocabulary: From the opened data to the vocabularies, `source` and `target`, or the one, `vocabulary`.
        normalise: What makes pixels 0..255 the network's input.
        measure: Figures of a model, by its name `variant:path`, on the opened data; printed, and kept in the card.
        arguments: Of the command line; those of the process by default.
        store: Writes the weights: a function of `kerazoo.train.product`.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("data", type=Path, help="what the recipe learns from; see its docstring")
    parser.add_argument("out", type=Path, help="a folder for the states, the log and the weights; or, with --measure, "
                        "a file of weights to measure")  # fmt: skip
    parser.add_argument("--measure", action="store_true", help="only measure the weights that OUT holds")
    parser.add_argument("--epochs", type=int, help="fewer passes than the recipe's")
    given = parser.parse_args(arguments)
    data = opened(given.data)
    made = recipe(data)
    variant, _, word = made.name.partition(":")
    file = given.out / f"{variant}_{word}.npz" if given.out.is_dir() or not given.measure else given.out
    words = vocabulary(data) if vocabulary is not None else None
    if not given.measure:
        outcome = run(replace(made, epochs=given.epochs) if given.epochs else made, given.out, say=_say)
        store(outcome.state.model, file)
        for side, each in (words or {}).items():
            file.with_name(f"{file.stem}.{side}.txt").write_bytes(each.dumps())
    # Of the numbers as they are stored, through the very path that users take.
    figures = dict(measure(f"{variant}:{file}", data)) if measure else {}
    for name, value in figures.items():
        print(f"{name} {value:.4f}")
    if not given.measure:
        family, described = registry.variants()[variant]
        assets = Assets(
            labels(labels_of) if labels_of else None, vocabulary=words.get("vocabulary", words) if words else None
        )
        tasks = family.tasks(described.config, assets)
        built = registry.build(f"{variant}:{file}")
        product.save(built.keras, given.out / "model.keras", tasks, normalise, made, figures)


def _say(line: str) -> None:
    print(line, flush=True)
