"""Pictures from noise: an auto-encoder that learns from pictures alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.errors import UsageError
from kerazoo.metrics import sample as metrics
from kerazoo.ops import numpy as ops
from kerazoo.tasks.sample import Sample
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.pictures import read
from kerazoo.train.jobs import Job, Request, share
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised


def job(asked: Request) -> Job:
    """A variational auto-encoder of pictures of the model's size.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start = asked.start
    if not isinstance(start.task, Sample) or not hasattr(start.family, "reconstruction"):
        raise UsageError(f"{start.word} does not learn by the lower bound of an auto-encoder, which is taught here.")
    config = asked.sized()
    asked.augmented()
    height, width, channels = config.input_shape
    image = Image(height, width, channels, resize=min(height, width))
    found, skipped = _fitted(asked, asked.source, "train", image)
    held, measured = asked.held, None
    if isinstance(held, Path):
        measured, more = _fitted(asked, held, "held out", image)
        skipped += more
    else:
        kept, rows = share(len(found), held, asked.seed)
        measured, found = (found[rows] if len(rows) else None), found[kept]
    optimizer, schedule = asked.settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=Arrays((found,)),
        step=Supervised(start.family.reconstruction()),
        optimizer=optimizer,
        schedule=schedule,
        augment=twice,
        measure=Bound(measured) if measured is not None else None,
        best=("val_loss", "min") if measured is not None else None,
        seed=asked.seed,
        batch=asked.settings.batch,
        epochs=asked.settings.epochs,
    )
    notes = {"pictures": len(found), "held out": 0 if measured is None else len(measured), "left out": skipped}
    made = replace(start.task, height=height, width=width, channels=channels)
    return Job(recipe, {"sample": made}, None, notes)


def _fitted(asked: Request, source: Path, part: str, image: Image) -> tuple[np.ndarray, int]:
    pictures, skipped = read(source, image.channels, part, strict=asked.strict, say=asked.say)
    out = [np.clip(np.rint(image.fit(ops, picture)[0]), 0, 255).astype(np.uint8) for picture in pictures]
    return np.stack(out), skipped


def twice(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    """Pictures in 0..1 as input and as target."""
    pictures = batch[0].astype(np.float32) / 255
    return pictures, pictures


@dataclass(frozen=True)
class Bound:
    """The negative lower bound of pictures uint8 [n, h, w, channels] in nats a picture, as `loss`."""

    pictures: np.ndarray

    def __call__(self, state: State) -> dict[str, float]:
        encode, decode = metrics.halves(state.model)
        costs, divergence = metrics.lower_bound(encode, decode, self.pictures.astype(np.float32) / 255)
        return {"loss": float(np.mean(costs) + np.mean(divergence))}
