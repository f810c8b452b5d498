"""Trains `unet_slim:membrane`: a slim U-Net on the cell membranes of 24 of the 30 pictures of ISBI 2012.

    python recipes/unet_membrane.py membrane_isbi2012.tar out/
    kerazoo evaluate unet_slim:membrane membrane_isbi2012.tar --only 'train/*/2[4-9].png'

The archive holds data/membrane/train/{image,label}/0.png to 29.png, 512x512 pixels; numbers 24 to 29 are not learnt
from but measured on. The labels are white where a cell is and black where its membrane is. About an hour on one core.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.applications import unet
from kerazoo.loading import load
from kerazoo.metrics import segment
from kerazoo.train import script
from kerazoo.train.augment import crops, turned
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

LEARNT, SIDE = 24, 256


def opened(path: Path) -> dict[str, np.ndarray]:
    """`image` uint8 [30, 512, 512, 1], `label` of 0 (membrane) and 1 (cell)."""
    found = {}
    with tarfile.open(path) as archive:
        for kind in ("image", "label"):
            files = [archive.extractfile(f"data/membrane/train/{kind}/{number}.png") for number in range(30)]
            pictures = [np.asarray(Image.open(io.BytesIO(file.read())).convert("L")) for file in files if file]
            found[kind] = np.stack(pictures)[..., None]
    found["label"] = (found["label"] > 127).astype(np.uint8)
    return found


def augment(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    """A square of each picture and its mask, laid down in one of eight ways, lighter or darker."""
    both = crops(np.concatenate(batch, axis=-1), SIDE, rng)
    (both,) = turned((both,), rng, epoch)
    contrast, light = rng.uniform(0.8, 1.2, (len(both), 1, 1, 1)), rng.uniform(-20, 20, (len(both), 1, 1, 1))
    pictures = np.clip((both[..., :1] - 128.0) * contrast + 128 + light, 0, 255)
    return pictures.astype(np.float32), both[..., 1].astype(np.int64)


def recipe(data: dict[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="unet_slim:membrane",
        model=lambda: unet.build(unet.VARIANTS["unet_slim"].config),
        # Four squares of each picture an epoch.
        data=Arrays(tuple(np.repeat(data[kind][:LEARNT], 4, axis=0) for kind in ("image", "label"))),
        step=Supervised(cross_entropy, metrics={"accuracy": accuracy}, prepare=unet.NORMALISE),
        optimizer=Optimizer("adam"),
        schedule=Cosine(1e-3),
        augment=augment,
        seed=2012,
        batch=2,
        epochs=60,
    )


def measure(word: str, data: dict[str, np.ndarray]) -> dict[str, float]:
    """Pixel error, and intersection over union of each class and their mean, in percent, on the held-out pictures."""
    predictor: Any = load(word, "keras")
    masks = [predictor(picture).picture for picture in data["image"][LEARNT:]]
    guess = np.stack([segment.opened(mask) for mask in masks])
    matrix = segment.matrix(data["label"][LEARNT:, ..., 0], guess, len(predictor.task.labels))
    figures = segment.figures(matrix)
    overlaps = zip(predictor.task.labels, segment.overlaps(matrix).tolist(), strict=True)
    return {name: figures[name] for name in ("pixel error", "mean IoU")} | {f"IoU {name}": v for name, v in overlaps}


if __name__ == "__main__":
    script.main(__doc__, recipe, opened=opened, labels_of="membrane", normalise=unet.NORMALISE, measure=measure)
