"""Trains `char_seq2seq` as Keras' example does: short English sentences, written in French character by character.

    python recipes/char_seq2seq_fra_eng.py fra-eng_2017-09-29.zip out/
    kerazoo evaluate char_seq2seq:out/char_seq2seq_fra-eng.npz held.tsv

The archive is manythings.org/anki's of 2017-09-29, whose `fra.txt` has an English sentence, a tab and a French one in
each line; `sed -n 8001,10000p fra.txt > held.tsv` writes what is measured on. Read as Keras' example has it: the first
10,000 lines, of which the last fifth is held out. The file is sorted by length, so that what is held out is longer than
what is learnt from, and lines have the same English sentence often: of the 10,000 there are 5,900 different ones.
"""

from __future__ import annotations

import functools
import zipfile
from pathlib import Path
from typing import Any

from kerazoo.applications import char_seq2seq
from kerazoo.assets import Assets
from kerazoo.codecs.text import Vocabulary
from kerazoo.train import script
from kerazoo.train.jobs import spell
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Constant, Optimizer

LINES, LEARNT = 10_000, 8_000


def opened(path: Path) -> dict[str, Any]:
    """The pairs, `train` and `val`, and the characters of all, `words`."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("fra.txt").decode().split("\n")[:LINES]
    pairs = [(english, french) for english, french in (line.split("\t") for line in lines)]
    return {"train": pairs[:LEARNT], "val": pairs[LEARNT:], "words": spell.alphabets(pairs), "pairs": pairs}


def words(data: dict[str, Any]) -> dict[str, Vocabulary]:
    return data["words"]


def recipe(data: dict[str, Any]) -> Recipe:
    config = spell.sized(char_seq2seq.Config(), data["pairs"])
    task: Any = char_seq2seq.tasks(config, Assets(vocabulary=data["words"]))["translate"]
    learnt, held = (spell.read(data[part], task, strict=True)[0] for part in ("train", "val"))
    return Recipe(
        name="char_seq2seq:fra-eng",
        model=functools.partial(char_seq2seq.build, config),
        data=learnt,
        step=spell.step(),
        optimizer=Optimizer("rmsprop"),
        schedule=Constant(1e-3),
        measure=spell.Held(held, task.written().end),
        best=("val_loss", "min"),
        seed=2017,
        batch=64,
        epochs=100,
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, opened=opened, vocabulary=words, measure=script.bleu)
