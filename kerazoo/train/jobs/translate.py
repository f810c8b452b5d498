"""Translation, learnt from sentences and their translations: each word from the sentence and the words before it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.codecs._subwords import codec
from kerazoo.codecs._wordpiece import WordPiece
from kerazoo.codecs.text import PAD, vocabulary
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.translate import Translate
from kerazoo.train import jobs
from kerazoo.train.data import parallel, subwords
from kerazoo.train.data.parallel import Parallel
from kerazoo.train.jobs import Job, Request, spell
from kerazoo.train.losses import Smoothed, cross_entropy, over_known, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.unrolled import Unrolled


def job(asked: Request) -> Job:
    """A translator with the vocabulary that it has, or with one of the words, subwords or characters of the source.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start, settings = asked.start, asked.settings
    if hasattr(start.config, "source_characters"):
        return spell.job(asked)
    if not hasattr(start.config, "length") or not (
        hasattr(start.config, "words") or hasattr(start.config, "source_words")
    ):
        raise UsageError(f"{start.word} is no network of two sentences with a longest length, which is taught here.")
    asked.augmented()
    config = replace(start.config, length=settings.length or start.config.length)
    pairs, spared = jobs.pairs(asked)
    reading: dict[str, Any] = {"strict": asked.strict, "say": asked.say}
    if isinstance(start.task, Translate):
        words: Any = {"source": start.task.source.words, "target": start.task.target}
        words = words["source"] if _shared(config) else words
    elif hasattr(start.family, "pieces"):
        words = {"source": start.family.pieces(), "target": subwords.of_pairs(pairs, settings.words or config.words)}
    elif _shared(config):
        words = subwords.of_pairs(pairs, settings.words or config.words)
    else:
        found, _ = parallel.words(pairs, config.length, **reading)
        sizes = settings.words or config.source_words, settings.words or config.target_words
        sides = [vocabulary((pair[side] for pair in found), sizes[side]) for side in (0, 1)]
        words = dict(zip(("source", "target"), sides, strict=True))
    config = sized(config, words)
    tasks = start.family.tasks(config, Assets(vocabulary=words))
    learnt, skipped = read(pairs, tasks["translate"], settings.buckets, **reading)
    held, more = read(spared, tasks["translate"], settings.buckets, **reading) if spared else (None, 0)
    optimizer, schedule = settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=learnt,
        step=step(start.family, config, settings.smoothing),
        optimizer=optimizer,
        schedule=schedule,
        measure=Held(held) if held is not None else None,
        best=("val_loss", "min") if held is not None and not settings.average else None,
        average=settings.average,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    sizes_ = [len(each) for each in (words.values() if isinstance(words, Mapping) else [words])]
    notes = {
        "pairs": len(learnt), "held out": len(held) if held is not None else 0, "left out": skipped + more,
        "words": sizes_,
    }  # fmt: skip
    return Job(recipe, tasks, None, notes)


def _shared(config: Any) -> bool:
    """Whether both languages have one vocabulary, of subwords."""
    return hasattr(config, "words") and not hasattr(config, "bert")


def sized(config: Any, words: Any) -> Any:
    """The config of a network for these vocabularies."""
    if hasattr(config, "words"):
        written = words if _shared(config) else words["target"]
        return replace(config, words=len(codec(written, config.length).pieces))
    return replace(config, source_words=len(words["source"]), target_words=len(words["target"]))


def read(
    pairs: Sequence[parallel.Pair], task: Any, buckets: int = parallel.LENGTHS, **reading: Any
) -> tuple[Parallel, int]:
    """Pairs as a task reads and writes them, and how many were left out; see `kerazoo.train.data.parallel.words`."""
    source, target = task.source, task.written(task.source.length)
    found, skipped = parallel.words(pairs, source.length, (source.tokens, target.tokens), **reading)
    pieces = source.words if isinstance(source, WordPiece) else source.pieces
    return parallel.numbered(found, pieces, target.pieces, source.length, buckets, source.end), skipped


def step(family: Any, config: Any, smoothing: float = 0.0) -> Unrolled:
    """Learning each word from the sentence and the words before it.

    Args:
        family: Whose networks do not depend on how long sentences are, but for the length that they are built for.
        config: Of the network.
        smoothing: Of the words, see `kerazoo.train.losses.shares`.
    """
    loss = Smoothed(smoothing) if smoothing else cross_entropy
    lengths = functools.partial(of_length, family, config)
    return Unrolled(worded(loss), lengths, metrics={"accuracy": worded(right)})


def of_length(family: Any, config: Any, length: int) -> Any:
    return family.build(replace(config, length=length))


def worded(figure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The mean of a figure of each word over those that are none of the padding."""

    def mean(words: Any, output: Any) -> Any:
        logits = output["logits"] if isinstance(output, Mapping) else output
        return over_known(figure)(words, logits, keras.ops.cast(keras.ops.not_equal(words, PAD), "float32"))

    return mean


@dataclass(frozen=True)
class Held:
    """Loss, perplexity and accuracy of the words of pairs that are not learnt from, each told those before it.

    Attributes:
        pairs: As numbers.
        seen: What a network that does not read numbers is given of sources, int32 [n, length].
    """

    pairs: Parallel = field(repr=False)
    seen: Callable[[np.ndarray], np.ndarray] = field(default=np.asarray, repr=False)

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
            logits, count = answer(tf.constant(self.seen(source)), tf.constant(before)), float(np.sum(target != PAD))
            totals += [float(worded(each)(target, logits)) * count for each in (cross_entropy, right)] + [count]
        loss, accuracy = totals[:2] / totals[2]
        return {"loss": loss, "perplexity": float(np.exp(min(loss, 50.0))), "accuracy": accuracy}
