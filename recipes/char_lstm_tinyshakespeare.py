"""Trains `char_lstm:tinyshakespeare`: Shakespeare's plays, character by character.

    python recipes/char_lstm_tinyshakespeare.py tinyshakespeare.txt.gz out/
    kerazoo evaluate out/model.keras tinyshakespeare.txt.gz --only 90%-100%

The file is the one of karpathy/char-rnn, 1,115,394 characters: its first nine tenths are learnt from, the last is
measured on. Twelve passes on one core.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.applications import char_rnn
from kerazoo.codecs._characters import Characters, alphabet
from kerazoo.codecs.text import Vocabulary
from kerazoo.loading import load
from kerazoo.metrics.write import TOGETHER, surprise
from kerazoo.sources import texts
from kerazoo.train import script
from kerazoo.train.data.stream import Stream
from kerazoo.train.jobs import SHARE, write
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer

CONFIG = char_rnn.VARIANTS["char_lstm"].config


def opened(path: Path) -> dict[str, Any]:
    """The text that is learnt from, the one that is measured on, and their characters, `words`."""
    text = texts.plain(path)
    learnt, held = write.divided(text, SHARE)
    return {"learnt": learnt, "held": held, "words": alphabet([text])}


def words(data: dict[str, Any]) -> dict[str, Vocabulary]:
    return {"vocabulary": data["words"]}


def recipe(data: dict[str, Any]) -> Recipe:
    codec = Characters(data["words"])
    return Recipe(
        name="char_lstm:tinyshakespeare",
        model=functools.partial(char_rnn.build, CONFIG),
        data=Stream(codec.numbers(data["learnt"]), 64),
        step=write.step(CONFIG.states),
        optimizer=Optimizer("adam", settings={"global_clipnorm": 1.0}),
        schedule=Cosine(3e-3),
        measure=write.Held(write.behind(codec, data["held"]), CONFIG.states),
        best=("val_loss", "min"),
        seed=1997,
        batch=32,
        epochs=12,
    )


def measure(word: str, data: dict[str, Any]) -> dict[str, float]:
    """Nats a character, as `kerazoo evaluate` has them."""
    predictor: Any = load(word, "keras")
    nats, _ = surprise(predictor.task, predictor.network, data["held"], TOGETHER)
    return {"nats a character": float(np.mean(nats))}


if __name__ == "__main__":
    script.main(__doc__, recipe, opened=opened, vocabulary=words, measure=measure)
