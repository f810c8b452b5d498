"""BERT's own training: words for gaps in plain text, and whether one stretch of it follows another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo import assets, registry
from kerazoo.codecs._gaps import Lines
from kerazoo.codecs._wordpiece import WordPiece
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.metrics.fill import LENGTH
from kerazoo.tasks.fill import Fill
from kerazoo.train.jobs import Job, Request
from kerazoo.train.jobs.write import held_out
from kerazoo.train.losses import cross_entropy, over_known, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised


def job(asked: Request) -> Job:
    """A BERT with its own vocabulary, on the source; the end of the text is held out.

    Raises:
        UsageError: The source is no plain text, or the model has no heads to learn with.
        WeightsUnavailable: Its vocabulary is not in the cache and cannot be fetched.
    """
    start, settings = asked.start, asked.settings
    if start.config is None or not getattr(start.config, "pretraining", False):
        raise UsageError(f"{start.word} has no head that fills gaps; the variants of bert have.")
    asked.augmented()
    text, spared = held_out(asked)
    config = start.config
    if start.built is not None:
        tasks = dict(start.built.tasks)
    else:
        # Places that no text reaches have no meaning.
        config = replace(config, length=min(settings.length or LENGTH, config.positions))
        published: Any = registry.find(str(start.variant)).entry
        tasks = start.family.tasks(config, assets.of(published))
    fill: Any = tasks[Fill.kind]
    codec: WordPiece = fill.input
    length = min(settings.length or LENGTH, codec.length)
    learnt = Lines.of(codec, text, length)
    held = Lines.of(codec, spared, length) if spared else None
    network = Network(start, config, None, asked.freeze)
    optimizer, schedule = settings.made()
    recipe = Recipe(
        name=asked.name,
        model=AtPlaces(network),
        data=learnt,
        step=Supervised(loss, inputs=2, metrics={"masked": masked, "accuracy": accuracy, "following": following}),
        optimizer=optimizer,
        schedule=schedule,
        measure=Held(held) if held is not None else None,
        best=("val_masked", "min") if held is not None and not settings.average else None,
        average=settings.average,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    notes = {"pieces": sum(map(len, learnt.lines)), "rows": len(learnt), "held out": len(held) if held else 0}

    def plain(model: Any) -> Any:
        """The network as it answers, whatever is asked of it."""
        known = {variable.path: variable for variable in model.weights}
        whole = network.start.family.build(config)
        for variable in whole.weights:
            variable.assign(known[variable.path])
        return whole

    return Job(recipe, tasks, None, notes, finish=plain)


@dataclass(frozen=True)
class AtPlaces:
    """Makes the network that says what stands at some places, and not at all: there are 30,000 logits for each."""

    network: Network

    def __call__(self) -> Any:
        model = self.network()
        places = keras.Input((None,), dtype="int32", name="places")
        found = keras.ops.take_along_axis(model.output["sequence"], places[:, :, None], axis=1)
        words = self.network.start.family.words(model, found)
        return keras.Model([model.input, places], {"words": words, "following": model.output["following"]})


def masked(pieces: Any, output: Mapping[str, Any], counted: Any, elsewhere: Any) -> Any:
    """Nats a gap."""
    return over_known(cross_entropy)(pieces, output["words"], counted)


def accuracy(pieces: Any, output: Mapping[str, Any], counted: Any, elsewhere: Any) -> Any:
    """The share of the gaps whose likeliest piece is the one that stood there."""
    return over_known(right)(pieces, output["words"], counted)


def following(pieces: Any, output: Mapping[str, Any], counted: Any, elsewhere: Any) -> Any:
    """The share of the pairs of which it is right that one follows the other, or not."""
    return keras.ops.mean(right(elsewhere, output["following"]))


def loss(pieces: Any, output: Mapping[str, Any], counted: Any, elsewhere: Any) -> Any:
    """Nats a gap and nats a pair."""
    pair = keras.ops.mean(cross_entropy(elsewhere, output["following"]))
    return masked(pieces, output, counted, elsewhere) + pair


@dataclass(frozen=True)
class Held:
    """Figures of text that is not learnt from, with gaps that are the same each time."""

    lines: Lines = field(repr=False)

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        model, totals = state.model, np.zeros(4)

        def traced() -> Any:
            def figures(tokens: Any, places: Any, *known: Any) -> Any:
                output = model([tokens, places], training=False)
                return [each(known[0], output, *known[1:]) for each in (masked, accuracy, following)]

            return tf.function(figures, reduce_retracing=True)

        answer = state.once("held", traced)
        pairs = 0
        for start in range(0, len(self.lines), 32):
            numbers = np.arange(start, min(start + 32, len(self.lines)))
            batch = self.lines.batch(numbers, np.random.default_rng((0, start)))
            surprise, hits, pair = (float(each) for each in answer(*batch))
            count = float(batch.counted.sum())
            totals += [surprise * count, hits * count, count, pair * len(numbers)]
            pairs += len(numbers)
        surprise, hits = totals[:2] / totals[2]
        figures = {"masked": surprise, "perplexity": float(np.exp(min(surprise, 50.0))), "accuracy": hits}
        return {**figures, "following": totals[3] / pairs}
