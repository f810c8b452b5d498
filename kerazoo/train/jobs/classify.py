"""Classifiers of pictures and of texts: what they learn from, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs.image import Image, Normalise
from kerazoo.codecs.text import Text
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.classify import Classify
from kerazoo.train import losses
from kerazoo.train.balance import roc_auc
from kerazoo.train.data import labelled
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.descent import answering
from kerazoo.train.jobs import Job, Request, reading
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network, Start
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised
from kerazoo.train.techniques import applied


def job(asked: Request) -> Job:
    """A classifier for the classes of the source, with the top that the model has where these are its classes.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    return reading.job(asked) if of_texts(asked.start) else _of_pictures(asked)


def of_texts(start: Start) -> bool:
    """Whether a classifier is one of texts; fresh ones have no task before the data gives them their words."""
    return start.kind == "classify" and (isinstance(start.task, Classify) and isinstance(start.task.input, Text)
                                         or hasattr(start.config, "words"))  # fmt: skip


def _of_pictures(asked: Request) -> Job:
    start, settings, task = asked.start, asked.settings, asked.start.task
    if not isinstance(task, Classify) or not isinstance(task.input, Image):
        raise UsageError(f"{start.word} classifies no pictures; its task is {type(task).__name__}.")
    found = labelled.read(asked.source, least=2 if asked.classes is None else 1)
    if asked.classes is not None:
        found = labelled.renumbered(found, asked.classes, asked.source)
    if found.numbered and start.built is not None:
        if len(found.names) == len(task.labels) or set(found.names) <= set(task.labels):
            found = labelled.renumbered(found, task.labels, asked.source)
        else:
            asked.say(
                f"{asked.source} numbers its classes 0 to {len(found.names) - 1}, {start.word} has {len(task.labels)}: "
                "they are taken for others, and get a top of their own."
            )
    keeps = start.built is not None and sorted(found.names) == sorted(task.labels) and _plain_top(task)
    if keeps:
        found = labelled.renumbered(found, task.labels, asked.source)
    image = _sized(task.input, settings.size)
    pictures, labels, skipped = labelled.fit(found, image, strict=asked.strict, say=asked.say)
    held: tuple[np.ndarray, np.ndarray] | None = None
    share = asked.held
    if isinstance(share, Path):
        other = labelled.renumbered(labelled.read(share, "held out"), found.names, share)
        *measured, more = labelled.fit(other, image, strict=asked.strict, say=asked.say)
        held, skipped = (measured[0], measured[1]), skipped + more
    elif share:
        kept, rows = labelled.split(labels, share, asked.seed)
        if len(rows):
            held = pictures[rows], labels[rows]
            pictures, labels = pictures[kept], labels[kept]
    output = task.output if keeps else "logits"
    normalise = start.normalise or _usual(image)
    ranked = settings.balance != "none"
    measure = Accuracy(*held, normalise, _loss(start, output), ranked) if held is not None else None
    optimizer, schedule = settings.made()
    network = _network(asked, None if keeps else len(found.names))
    recipe = Recipe(
        name=asked.name,
        model=replace(network, sample=normalise(_some(pictures))),
        data=Arrays((pictures, labels)),
        step=Supervised(_loss(start, output), metrics={"accuracy": losses.accuracy}, prepare=normalise),
        optimizer=optimizer,
        schedule=schedule,
        augment=settings.augmented,
        measure=measure,
        best=("val_auc" if ranked else "val_accuracy", "max") if measure else None,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    recipe = applied(recipe, settings, labels, len(found.names))
    counts = np.bincount(labels, minlength=len(found.names)).tolist()
    notes = {"classes": dict(zip(found.names, counts, strict=True)), "held out": 0 if held is None else len(held[1])}
    made = Classify(image, found.names, output=output)
    return Job(recipe, {"classify": made}, normalise, {**notes, "left out": skipped})


def _some(pictures: np.ndarray) -> np.ndarray:
    """A few hundred of all classes, which stand one after the other."""
    return pictures[:: max(1, len(pictures) // 256)][:256]


def _plain_top(task: Classify) -> bool:
    return task.output in ("logits", "probabilities") and not task.single and task.background is None


def _sized(image: Image, size: int) -> Image:
    if not size:
        return image
    resize = round(image.resize * size / image.height) if isinstance(image.resize, int) else None
    return replace(image, height=size, width=size, resize=resize)


def _usual(image: Image) -> Normalise:
    return Normalise("gray" if image.channels == 1 else "rgb", 2 / 255, (1.0,))


def _loss(start: Any, output: str) -> Any:
    own = getattr(start.family, "loss", None)
    if own is not None:
        return own()
    return losses.cross_entropy if output == "logits" else losses.of_probabilities


def _network(asked: Request, classes: int | None) -> Network:
    config = asked.sized()
    if config is None:
        return Network(asked.start, None, classes, asked.freeze)
    # A new top ends in logits.
    config = replace(config, classes=classes, activation=None) if classes else config
    return Network(asked.start, config, None, asked.freeze)


@dataclass(frozen=True)
class Accuracy:
    """Loss and accuracy on pictures that are not learnt from.

    Attributes:
        pictures, labels: uint8 [n, h, w, channels] and int64 [n].
        normalise: What makes pixels the network's input.
        loss: Of labels and the network's output.
        ranked: Whether the mean of the classes' areas under the ROC curve is measured, too.
    """

    pictures: np.ndarray
    labels: np.ndarray
    normalise: Normalise
    loss: Any
    ranked: bool = False

    def __call__(self, state: State) -> dict[str, float]:
        ops = keras.ops
        answer = state.once(
            "accuracy", lambda: answering(state.model, lambda pixels: self.normalise(ops.cast(pixels, "float32")))
        )
        total, right = 0.0, 0.0
        outputs = []
        for start in range(0, len(self.labels), 100):
            labels = self.labels[start : start + 100]
            output = answer(self.pictures[start : start + 100])
            total += float(ops.sum(self.loss(labels, output) * ops.ones(len(labels))))
            right += float(ops.sum(losses.right(labels, output)))
            outputs.append(ops.convert_to_numpy(output))
        figures = {"loss": total / len(self.labels), "accuracy": right / len(self.labels)}
        if self.ranked:
            # Of probabilities: a logit alone says nothing of the other classes.
            areas = roc_auc(self.labels, ops.convert_to_numpy(ops.softmax(np.concatenate(outputs))))
            figures["auc"] = float(np.nanmean(areas))
        return figures
