"""Named recipes, and what `--set` changes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError, near
from kerazoo.train import augment
from kerazoo.train.schedules import Constant, Cosine, Optimizer, Schedule

AUGMENTS = {
    "none": None,
    "mirror": augment.mirrored,
    "crops": augment.shifted,
    "affine": augment.moved,
    "turns": augment.turned,
}
"""Words for what is done to a batch before it is learnt from."""


@dataclass(frozen=True)
class Settings:
    """What can be set of a training without writing Python.

    Attributes:
        optimizer: A word of `kerazoo.train.schedules.OPTIMIZERS`.
        rate: Learning rate; after the warm-up, where there is one.
        schedule: `cosine` or `constant`.
        warm_up: Epochs of rising rate.
        decay: Weight decay in units of the learning rate, without biases and normalisation.
        momentum: Of `sgd`.
        batch: Samples a step.
        augment: A key of `AUGMENTS`.
        epochs: Passes over the data.
        size: Side of the pictures in pixels; 0 for the model's own.
        words: Of each language, at most, in a vocabulary that is built from the data; 0 for as many as the variant has.
        length: Words and signs of the longest sentence, its end included; 0 for the variant's own.
        clip: Longest gradient, all weights taken together; 0 for any.
    """

    optimizer: str = "adamw"
    rate: float = 1e-3
    schedule: str = "cosine"
    warm_up: float = 1.0
    decay: float = 1e-2
    momentum: float = 0.9
    batch: int = 32
    augment: str = "mirror"
    epochs: int = 20
    size: int = 0
    words: int = 0
    length: int = 0
    clip: float = 0.0

    def made(self) -> tuple[Optimizer, Schedule]:
        more: dict[str, Any] = {"momentum": self.momentum, "nesterov": True} if self.optimizer == "sgd" else {}
        if self.clip:
            more["global_clipnorm"] = self.clip
        schedule: Schedule = Constant(self.rate)
        if self.schedule == "cosine":
            schedule = Cosine(self.rate, self.rate / 10, self.warm_up)
        elif self.schedule != "constant":
            raise UsageError(f"schedule={self.schedule} is not known; allowed are cosine and constant.")
        return Optimizer(self.optimizer, self.decay, ("gamma", "beta", "bias"), more), schedule

    @property
    def augmented(self) -> Any:
        if self.augment not in AUGMENTS:
            known = ", ".join(AUGMENTS)
            raise UsageError(f"augment={self.augment} is not known; known are {known}.{near(self.augment, AUGMENTS)}")
        return AUGMENTS[self.augment]


RECIPES: Mapping[str, Settings] = {
    "scratch": Settings(),
    "finetune": Settings(rate=5e-4, decay=1e-3, epochs=10),
    "digits": Settings(rate=2e-3, batch=128, augment="affine", epochs=40),
    "masks": Settings("adam", decay=0, batch=2, augment="turns", epochs=60),
    "larger": Settings("adam", decay=0, batch=16, augment="turns", epochs=60),
    "noise": Settings("adam", rate=2e-3, decay=0, batch=128, augment="none", epochs=60),
    "graph": Settings("adam", rate=1e-2, schedule="constant", decay=0, batch=1, augment="none", epochs=200),
    "sentences": Settings("adam", decay=0, batch=64, augment="none", epochs=20, clip=1.0),
    "cifar": Settings("sgd", rate=0.2, warm_up=5, decay=5e-3, batch=128, augment="crops", epochs=60),
}
"""What `--recipe` names."""


def chosen(name: str, changes: Mapping[str, str]) -> Settings:
    """A named recipe with changes of its settings, as text.

    Raises:
        UsageError: There is no such recipe or setting, or a value does not fit.
    """
    if name not in RECIPES:
        raise UsageError(f"The recipe {name!r} is not known; known are {', '.join(RECIPES)}.{near(name, RECIPES)}")
    made, known = RECIPES[name], {each.name: each for each in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for key, text in changes.items():
        if key not in known:
            raise UsageError(f"There is no setting {key!r}; there are {', '.join(known)}.{near(key, known)}")
        kind = type(getattr(made, key))
        try:
            values[key] = kind(text)
        except ValueError:
            raise UsageError(f"{key}={text} is not {'a whole number' if kind is int else 'a number'}.") from None
        least = 0 if key in ("decay", "warm_up", "momentum", "size", "words", "length", "clip") else 1e-30
        if kind is not str and not least <= values[key] < 1e9:
            raise UsageError(f"{key}={text} is out of range.")
    return dataclasses.replace(made, **values)
