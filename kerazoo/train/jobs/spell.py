"""Translation character by character, learnt from sentences and their translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.codecs._spelling import characters
from kerazoo.codecs.text import Vocabulary
from kerazoo.errors import InputError, UsageError
from kerazoo.metrics.translate import until_end
from kerazoo.ops import numpy as ops
from kerazoo.tasks.translate import Translate
from kerazoo.train import jobs
from kerazoo.train.data import files
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.parallel import Pair
from kerazoo.train.jobs import Job, Request
from kerazoo.train.losses import Smoothed, accuracy, cross_entropy, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

MARKS = 2
"""Characters that a sentence has beside its own where it is written: the one before it and the one behind."""


def job(asked: Request) -> Job:
    """A translator of the characters and lengths that it has, or of those of the source.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start, settings = asked.start, asked.settings
    asked.augmented()
    if settings.words:
        raise UsageError(f"words={settings.words}: {start.word} has a number for each character, and none for others.")
    pairs, spared = jobs.pairs(asked)
    if isinstance(start.task, Translate):
        config, words = start.config, {"source": start.task.source.words, "target": start.task.target}
    else:
        fit = [pair for pair in pairs if all(pair) and max(map(len, pair)) <= (settings.length or max(map(len, pair)))]
        config, words = sized(start.config, fit), alphabets(fit)
    tasks = start.family.tasks(config, Assets(vocabulary=words))
    reading: dict[str, Any] = {"strict": asked.strict, "say": asked.say}
    learnt, skipped = read(pairs, tasks["translate"], **reading)
    held, more = read(spared, tasks["translate"], **reading) if spared else (None, 0)
    optimizer, schedule = settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=learnt,
        step=step(settings.smoothing),
        optimizer=optimizer,
        schedule=schedule,
        measure=Held(held, tasks["translate"].written().end) if held is not None else None,
        best=("val_loss", "min") if held is not None and not settings.average else None,
        average=settings.average,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    notes = {
        "pairs": len(learnt), "held out": len(held) if held is not None else 0, "left out": skipped + more,
        "characters": [len(each) for each in words.values()],
    }  # fmt: skip
    return Job(recipe, tasks, None, notes)


def alphabets(pairs: Sequence[Pair]) -> dict[str, Vocabulary]:
    """The characters of both sides, `source` and `target`."""
    source, target = zip(*pairs, strict=True)
    return {"source": characters(source), "target": characters(target, written=True)}


def sized(config: Any, pairs: Sequence[Pair]) -> Any:
    """The config of a network for the characters and the longest sentences of pairs.

    Raises:
        UsageError: There are none.
    """
    if not pairs:
        raise UsageError("There are no sentences to learn from.")
    words = alphabets(pairs)
    longest = [max(len(pair[side]) for pair in pairs) for side in (0, 1)]
    return replace(
        config,
        source_characters=len(words["source"]),
        target_characters=len(words["target"]),
        source_length=longest[0],
        target_length=longest[1] + MARKS,
    )


def read(pairs: Sequence[Pair], task: Any, **reading: Any) -> tuple[Arrays, int]:
    """Pairs as numbers, and how many were left out: those with a side that is empty, too long or has other characters.

    Args:
        task: Whose codecs read them.
        reading: `strict` and `say`, as `kerazoo.train.data.files.each` takes them.

    Returns:
        Source int32 [n, source_length], target before each step and target, int32 [n, target_length].

    Raises:
        InputError: A pair does not fit, and `strict`; or none does.
    """
    written, out = task.written(), [None] * len(pairs)
    codecs = task.source, written

    def read_one(row: int) -> None:
        both = [np.array([text.encode("utf-8", "replace")], object) for text in pairs[row]]
        if len(pairs[row][1]) > written.length - MARKS:
            raise InputError(f"{len(pairs[row][1])} characters; {written.length - MARKS} fit")
        out[row] = [codec.prepare(ops, text)[0] for codec, text in zip(codecs, both, strict=True)]  # type: ignore[call-overload]

    kept = files.each([f"pair {row + 1}" for row in range(len(pairs))], read_one, what="pairs", **reading)
    source, target = (np.stack(side) for side in zip(*(pair for pair in out if pair is not None), strict=True))
    before = np.concatenate([np.full((len(target), 1), written.start, np.int32), target[:, :-1]], axis=1)
    return Arrays((source, before, target)), int(np.sum(~kept))


def step(smoothing: float = 0.0) -> Supervised:
    """Learning each character from the sentence and those before it; what fills rows up is learnt as well."""
    loss = Smoothed(smoothing) if smoothing else cross_entropy
    return Supervised(loss, inputs=2, metrics={"padded": accuracy})


@dataclass(frozen=True)
class Held:
    """Figures of pairs that are not learnt from, each character told those before it.

    The loss and the accuracy `padded` are of whole rows, the spaces that fill them up included, as they are learnt;
    perplexity and accuracy are of the sentences and their ends alone.

    Attributes:
        pairs: As `read` gives them.
        end: The number that ends a sentence.
    """

    pairs: Arrays = field(repr=False)
    end: int

    def __call__(self, state: State) -> Mapping[str, float]:
        import tensorflow as tf

        model, totals = state.model, np.zeros(6)

        def traced() -> Any:
            def figures(source: Any, before: Any, target: Any) -> Any:
                logits = model([source, before], training=False)
                return cross_entropy(target, logits), right(target, logits)

            return tf.function(figures, reduce_retracing=True)

        answer = state.once("held", traced)
        for start in range(0, len(self.pairs), 100):
            batch = [array[start : start + 100] for array in self.pairs.arrays]
            surprise, hits = (np.asarray(each) for each in answer(*batch))
            own = until_end(batch[2], self.end)
            totals += [np.sum(each) for each in (surprise, hits, np.ones_like(hits), surprise * own, hits * own, own)]
        loss, hit = totals[:2] / totals[2]
        own_loss, own_hit = totals[3:5] / totals[5]
        return {"loss": loss, "padded": hit, "perplexity": float(np.exp(min(own_loss, 50.0))), "accuracy": own_hit}
