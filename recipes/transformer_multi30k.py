"""Trains `transformer_small:multi30k-de-en`: German sentences about pictures, written in English by attention alone.

    python recipes/transformer_multi30k.py multi30k_train_val.tar out/
    kerazoo evaluate transformer_small:multi30k-de-en multi30k_train_val.tar --languages de-en

The archive holds train.de.gz, train.en.gz, val.de.gz and val.en.gz: 29,000 pairs, learnt from, and 1,014, measured on.
Both languages share 3,000 subwords; German is read in small letters, English is written with capitals. About
an hour and a half on one core.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from kerazoo.applications import transformer
from kerazoo.assets import Assets
from kerazoo.codecs.text import Vocabulary
from kerazoo.train import script
from kerazoo.train.data import subwords
from kerazoo.train.jobs import translate
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import InverseRoot, Optimizer

CONFIG = transformer.VARIANTS["transformer_small"].config


def opened(path: Path) -> dict[str, Any]:
    """The pairs of `train` and `val`, and the vocabulary, `words`."""
    found = script.pairs(path)
    return {**found, "words": subwords.of_pairs(found["train"], CONFIG.words)}


def words(data: dict[str, Any]) -> dict[str, Vocabulary]:
    return {"vocabulary": data["words"]}


def recipe(data: dict[str, Any]) -> Recipe:
    task = transformer.tasks(CONFIG, Assets(vocabulary=data["words"]))["translate"]
    learnt, held = (translate.read(data[part], task, buckets=8)[0] for part in ("train", "val"))
    return Recipe(
        name="transformer_small:multi30k-de-en",
        model=functools.partial(transformer.build, CONFIG),
        data=learnt,
        step=translate.step(transformer, CONFIG, smoothing=0.1),
        optimizer=Optimizer("adam", settings={"beta_2": 0.98, "epsilon": 1e-9}),
        schedule=InverseRoot(1.5e-3, warm_up=2),
        measure=translate.Held(held),
        average=4,
        seed=1706,
        batch=128,
        epochs=14,
    )


if __name__ == "__main__":
    script.main(__doc__, recipe, opened=opened, vocabulary=words, measure=script.bleu)
