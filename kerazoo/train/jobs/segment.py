"""Masks: the class of every pixel, learnt from pictures that have one."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from kerazoo.assets import Assets
from kerazoo.codecs.image import encoded
from kerazoo.contract import Task
from kerazoo.engines.keras import KerasNetwork
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.ops import numpy as ops
from kerazoo.tasks.segment import Tiled, Whole
from kerazoo.train.data import masks
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.masks import Masked, Pieces
from kerazoo.train.jobs import Job, Request, alike, share
from kerazoo.train.losses import cross_entropy, over_known, right
from kerazoo.train.recipe import Batch, Data, Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised

MOST = 64
"""Pieces of one picture an epoch, at most."""


def job(asked: Request) -> Job:
    """Segmentation into the classes of the masks, with the top that the model has where these are its classes.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start, task = asked.start, asked.start.task
    if not isinstance(task, Tiled | Whole):
        raise UsageError(f"{start.word} segments by {type(task).__name__}; what is Tiled or Whole is taught here.")
    channels = task.channels if isinstance(task, Tiled) else task.input.channels
    found = masks.read(asked.source, channels, strict=asked.strict, say=asked.say)
    names, keeps = _classes(asked, found)
    config = asked.sized()
    if not keeps and config is None:
        raise UsageError(
            f"{start.word} tells {', '.join(task.labels)} apart, and is of no builder here: it gets no new top for "
            f"{', '.join(names)}.\nGive it such a top in Keras, and save it with kerazoo.save."
        )
    if config is not None:
        config = config if keeps else replace(config, classes=len(names), activation=None)
        made: Any = start.family.tasks(config, Assets(labels=names))["segment"]
    else:
        made = replace(task, labels=names)
    learnt, held, skipped = _parts(asked, found, channels, len(names))
    normalise = start.normalise
    optimizer, schedule = asked.settings.made()
    augment = asked.augmented("mirror", "turns")
    figure: Callable[[Any], Any] = over_known if isinstance(made, Tiled) else _spread
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=_data(made, learnt),
        step=Supervised(figure(cross_entropy), metrics={"accuracy": figure(right)}, prepare=normalise),
        optimizer=optimizer,
        schedule=schedule,
        augment=functools.partial(_augmented, augment),
        measure=Overlap(held.pictures, held.masks, made, normalise) if held is not None else None,
        best=("val_iou", "max") if held is not None else None,
        seed=asked.seed,
        batch=asked.settings.batch,
        epochs=asked.settings.epochs,
    )
    notes = {
        "classes": list(names),
        "pictures": len(learnt.pictures),
        "held out": 0 if held is None else len(held.pictures),
        "left out": skipped,
    }
    return Job(recipe, {"segment": made}, normalise, notes)


def _classes(asked: Request, found: Masked) -> tuple[tuple[str, ...], bool]:
    """Names of the classes, and whether they are the model's own."""
    task: Any = asked.start.task
    known = task.labels if asked.start.built is not None else None
    if known is not None and (found.names == known or found.names is None and found.count <= len(known)):
        return known, True
    return found.names or tuple(f"class_{number}" for number in range(max(found.count, 2))), False


def _parts(asked: Request, found: Masked, channels: int, classes: int) -> tuple[Masked, Masked | None, int]:
    """What is learnt from, what is measured on, and how many pictures were left out."""
    held = asked.held
    if isinstance(held, Path):
        other = masks.read(held, channels, "held out", white=found.white, strict=asked.strict, say=asked.say)
        if other.count > classes:
            raise UsageError(f"{held} holds the class {other.count - 1}; there are {classes}, 0 to {classes - 1}.")
        return found, other, found.skipped + other.skipped
    kept, rows = share(len(found.pictures), held, asked.seed)
    return found.take(kept), found.take(rows) if len(rows) else None, found.skipped


def _data(task: Tiled | Whole, found: Masked) -> Data:
    if isinstance(task, Whole):
        pairs = [masks.fitted(*pair, task.input) for pair in zip(found.pictures, found.masks, strict=True)]
        return Arrays((np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])))
    core = task.tile - 2 * task.shrink
    area = float(np.mean([mask.size for mask in found.masks]))
    times = min(MOST, max(1, round(area / core**2)))
    return Pieces(tuple(found.pictures), tuple(found.masks), task.tile, task.shrink, times)


def _augmented(augment: Any, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    pictures, known = alike(augment, batch, rng, epoch)
    return masks.weighted(pictures, known)


def _spread(figure: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """`over_known` of logits that may be coarser than the mask: as the task does, they are resized bilinearly first."""

    def mean(labels: Any, logits: Any, known: Any) -> Any:
        if logits.shape[1:3] != labels.shape[1:3]:
            logits = keras.ops.image.resize(logits, labels.shape[1:3], "bilinear", data_format="channels_last")
        return over_known(figure)(labels, logits, known)

    return mean


@dataclass(frozen=True)
class Overlap:
    """Accuracy of the pixels and mean intersection over union, of what the task answers to whole pictures.

    Attributes:
        pictures, masks: uint8 [h, w, channels] and [h, w], each of its own size.
        task: What asks the network.
        normalise: What makes pixels the network's input.
    """

    pictures: Sequence[np.ndarray] = field(repr=False)
    masks: Sequence[np.ndarray] = field(repr=False)
    task: Task
    normalise: Any

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        model, count = state.model, len(self.task.labels)  # type: ignore[attr-defined]

        def traced() -> Any:
            return tf.function(lambda tiles: model(tiles, training=False), reduce_retracing=True)

        answer = state.once("overlap", traced)
        network = KerasNetwork(lambda tiles, training: answer(tf.constant(tiles)), self.task.parts, self.normalise, ops)
        table = np.zeros((count, count), np.int64)
        for picture, mask in zip(self.pictures, self.masks, strict=True):
            drawn = Pillow.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
            response = self.task.answer(network, {"image_bytes": ops.strings([encoded(drawn)])})
            guess = np.asarray(Pillow.open(io.BytesIO(response["mask_bytes"][0])))
            known = mask != masks.VOID
            table += np.bincount(mask[known].astype(np.int64) * count + guess[known], minlength=count * count).reshape(
                count, count
            )
        both = np.diag(table)
        either = table.sum(0) + table.sum(1) - both
        seen = either > 0
        return {"accuracy": float(both.sum() / max(table.sum(), 1)), "iou": float(np.mean(both[seen] / either[seen]))}
