"""Pictures from noise: a variational auto-encoder, or an adversarial pair, that learns from pictures alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs.image import Image
from kerazoo.drawing import tiled
from kerazoo.errors import UsageError
from kerazoo.metrics import sample as metrics
from kerazoo.ops import numpy as ops
from kerazoo.tasks.sample import Hierarchical, Sample
from kerazoo.train.data import labelled
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.pictures import read
from kerazoo.train.jobs import Job, Request, share
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import Optimizer
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.adversarial import Adversarial, Noised, Pair
from kerazoo.train.steps.hierarchical import Binarised, LowerBound
from kerazoo.train.steps.supervised import Supervised

GENERATOR = "generator"
"""The part of an adversarial pair that draws."""

OBJECTIVES: Mapping[str, tuple[Adversarial, Optimizer]] = {
    "wgan": (Adversarial("wasserstein", critic=5, clip=0.01), Optimizer("rmsprop")),
    "wgan_gp": (
        Adversarial("wasserstein", critic=5, penalty=10.0),
        Optimizer("adam", settings={"beta_1": 0.5, "beta_2": 0.9}),
    ),
}
"""Of an adversarial pair its step, and what moves either half, as its paper has them; others learn as DCGAN does."""

DCGAN = Adversarial(), Optimizer("adam", settings={"beta_1": 0.5})
"""Radford et al., arXiv:1511.06434, section 4."""

WARM_UP, SMOOTH = 0.3, 1e-2
"""Of a hierarchy the share of steps in which divergences count less, and what smoothness counts: Vahdat, Kautz,
arXiv:2007.03898, appendix A, tables 6 and 7."""


def job(asked: Request) -> Job:
    """A variational auto-encoder, or an adversarial pair, of pictures of the model's size.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start = asked.start
    if isinstance(start.task, Sample) and start.task.part == GENERATOR and start.config is not None:
        return adversarial(asked, start.task)
    if not isinstance(start.task, Sample) or not hasattr(start.family, "reconstruction"):
        raise UsageError(f"{start.word} does not learn by the lower bound of an auto-encoder, which is taught here.")
    config = asked.sized()
    asked.augmented()
    height, width, channels = config.input_shape
    image = Image(height, width, channels, resize=min(height, width))
    found, measured, skipped = fitted(asked, image)
    optimizer, schedule = asked.settings.made()
    made = replace(start.task, height=height, width=width, channels=channels)
    loss, several = start.family.reconstruction(), isinstance(made, Hierarchical)
    if several:
        made = replace(made, latents=config.noise)
    steps = asked.settings.epochs * max(1, len(found) // asked.settings.batch)
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=Arrays((found,)),
        step=LowerBound(loss, int(WARM_UP * steps), SMOOTH) if several else Supervised(loss),
        optimizer=optimizer,
        schedule=schedule,
        augment=Binarised(made.latents, channels > 1) if several else twice,
        measure=Bound(measured, several and channels == 1) if measured is not None else None,
        best=("val_loss", "min") if measured is not None else None,
        seed=asked.seed,
        batch=asked.settings.batch,
        epochs=asked.settings.epochs,
    )
    notes = {"pictures": len(found), "held out": 0 if measured is None else len(measured), "left out": skipped}
    return Job(recipe, {"sample": made}, None, notes)


def adversarial(asked: Request, task: Sample) -> Job:
    """A generator and the discriminator that teaches it; what is kept is the average of the generator's weights.

    A pair that is told classes learns from pictures with the names of theirs.

    Raises:
        UsageError, InputError: As of `job`.
    """
    start = asked.start
    if asked.freeze != "none":
        raise UsageError(f"--freeze {asked.freeze}: the two halves of {start.word} learn against each other, whole.")
    if asked.settings.size:
        raise UsageError(f"size={asked.settings.size}: {start.word} draws at its own size alone.")
    if asked.validation:  # A share of 0 asks for what is done anyway.
        raise UsageError(
            f"--validation: {start.word} learns to draw, and pictures that are held out have no answer to hold it "
            "against.\nLeave it out; `kerazoo evaluate` measures afterwards how like real ones its drawings are."
        )
    asked.augmented()
    image = Image(task.height, task.width, task.channels, resize=min(task.height, task.width))
    # Nothing is held out: what there is to measure is what is drawn, and that is looked at.
    config = start.config
    if task.labels:
        known = labelled.read(asked.source)
        if start.built is not None:
            known = labelled.renumbered(known, task.labels, asked.source)
        config, task = replace(config, classes=len(known.names)), replace(task, labels=known.names)
        *arrays, skipped = labelled.fit(known, image, strict=asked.strict, say=asked.say)
    else:
        found, skipped = _fitted(asked, asked.source, "train", image)
        arrays = [found]
    step, optimizer = OBJECTIVES.get(str(start.variant), DCGAN)
    _, schedule = asked.settings.made()
    network = Network(start, config)
    recipe = Recipe(
        name=asked.name,
        model=Pair(network),
        data=Arrays(tuple(arrays)),
        step=step,
        optimizer={name: optimizer for name in (GENERATOR, "discriminator")},
        schedule=schedule,
        augment=Noised(task.latents, task.output == "signed"),
        measure=Grid(task),
        seed=asked.seed,
        batch=asked.settings.batch,
        epochs=asked.settings.epochs,
    )
    notes = {"pictures": len(arrays[0]), "held out": 0, "left out": skipped}
    return Job(recipe, {"sample": task}, None, notes, assemble=lambda state: together(network, state))


def together(network: Callable[[], Any], state: State) -> Any:
    """The network that an adversarial training came to: the average generator, and the discriminator."""
    whole = network()
    whole.get_layer(GENERATOR).set_weights(state.models["average"].get_weights())
    whole.get_layer("discriminator").set_weights(state.models["discriminator"].get_weights())
    return whole


@dataclass(frozen=True)
class Grid:
    """Draws the same seeds after each epoch, into `samples/` beside the log.

    Attributes:
        task: Says what the average generator takes and gives.
        folder: Of the training; nothing is drawn without one.
        side: Pictures across and down.
    """

    task: Sample
    folder: Path | None = None
    side: int = 8

    def into(self, folder: Path) -> Grid:
        return replace(self, folder=folder)

    def __call__(self, state: State) -> dict[str, float]:
        if self.folder is not None:
            place = self.folder / "samples"
            place.mkdir(parents=True, exist_ok=True)
            pixels = drawn(state.models["average"], self.task, np.arange(self.side**2))
            (place / f"{state.epoch:04d}.png").write_bytes(ops.encode_png(tiled(pixels, self.side)))
        return {}


def drawn(generator: Any, task: Sample, seeds: np.ndarray) -> np.ndarray:
    """What a Keras generator draws from seeds, as `Sample` does: uint8 [seeds, height, width, channels]."""
    noise = ops.normal(seeds.astype(np.int64), task.latents)
    told = (seeds % len(task.labels)).astype(np.int32) if task.labels else None
    values = np.asarray(generator(noise if told is None else [noise, told], training=False))
    return ops.whole(task.brightness(ops, values) * 255.0)


def fitted(asked: Request, image: Image) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Pictures to learn from and to measure on, uint8 [n, height, width, channels], and how many were left out."""
    found, skipped = _fitted(asked, asked.source, "train", image)
    held = asked.held
    if isinstance(held, Path):
        measured, more = _fitted(asked, held, "held out", image)
        return found, measured, skipped + more
    kept, rows = share(len(found), held, asked.seed)
    return found[kept], (found[rows] if len(rows) else None), skipped


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
    """The negative lower bound of pictures uint8 [n, h, w, channels] in nats a picture, as `loss`.

    Attributes:
        pictures: That are not learnt from.
        binarised: Whether they are drawn black and white by their levels, the same draw each time.
    """

    pictures: np.ndarray
    binarised: bool = False

    def __call__(self, state: State) -> dict[str, float]:
        bound, _ = metrics.describing(state.model)
        seen = self.pictures.astype(np.float32) / 255
        costs, divergence = bound(metrics.binarised(seen) if self.binarised else seen)
        return {"loss": float(np.mean(costs) + np.mean(divergence))}
