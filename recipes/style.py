"""Trains a style: `johnson_style_half` learns to paint photographs as one picture is painted.

    python recipes/style.py photographs/ out/ --style painting.jpg --features vgg19_normalised_to_relu3_1.pth
    kerazoo predict photo.jpg -m out/model.keras -o painted.png

`photographs/` is a folder of pictures of at least 128 pixels a side, of which pieces of 128 are seen. The loss network
is VGG-19 up to relu3_1, as in pietrocarbo/deep-transfer: each filter divided by its mean activation, as Gatys et al.
did it. Johnson's own layers, of VGG-16 up to relu4_3, weigh otherwise, and so `--look` is this network's. By default
400 steps of four pieces are done; the paper has 40,000.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.applications import johnson, vgg
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise
from kerazoo.train import product
from kerazoo.train.augment import crops
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.data.pictures import read
from kerazoo.train.losses import Named, Style, features_of, gram
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.supervised import Supervised
from kerazoo.weights import recipes, torch

SIDE = 128
LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1")
CONVOLUTIONS = {
    "block1_conv1": "2", "block1_conv2": "5", "block2_conv1": "9", "block2_conv2": "12", "block3_conv1": "16"
}  # fmt: skip
"""Our layers, and the file's; its first, 0, turns RGB in 0..1 into BGR less the mean."""

NORMALISE = Normalise("bgr", mean=(103.939, 116.779, 123.68))


@dataclass(frozen=True)
class Pieces:
    """Square pieces of pictures, drawn anew each time.

    Attributes:
        pictures: uint8 [h, w, 3] each.
        times: Pieces of each picture an epoch.
    """

    pictures: tuple[np.ndarray, ...]
    times: int

    def __len__(self) -> int:
        return len(self.pictures) * self.times

    @cached_property
    def fingerprint(self) -> str:
        return " ".join(Arrays((picture,)).fingerprint for picture in self.pictures)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        found = []
        for row in rows:
            picture = self.pictures[int(row) % len(self.pictures)]
            top, left = (int(rng.integers(extent - SIDE + 1)) for extent in picture.shape[:2])
            found.append(picture[top : top + SIDE, left : left + SIDE])
        return (crops(np.stack(found), SIDE, rng),)


def features(path: Path) -> Any:
    """Maps of the loss network, of RGB pictures in 0..255."""
    model = vgg.build(replace(vgg.VARIANTS["vgg19"].config, include_top=False))
    tensors = torch.read(path)
    for ours, theirs in CONVOLUTIONS.items():
        model.get_layer(ours).set_weights([recipes.hwio(tensors[f"{theirs}.weight"]), tensors[f"{theirs}.bias"]])
    return Named(path.name, features_of(model, LAYERS, NORMALISE))


def to_itself(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    pictures = batch[0].astype(np.float32)
    return pictures, pictures


def recipe(pictures: Sequence[np.ndarray], style: np.ndarray, loss_network: Any, look: float, steps: int) -> Recipe:
    grams = [np.asarray(gram(maps))[0] for maps in loss_network(style[None].astype(np.float32))]
    named = Named(f"{loss_network.name} {Arrays((style,)).fingerprint}", loss_network)
    return Recipe(
        name="johnson_style_half:style",
        model=lambda: johnson.build(johnson.VARIANTS["johnson_style_half"].config),
        data=Pieces(tuple(pictures), times=max(1, 4 * 20 // len(pictures))),
        step=Supervised(Style(named, grams, weights=(1.0, look, 1e-4))),
        optimizer=Optimizer("adam"),
        schedule=Constant(1e-3),
        augment=to_itself,
        seed=1603,
        batch=4,
        epochs=max(1, steps // 20),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of photographs")
    parser.add_argument("out", type=Path, help="a folder for the states, the log and model.keras")
    parser.add_argument("--style", type=Path, required=True, help="the picture that shows the style")
    parser.add_argument("--features", type=Path, required=True, help="the loss network's file")
    parser.add_argument("--look", type=float, default=100.0, help="what the style counts beside the content")
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args(arguments)
    pictures, _ = read(given.data, 3, least=SIDE, say=print)
    with Image.open(given.style) as opened:
        opened.thumbnail((2 * SIDE, 2 * SIDE))
        style = np.asarray(opened.convert("RGB"))
    made = recipe(pictures, style, features(given.features), given.look, given.steps)
    outcome = run(made, given.out, say=lambda line: print(line, flush=True))
    tasks = johnson.tasks(johnson.VARIANTS["johnson_style_half"].config, Assets())
    product.save(outcome.state.model, given.out / "model.keras", tasks, None, made, outcome.figures)


if __name__ == "__main__":
    main()
