"""Models of characters, learnt from plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.codecs._characters import Characters, alphabet
from kerazoo.errors import UsageError
from kerazoo.sources import texts
from kerazoo.tasks.write import Write
from kerazoo.train.data.stream import Stream
from kerazoo.train.jobs import SHARE, Job, Request, one
from kerazoo.train.losses import cross_entropy, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.carried import Carried, read, stepping

WINDOW = 64
"""Characters that are learnt together where nothing else is set."""


def job(asked: Request) -> Job:
    """A model of the characters of the source, or of those that it knows; the end of the text is held out.

    Raises:
        UsageError: The source is no plain text, or does not fit the model.
    """
    start, settings = asked.start, asked.settings
    if start.config is None or not hasattr(start.config, "characters"):
        raise UsageError(f"{start.word} is of no builder here; the variants that write characters are taught.")
    asked.augmented()
    text, spared = held_out(asked)
    known = start.task.input.words if isinstance(start.task, Write) else alphabet([text], settings.words or None)
    codec = Characters(known)
    config = replace(start.config, characters=len(known))
    tasks = start.family.tasks(config, Assets(vocabulary=known))
    numbers = codec.numbers(text)
    optimizer, schedule = settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=Stream(numbers, settings.length or WINDOW),
        step=step(config.states),
        optimizer=optimizer,
        schedule=schedule,
        measure=Held(behind(codec, spared), config.states) if spared else None,
        best=("val_loss", "min") if spared and not settings.average else None,
        average=settings.average,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    unknown = int(np.sum(numbers == 0))
    if unknown:
        asked.say(f"{unknown} of {len(text)} characters are not known to {start.word}; they are read as one.")
    notes = {"characters": len(text), "held out": len(spared), "vocabulary": len(known), "unknown": unknown}
    return Job(recipe, tasks, None, notes)


def held_out(asked: Request) -> tuple[str, str]:
    """The text that is learnt from, and the one that is measured on: the end of the source, or another source."""
    text, given = texts.plain(asked.source), asked.validation
    if isinstance(given, tuple):
        return text, texts.plain(one(given, f"{asked.start.word} is measured on one source"))
    share: Any = asked.parts if given is None else given
    return divided(text, share if isinstance(share, float) else SHARE)


def divided(text: str, share: float) -> tuple[str, str]:
    """The text without its end, and the end, which is such a share of it."""
    place = len(text) - int(round(share * len(text)))
    return text[:place], text[place:]


def behind(codec: Characters, text: str) -> np.ndarray:
    """The numbers of a text, behind the line break that every text is read behind."""
    return np.concatenate([[codec.line], codec.numbers(text)]).astype(np.int32)


def step(states: Sequence[str]) -> Carried:
    return Carried(tuple(states), cross_entropy, {"accuracy": right})


@dataclass(frozen=True)
class Held:
    """Nats a character, and how often the likeliest is the true one, of a text that is not learnt from.

    Attributes:
        numbers: int32 [n], what the first character stands behind included.
        states: As `Carried` has them.
    """

    numbers: np.ndarray = field(repr=False)
    states: Sequence[str]

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        def traced() -> Any:
            part = stepping(state.model, self.states)
            return tf.function(lambda given: part(given, training=False), autograph=False, reduce_retracing=True)

        answer = state.once("held", traced)
        sizes = [state.model.get_layer(name).output.shape[-1] for name in self.states]
        logits, following = read(answer, self.numbers[:-1], sizes), self.numbers[1:]
        return {
            "loss": float(np.mean(cross_entropy(following, logits))),
            "accuracy": float(np.mean(right(following, logits))),
        }
