"""Named recipes, and what `--set` changes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerazoo.errors import UsageError, near
from kerazoo.train import augment
from kerazoo.train.schedules import Constant, Cosine, InverseRoot, OneCycle, Optimizer, Schedule, Steps, Triangular

AUGMENTS = {
    "none": None,
    "mirror": augment.mirrored,
    "crops": augment.shifted,
    "affine": augment.moved,
    "turns": augment.turned,
    "colour": augment.coloured,
    "cutout": augment.holed,
}
"""Words for what is done to a batch before it is learnt from; several are joined by `+`: `crops+colour`."""

DISCIPLINED = "disciplined"
"""The word for one cycle whose peak a range test finds, in place of the rate."""

SCHEDULES = ("constant", "cosine", "steps", "triangular", "one_cycle", "inverse_root", DISCIPLINED)


@dataclass(frozen=True)
class Settings:
    """What can be set of a training without writing Python.

    Attributes:
        optimizer: A word of `kerazoo.train.schedules.OPTIMIZERS`.
        rate: Learning rate: the highest, where it changes.
        schedule: One of `SCHEDULES`.
        warm_up: Epochs of rising rate.
        cycle: Epochs of one way up or down of `triangular` rates.
        decay: Weight decay in units of the learning rate.
        decay_all: Whether biases and normalisation decay, too.
        momentum: Of `sgd`; with `one_cycle` it goes from 0.95 to 0.85 and back, unless it is 0.
        nesterov: Of `sgd`.
        batch: Samples a step.
        augment: Keys of `AUGMENTS`, joined by `+`.
        mixup: Mixes pictures and labels, see `kerazoo.train.augment.mixup`: its alpha, 0.2 in the paper; 0 for none.
        loss: Of classifiers that end in logits: a key of `kerazoo.train.losses.KINDS`, `focal`, or the network's `own`;
            of RetinaNets `focal`, their own, or `binary_cross_entropy`.
        smoothing: Of labels, see `kerazoo.train.losses.shares`.
        balance: A key of `kerazoo.train.balance.KINDS`.
        teacher: A model whose answers are learnt as well, see `kerazoo.train.distil`.
        temperature: At which they are.
        features: For what makes pictures: `MODEL/LAYER+LAYER`, see `kerazoo.train.techniques.perceived`.
        activation, dropout, alpha_dropout, batch_norm, zero_gamma: See `kerazoo.train.remodel.Remodelled`.
        epochs: Passes over the data.
        size: Side of the pictures in pixels; 0 for the model's own.
        words: Of each language, or of both together where they share a vocabulary of subwords, at most, in one that is
            built from the data; 0 for as many as the variant has. Of models that write: characters; 0 for all.
        length: Words and signs of the longest sentence, its end included; 0 for the variant's own. Of models that
            write: characters that are learnt together; 0 for 64. Of models that fill gaps: pieces of a row; 0 for 128.
        buckets: Lengths that sentences are padded to: those of about one length learn together.
        average: The network that is kept is the mean of those after so many of the last epochs; 0 for the best.
        clip: Longest gradient, all weights taken together; 0 for any.
        mosaic: Of detectors: whether pictures are put together of four.
        scales: Of detectors: steps of the coarsest output's stride by which the sides of a batch may differ from the
            model's, both ways; 0 for none.
        compute: How a step is computed: a key of `kerazoo.train.quick.COMPUTES`, or `fastest`, which measures it.
    """

    optimizer: str = "adamw"
    rate: float = 1e-3
    schedule: str = "cosine"
    warm_up: float = 1.0
    cycle: float = 2.0
    decay: float = 1e-2
    decay_all: bool = False
    momentum: float = 0.9
    nesterov: bool = True
    batch: int = 32
    augment: str = "mirror"
    mixup: float = 0.0
    loss: str = "own"
    smoothing: float = 0.0
    balance: str = "none"
    teacher: str = ""
    temperature: float = 20.0
    features: str = ""
    activation: str = ""
    dropout: float = 0.0
    alpha_dropout: float = 0.0
    batch_norm: bool = False
    zero_gamma: bool = False
    epochs: int = 20
    size: int = 0
    words: int = 0
    length: int = 0
    buckets: int = 4
    average: int = 0
    clip: float = 0.0
    mosaic: bool = False
    scales: int = 0
    compute: str = "float32"

    def made(self) -> tuple[Optimizer, Schedule]:
        more: dict[str, Any] = {}
        if self.optimizer == "sgd":
            more = {"momentum": self.momentum, "nesterov": self.nesterov}
        if self.clip:
            more["global_clipnorm"] = self.clip
        spared = () if self.decay_all else ("gamma", "beta", "bias")
        return Optimizer(self.optimizer, self.decay, spared, more), self._schedule()

    def _schedule(self) -> Schedule:
        match self.schedule:
            case "constant":
                return Constant(self.rate)
            case "cosine":
                return Cosine(self.rate, self.rate / 10, self.warm_up)
            case "steps":
                return Steps(self.rate)
            case "triangular":
                return Triangular(self.rate / 6, self.rate, self.cycle)
            case "inverse_root":
                return InverseRoot(self.rate, self.warm_up)
            case "one_cycle" | "disciplined":
                return OneCycle(self.rate)
        raise UsageError(
            f"schedule={self.schedule} is not known; known are {', '.join(SCHEDULES)}.{near(self.schedule, SCHEDULES)}"
        )

    @property
    def augmented(self) -> Any:
        words = self.augment.split("+")
        for word in words:
            if word not in AUGMENTS:
                raise UsageError(f"augment={word} is not known; known are {', '.join(AUGMENTS)}.{near(word, AUGMENTS)}")
        found: list[Any] = [AUGMENTS[word] for word in words if AUGMENTS[word] is not None]
        return augment.Chain(tuple(found)) if len(found) > 1 else next(iter(found), None)

    @property
    def wants_logits(self) -> str:
        """Which of the settings want a loss of class numbers and logits, for people; empty where none does."""
        asked = {
            "smoothing": self.smoothing,
            "mixup": self.mixup,
            "teacher": self.teacher,
            "balance": self.balance != "none",
        }
        return ", ".join(name for name, value in asked.items() if value)

    @property
    def remodelled(self) -> dict[str, Any]:
        """What is changed of the network, as `kerazoo.train.remodel.Remodelled` takes it."""
        names = ("activation", "dropout", "alpha_dropout", "batch_norm", "zero_gamma")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


RECIPES: Mapping[str, Settings] = {
    "scratch": Settings(),
    "finetune": Settings(rate=5e-4, decay=1e-3, epochs=10),
    "digits": Settings(rate=2e-3, batch=128, augment="affine", epochs=40),
    "masks": Settings("adam", decay=0, batch=2, augment="turns", epochs=60),
    "larger": Settings("adam", decay=0, batch=16, augment="turns", epochs=60),
    "code": Settings("adam", decay=0, batch=128, augment="none", epochs=40),
    "noise": Settings("adam", rate=2e-3, decay=0, batch=128, augment="none", epochs=60),
    "boxes": Settings(decay=1e-3, batch=8, augment="mirror+crops+colour", epochs=60, clip=10.0),
    "adversarial": Settings("adam", rate=2e-4, schedule="constant", decay=0, batch=64, augment="none", epochs=30),
    "federated": Settings(
        "sgd", rate=0.1, schedule="constant", decay=0, momentum=0.0, nesterov=False, augment="none", epochs=100
    ),
    "graph": Settings("adam", rate=1e-2, schedule="constant", decay=0, batch=1, augment="none", epochs=200),
    "sentences": Settings("adam", decay=0, batch=64, augment="none", epochs=20, clip=1.0),
    "characters": Settings("adam", rate=3e-3, decay=0, batch=32, augment="none", epochs=12, clip=1.0),
    "gaps": Settings(batch=16, augment="none", epochs=10, clip=1.0),
    "texts": Settings(rate=2e-3, decay=1e-3, augment="none", epochs=8, clip=1.0),
    "attention": Settings(
        "adam", rate=1e-3, schedule="inverse_root", warm_up=4, decay=0, batch=128, augment="none", smoothing=0.1,
        epochs=30, buckets=8, average=5,
    ),
    "cifar": Settings("sgd", rate=0.2, warm_up=5, decay=5e-3, batch=128, augment="crops", epochs=60),
    "disciplined": Settings("sgd", schedule=DISCIPLINED, decay=1e-3, batch=64, epochs=20),
    "tricks": Settings(
        "sgd", rate=0.2, warm_up=5, decay=5e-3, batch=128, augment="crops", epochs=60, zero_gamma=True, smoothing=0.1,
        mixup=0.2,
    ),
}  # fmt: skip
"""What `--recipe` names. `tricks` is what the Bag of Tricks (arXiv:1812.01187) adds up to, without a teacher."""


SHARES = ("smoothing", "dropout", "alpha_dropout")
MAY_BE_0 = (
    "average", "decay", "warm_up", "momentum", "size", "mixup", "words", "length", "clip", "scales", *SHARES,
)  # fmt: skip


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
        values[key] = _read(key, text, type(known[key].default))
    return dataclasses.replace(made, **values)


def _read(key: str, text: str, kind: type) -> Any:
    """A setting's value from text."""
    if kind is str:
        return text
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise UsageError(f"{key}={text} is neither true nor false.")
        return words[text.lower()]
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"{key}={text} is not {'a whole number' if kind is int else 'a number'}.") from None
    least = 0 if key in MAY_BE_0 else 1e-30
    if not least <= value < (1 if key in SHARES else 1e9):
        raise UsageError(f"{key}={text} is out of range.")
    return value
