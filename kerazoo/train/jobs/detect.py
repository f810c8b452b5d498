"""Detectors: what is in a picture and where, learnt from pictures with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import tasks
from kerazoo.assets import Assets
from kerazoo.engines.keras import KerasNetwork
from kerazoo.errors import UsageError, near
from kerazoo.metrics import detect as metrics
from kerazoo.metrics.detect import Truth
from kerazoo.ops import numpy as ops
from kerazoo.packages import needed
from kerazoo.sources import boxes as sources
from kerazoo.sources.boxes import Boxes
from kerazoo.tasks.detect import Anchored, Retina
from kerazoo.train import augment
from kerazoo.train.data import boxes
from kerazoo.train.data.boxes import Boxed, Known
from kerazoo.train.jobs import Job, Request, share
from kerazoo.train.recipe import Recipe
from kerazoo.train.retinanet import Dense
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised
from kerazoo.train.yolo import Yolo

JITTER = 0.2
"""Of `crops`: what the authors' `.cfg` files say."""

MEASURED = 10
"""So many times a training is measured: each takes as long as to answer for all pictures that are held out."""

MOVED = {"mirror": boxes.mirrored, "turns": boxes.turned, "colour": augment.coloured}
"""What is done to a batch of pictures and boxes; `crops` is done to each picture before."""


def job(asked: Request) -> Job:
    """A detector of the classes that have boxes, with the outputs that the model has where these are its classes.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
        PackageMissing: pycocotools is not installed, which matches what is found with what is there.
    """
    start, settings = asked.start, asked.settings
    if not isinstance(start.task, Anchored | Retina):
        raise UsageError(f"{start.word} detects by {type(start.task).__name__}; Anchored and Retina are taught here.")
    needed("pycocotools.cocoeval")
    found = sources.marked(asked.source, say=asked.say)
    if not found.names:
        raise UsageError(f"{asked.source} has no boxes: there is nothing to learn from.")
    keeps = start.built is not None and sorted(found.names) == sorted(start.task.labels)
    names = start.task.labels if keeps else found.names
    config = asked.sized()
    if config is None and not keeps:
        raise UsageError(
            f"{start.word} finds {', '.join(start.task.labels[:5])}, and is of no builder here: it gets no new outputs "
            f"for {', '.join(names[:5])}."
        )
    made: Any = start.task
    if config is not None:
        config = replace(config, classes=len(names))
        made = _task(asked, config, names)
    if settings.size % made.coarsest:
        raise UsageError(f"size={settings.size} does not fit {start.word}: sides are multiples of {made.coarsest}.")
    loss = _loss(asked, made, len(names))
    learnt, held = _parts(asked, found, names, made.input.channels)
    words = set(settings.augment.split("+"))
    asked.augmented("crops", *MOVED)
    data = Boxed(
        learnt.pictures, learnt.truths, made.input, JITTER if "crops" in words else 0.0, settings.mosaic,
        settings.scales, made.coarsest,
    )  # fmt: skip
    optimizer, schedule = settings.made()
    network = Network(start, config, None, asked.freeze)
    recipe = Recipe(
        name=asked.name,
        model=_Free(network) if settings.scales else network,
        data=data,
        step=Supervised(loss, prepare=start.normalise),
        optimizer=optimizer,
        schedule=schedule,
        augment=augment.Chain((*(link for word, link in MOVED.items() if word in words), loss.assigned)),
        measure=Precision(held.encoded, held.truths, made, start.normalise) if held is not None else None,
        every=max(1, settings.epochs // MEASURED),
        best=("val_map50", "max") if held is not None else None,
        seed=asked.seed,
        batch=settings.batch,
        epochs=settings.epochs,
    )
    counts = np.bincount(np.concatenate([truth.labels for truth in learnt.truths]), minlength=len(names)).tolist()
    notes = {
        "classes": dict(zip(names, counts, strict=True)),
        "pictures": len(learnt.pictures),
        "held out": 0 if held is None else len(held.pictures),
        "left out": learnt.skipped + (held.skipped if held is not None else 0),
        "boxes left out": learnt.flat + (held.flat if held is not None else 0),
    }
    finish = (lambda model: _fixed(model, network)) if settings.scales else None
    return Job(recipe, {"detect": made}, start.normalise, notes, finish)


ENTROPIES = {"own": 2.0, "focal": 2.0, "binary_cross_entropy": 0.0}
"""What a RetinaNet's classes may be taught by: the focal loss's gamma."""


def _loss(asked: Request, task: Anchored | Retina, classes: int) -> Yolo | Dense:
    """What the task's outputs learn by.

    Raises:
        UsageError: Another loss is set than it has.
    """
    word, known = asked.settings.loss, tuple(ENTROPIES) if isinstance(task, Retina) else ("own",)
    if word not in known:
        raise UsageError(
            f"loss={word} does not suit {asked.start.word}; allowed: {', '.join(known)}.{near(word, known)}"
        )
    if isinstance(task, Retina):
        return Dense(task.anchors, task.corners, classes, ENTROPIES[word])
    return Yolo(task.heads, classes)


def _task(asked: Request, config: Any, names: Sequence[str]) -> Any:
    """The model's task with these classes, its picture of the config's size."""
    made = asked.start.family.tasks(config, Assets(labels=tuple(names)))["detect"]
    its: Any = asked.start.task
    height, width = config.input_shape[:2]
    image = replace(its.input, height=height or its.input.height, width=width or its.input.width)
    return replace(made, input=image, count=its.count, least=its.least, overlap=its.overlap)


def _parts(asked: Request, found: Boxes, names: Sequence[str], channels: int) -> tuple[Known, Known | None]:
    """What is learnt from, and what is measured on."""
    options: dict[str, Any] = {"channels": channels, "strict": asked.strict, "say": asked.say}
    if asked.validation is None and found.held is not None:
        return tuple(boxes.read(part, names, **options) for part in (found.learnt(), found.measured()))  # type: ignore[return-value]
    held = asked.held
    learnt = boxes.read(found.learnt(), names, **options)
    if isinstance(held, Path):
        other = sources.marked(held, say=asked.say)
        other.check(names, asked.source.name)
        return learnt, boxes.read(other.measured(asked.say), names, **options)
    kept, rows = share(len(learnt.pictures), held, asked.seed)
    return learnt.take(kept), learnt.take(rows) if len(rows) else None


@dataclass(frozen=True)
class _Free:
    """The network of another one's sizes, for pictures of any."""

    network: Network

    def __call__(self) -> Any:
        config = self.network.config
        shape = (None, None, config.input_shape[2])
        return replace(self.network, config=replace(config, input_shape=shape))()


def _fixed(model: Any, network: Network) -> Any:
    """What was learnt from pictures of many sizes, for those of the one that the config says."""
    made = network.start.family.build(network.config)
    made.set_weights(model.get_weights())
    return made


@dataclass(frozen=True)
class Precision:
    """Mean average precision at an overlap of 0.5, at all points as VOC has it, in 0..1, of what the task answers.

    Attributes:
        encoded: The pictures' bytes.
        truths: What there is to find in them.
        task: What asks the network.
        normalise: What makes pixels the network's input.
    """

    encoded: Sequence[bytes] = field(repr=False)
    truths: Sequence[Truth] = field(repr=False)
    task: Any
    normalise: Any

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        model, task = state.model, metrics.in_full(tasks.exactly(self.task))

        def traced() -> Any:
            return tf.function(lambda pixels: model(pixels, training=False), reduce_retracing=True)

        answer = state.once("precision", traced)
        network = KerasNetwork(lambda pixels, training: answer(tf.constant(pixels)), task.parts, self.normalise, ops)
        found = [
            metrics.found(task.read(task.answer(network, {"image_bytes": ops.strings([data])}), 0))
            for data in self.encoded
        ]
        return {"map50": metrics.mean(metrics.voc(self.truths, found, len(task.labels))) / 100}
