"""Translation, learnt from sentences and their translations: each word from the sentence and the words before it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.codecs.text import PAD, vocabulary
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.translate import Translate
from kerazoo.train.data import parallel
from kerazoo.train.data.parallel import Parallel
from kerazoo.train.jobs import Job, Request, share
from kerazoo.train.losses import cross_entropy, over_known, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.unrolled import Unrolled

FIELDS = ("source_words", "target_words", "length")
"""Of a config whose network can be taught here."""


def job(asked: Request) -> Job:
    """A translator with the vocabulary that it has, or with one of the most frequent words of the source.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start, settings = asked.start, asked.settings
    if start.config is None or not all(hasattr(start.config, name) for name in FIELDS):
        raise UsageError(f"{start.word} is no network unrolled over two sentences, which is taught here.")
    asked.augmented()
    config = replace(start.config, length=settings.length or start.config.length)
    reading: dict[str, Any] = {"strict": asked.strict, "say": asked.say}
    found, skipped = parallel.words(parallel.read(asked.sources), config.length, **reading)
    parts = asked.parts
    if isinstance(parts, tuple):
        held, more = parallel.words(parallel.read(parts, "held out"), config.length, **reading)
        skipped += more
    else:
        kept, rows = share(len(found), parts, asked.seed)
        held, found = [found[row] for row in rows], [found[row] for row in kept]
    if isinstance(start.task, Translate):
        both = start.task.source.words, start.task.target
    else:
        sizes = settings.words or config.source_words, settings.words or config.target_words
        sides = [vocabulary((pair[side] for pair in found), sizes[side]) for side in (0, 1)]
        both = sides[0], sides[1]
        config = replace(config, source_words=len(both[0]), target_words=len(both[1]))
    optimizer, schedule = settings.made()
    lengths = functools.partial(_of_length, start.family, config)
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=parallel.numbered(found, *both, config.length),
        step=Unrolled(worded(cross_entropy), lengths, metrics={"accuracy": worded(right)}),
        optimizer=optimizer,
        schedule=schedule,
        measure=Held(parallel.numbered(held, *both, config.length)) if held else None,
        best=("val_loss", "min") if held else None,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    made = start.family.tasks(config, Assets(vocabulary={"source": both[0], "target": both[1]}))
    notes = {"pairs": len(found), "held out": len(held), "left out": skipped, "words": [len(side) for side in both]}
    return Job(recipe, made, None, notes)


def _of_length(family: Any, config: Any, length: int) -> Any:
    return family.build(replace(config, length=length))


def worded(figure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The mean of a figure of each word over those that are none of the padding."""

    def mean(words: Any, logits: Any) -> Any:
        return over_known(figure)(words, logits, keras.ops.cast(keras.ops.not_equal(words, PAD), "float32"))

    return mean


@dataclass(frozen=True)
class Held:
    """Loss, perplexity and accuracy of the words of pairs that are not learnt from, each told those before it."""

    pairs: Parallel = field(repr=False)

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        model, totals = state.model, np.zeros(3)

        def traced() -> Any:
            return tf.function(lambda *batch: model(list(batch), training=False), reduce_retracing=True)

        answer = state.once("held", traced)
        for start in range(0, len(self.pairs), 64):
            rows = slice(start, start + 64)
            source, target = self.pairs.source[rows], self.pairs.target[rows]
            before = np.concatenate([np.full((len(source), 1), parallel.START, np.int32), target[:, :-1]], axis=1)
            logits, count = answer(tf.constant(source), tf.constant(before)), float(np.sum(target != PAD))
            totals += [float(worded(each)(target, logits)) * count for each in (cross_entropy, right)] + [count]
        loss, accuracy = totals[:2] / totals[2]
        return {"loss": loss, "perplexity": float(np.exp(min(loss, 50.0))), "accuracy": accuracy}
