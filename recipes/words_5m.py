"""Trains `skip_gram:prose`: 50 numbers of each of 20,000 words, from the words that stand around it.

    python recipes/words_5m.py words_5m.txt out/
    kerazoo evaluate out/model.keras wordsim353.tsv

The file has a paragraph a line, and an empty line between its six parts: the CIA World Factbook (CC0), Wikipedia
articles (CC BY-SA), film reviews (nltk's movie_reviews, CC BY 4.0), and three books of the public domain, Gibbon's
Decline and Fall of the Roman Empire, Tolstoy's War and Peace and Darwin's Origin of Species. Wikipedia's articles are
left out, as what is made of them may have to be shared alike; 4.4 million words stay. Signs are no words, and small
letters are capitals, too. Words that occur five times are learnt, the most frequent 20,000 kept.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.applications import word2vec
from kerazoo.codecs.text import Vocabulary, tokens
from kerazoo.sources import texts
from kerazoo.train import product, script
from kerazoo.train.data.sentences import Sentences
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Line, Optimizer
from kerazoo.train.steps.windows import Windows
from kerazoo.train.words import Way, counted

CONFIG = word2vec.VARIANTS["skip_gram"].config
WAY = Way(units=CONFIG.units, sample=1e-4)
SHARED_ALIKE = 1
"""The part that is left out."""


def opened(path: Path) -> dict[str, Any]:
    """The sentences as numbers, their words, the most frequent first, and how often each occurs."""
    parts = texts.plain(path).split("\n\n")
    lines = "\n".join(part for place, part in enumerate(parts) if place != SHARED_ALIKE).split("\n")
    sentences = [[word for word in tokens(line) if word[0].isalnum()] for line in lines]
    known, counts = counted(sentences)
    number = {word: place for place, word in enumerate(known)}
    kept = ([number[word] for word in sentence if word in number] for sentence in sentences)
    return {
        "sentences": Sentences.of([np.array(each, np.int32) for each in kept if len(each) > 1]),
        "words": known,
        "counts": counts,
    }


def recipe(data: dict[str, Any]) -> Recipe:
    return Recipe(
        name="skip_gram:prose",
        model=functools.partial(word2vec.build, replace(CONFIG, words=len(data["words"]))),
        data=data["sentences"],
        step=Windows(data["counts"], WAY),
        optimizer=Optimizer("sgd"),
        schedule=Line(WAY.first, 1e-4),
        seed=2013,
        batch=512,
        epochs=WAY.epochs,
    )


def vocabulary(data: dict[str, Any]) -> dict[str, Vocabulary]:
    return {"vocabulary": Vocabulary(data["words"][: CONFIG.words])}


def frequent(model: Any, path: Path) -> Path:
    """Writes the vectors of the most frequent words alone."""
    kept = word2vec.build(CONFIG)
    kept.set_weights([model.get_weights()[0][: CONFIG.words]])
    return product.half(kept, path)


if __name__ == "__main__":
    script.main(__doc__, recipe, opened=opened, vocabulary=vocabulary, measure=None, store=frequent)
