"""Trains `attention_bahdanau_small:multi30k-de-en`: German sentences about pictures, translated by additive attention.

    python recipes/attention_bahdanau_multi30k.py multi30k_train_val.tar out/
    python recipes/attention_bahdanau_multi30k.py multi30k_train_val.tar out/ --measure

The archive holds train.de.gz, train.en.gz, val.de.gz and val.en.gz: 29,000 pairs, learnt from, and 1,014, measured on.
Words are lower-case; what is none of the 4,500 most frequent German or the 4,000 most frequent English ones is
`<unk>`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from kerazoo.applications import bahdanau
from kerazoo.assets import Assets
from kerazoo.train import script
from kerazoo.train.jobs import translate
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer

CONFIG = bahdanau.SMALL


def opened(path: Path) -> dict[str, Any]:
    """The pairs of `train` and `val`, and the vocabularies, `source` and `target`."""
    return script.in_words(path, CONFIG)


def recipe(data: dict[str, Any]) -> Recipe:
    task = bahdanau.tasks(CONFIG, Assets(vocabulary=script.sides(data)))["translate"]
    learnt, held = (translate.read(data[part], task, buckets=8)[0] for part in ("train", "val"))
    return Recipe(
        name="attention_bahdanau_small:multi30k-de-en",
        model=functools.partial(bahdanau.build, CONFIG),
        data=learnt,
        step=translate.step(bahdanau, CONFIG, smoothing=0.1),
        optimizer=Optimizer("adam", settings={"global_clipnorm": 1.0}),
        schedule=Cosine(2e-3),
        measure=translate.Held(held),
        best=("val_loss", "min"),
        seed=1409,
        batch=64,
        epochs=8,
    )


if __name__ == "__main__":
    measure = functools.partial(script.bleu, lower=True)
    script.main(__doc__, recipe, opened=opened, vocabulary=script.sides, measure=measure)
