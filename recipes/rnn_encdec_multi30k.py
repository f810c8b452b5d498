"""Trains `rnn_encdec_small:multi30k-de-en`: German sentences about pictures read into one vector, written in English.

    python recipes/rnn_encdec_multi30k.py multi30k_train_val.tar out/
    kerazoo evaluate rnn_encdec_small:multi30k-de-en multi30k_train_val.tar --languages de-en

The archive holds train.de.gz, train.en.gz, val.de.gz and val.en.gz: 29,000 pairs, learnt from, and 1,014, measured on.
Words are lower-case; what is none of the 4,000 most frequent is `<unk>`. A quarter of an hour on one core.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from kerazoo.applications import rnn_encdec
from kerazoo.assets import Assets
from kerazoo.train import product, script
from kerazoo.train.jobs import translate
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer

CONFIG = rnn_encdec.SMALL


def opened(path: Path) -> dict[str, Any]:
    """The pairs of `train` and `val`, and the vocabularies, `source` and `target`."""
    return script.in_words(path, CONFIG)


def recipe(data: dict[str, Any]) -> Recipe:
    task = rnn_encdec.tasks(CONFIG, Assets(vocabulary=script.sides(data)))["translate"]
    learnt, held = (translate.read(data[part], task)[0] for part in ("train", "val"))
    return Recipe(
        name="rnn_encdec_small:multi30k-de-en",
        model=functools.partial(rnn_encdec.build, CONFIG),
        data=learnt,
        step=translate.step(rnn_encdec, CONFIG),
        optimizer=Optimizer("adam", settings={"global_clipnorm": 1.0}),
        schedule=Cosine(2e-3),
        measure=translate.Held(held),
        best=("val_loss", "min"),
        seed=1406,
        batch=64,
        epochs=7,
    )


if __name__ == "__main__":
    measure = functools.partial(script.bleu, lower=True)
    store = product.eight_bits
    script.main(__doc__, recipe, opened=opened, vocabulary=script.sides, measure=measure, store=store)
