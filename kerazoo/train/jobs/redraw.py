"""Larger pictures, and pictures that few numbers describe: both learnt from pictures alone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.tasks.redraw import Reconstruct, SuperResolution
from kerazoo.train.augment import turned
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.pictures import enlarged, luma, read, smaller, whole
from kerazoo.train.descent import answering
from kerazoo.train.jobs import Job, Request, alike, share
from kerazoo.train.jobs.sample import fitted
from kerazoo.train.losses import Within, psnr, squared, squared_a_sample
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised
from kerazoo.train.techniques import perceived

SIDE, MOST, MEASURED = 48, 64, 512
"""Of a piece, in pixels of the large picture; pieces of one picture an epoch, at most; and the sides of the middle that
is measured."""

TOGETHER = 500
"""Pictures that are measured at once."""


def job(asked: Request) -> Job:
    """Super-resolution by the model's own scale, or reconstruction of pictures of the model's size.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    task = asked.start.task
    if isinstance(task, SuperResolution):
        return enlarging(asked, task)
    if isinstance(task, Reconstruct):
        return reconstructing(asked, task)
    raise UsageError(
        f"{asked.start.word} redraws by {type(task).__name__}; SuperResolution and Reconstruct are taught here."
    )


def enlarging(asked: Request, task: SuperResolution) -> Job:
    """From pictures of any size, which are made smaller."""
    start = asked.start
    scale, side = task.scale, max(1, SIDE // task.scale)
    least = (side + 2 * task.context) * scale
    reading: dict[str, Any] = {"least": least, "strict": asked.strict, "say": asked.say}
    pictures, skipped = read(asked.source, 3, **reading)
    held = asked.held
    measured: list[np.ndarray] = []
    if isinstance(held, Path):
        measured, more = read(held, 3, "held out", **reading)
        skipped += more
    else:
        kept, rows = share(len(pictures), held, asked.seed)
        measured, pictures = [pictures[row] for row in rows], [pictures[row] for row in kept]
    area = float(np.mean([picture.shape[0] * picture.shape[1] for picture in pictures]))
    times = min(MOST, max(1, round(area / (side * scale) ** 2)))
    optimizer, schedule = asked.settings.made()
    augment = asked.augmented("mirror", "turns")
    loss = perceived(asked.settings.features) if asked.settings.features else squared
    recipe = Recipe(
        name=asked.name,
        model=Network(start, asked.sized(), None, asked.freeze),
        data=enlarged(pictures, scale, side, task.context, times),
        step=Supervised(Within(loss), metrics={"psnr": Within(psnr)}, prepare=start.normalise),
        optimizer=optimizer,
        schedule=schedule,
        augment=functools.partial(to_unit, augment if augment is turned else functools.partial(alike, augment)),
        measure=Likeness(tuple(measured), task, start.normalise) if measured else None,
        best=("val_psnr", "max") if measured else None,
        seed=asked.seed,
        batch=asked.settings.batch,
        epochs=asked.settings.epochs,
    )
    notes = {"pictures": len(pictures), "held out": len(measured), "left out": skipped}
    return Job(recipe, {"redraw": task}, start.normalise, notes)


def reconstructing(asked: Request, task: Reconstruct) -> Job:
    """From pictures alone, made to fit; what noise the network is to take away is drawn anew each time."""
    start, config = asked.start, asked.sized()
    if config is None:
        raise UsageError(f"{start.word} is of no builder here; autoencoders of `kerazoo models` are taught.")
    if asked.settings.features:
        raise UsageError(f"features={asked.settings.features}: that is for what draws larger pictures.")
    augment = asked.augmented("mirror")
    found, measured, skipped = fitted(asked, start.family.tasks(config, Assets())["redraw"].input)
    optimizer, schedule = asked.settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=Arrays((found,)),
        step=Supervised(squared_a_sample),
        optimizer=optimizer,
        schedule=schedule,
        augment=Noisy(task.noise, augment),
        measure=Error(measured, Noisy(task.noise)) if measured is not None else None,
        best=("val_loss", "min") if measured is not None else None,
        seed=asked.seed,
        batch=asked.settings.batch,
        epochs=asked.settings.epochs,
    )
    notes = {"pictures": len(found), "held out": 0 if measured is None else len(measured), "left out": skipped}
    return Job(recipe, start.family.tasks(config, Assets()), getattr(start.family, "NORMALISE", None), notes)


@dataclass(frozen=True)
class Noisy:
    """Pictures uint8 as the network gets them, in 0..1 with normal noise, and as they are, in 0..1.

    Attributes:
        deviation: Of the noise, in units of the brightest value; what leaves 0..1 is cut.
        first: Done to the pictures before; see `kerazoo.train.augment`.
    """

    deviation: float = 0.0
    first: Any = None

    def __call__(self, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
        (pictures,) = self.first(batch, rng, epoch) if self.first is not None else batch
        clean = pictures.astype(np.float32) / 255
        if not self.deviation:
            return clean, clean
        noise = rng.standard_normal(clean.shape, np.float32) * np.float32(self.deviation)
        return np.clip(clean + noise, 0, 1), clean


@dataclass(frozen=True)
class Error:
    """The squared error a picture of pictures uint8 [n, h, w, c] in 0..1, summed over its pixels, as `loss`."""

    pictures: np.ndarray = field(repr=False)
    noisy: Noisy

    def __call__(self, state: State) -> dict[str, float]:
        given, right = self.noisy((self.pictures,), np.random.default_rng(0), 0)
        answer, total = state.once("error", lambda: answering(state.model)), 0.0
        for start in range(0, len(given), TOGETHER):
            rows = slice(start, start + TOGETHER)
            drawn = keras.ops.convert_to_numpy(answer(given[rows]))
            total += float(np.square(drawn - right[rows], dtype=np.float64).sum())
        return {"loss": total / len(given)}


def to_unit(augment: Any, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    """The small pieces as they are, the large ones in 0..1, after an augmentation of both."""
    small, large = augment(batch, rng, epoch)
    return small, large.astype(np.float32) / 255


@dataclass(frozen=True)
class Likeness:
    """Peak signal-to-noise ratio in dB of the luma 0..255, of pictures that were made smaller.

    Of large ones the middle is measured; edges as wide as the scale are left out.

    Attributes:
        pictures: uint8 [h, w, 3].
        task: Says the scale.
        normalise: What makes luma 0..255 the network's input.
    """

    pictures: Sequence[np.ndarray] = field(repr=False)
    task: SuperResolution
    normalise: Any

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        model, scale, around = state.model, self.task.scale, self.task.context

        def traced() -> Any:
            shape = tf.TensorSpec((None, None, None, 1), tf.float32)
            return tf.function(lambda small: model(small, training=False), input_signature=[shape])

        draw, found = state.once("likeness", traced), []
        for picture in self.pictures:
            top, left = (max(0, (extent - MEASURED) // 2) for extent in picture.shape[:2])
            picture = whole(picture[top : top + MEASURED, left : left + MEASURED], scale)
            small = np.pad(luma(smaller(picture, scale)), ((around, around), (around, around), (0, 0)), "reflect")
            seen = small[None].astype(np.float32)
            drawn = draw(seen if self.normalise is None else self.normalise(seen))[0].numpy()
            cut = scale * (around + 1)
            guess = np.clip(np.rint(drawn[cut:-cut, cut:-cut] * 255.0), 0, 255)
            truth = luma(picture)[scale:-scale, scale:-scale].astype(np.float64)
            found.append(10 * np.log10(255**2 / max(float(np.mean((truth - guess) ** 2)), 1e-9)))
        return {"psnr": float(np.mean(found))}
