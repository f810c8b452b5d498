"""Trains `espcn_x3:t91` (or x2, x4): luma drawn larger, learnt from the 91 pictures of Yang et al.

    python recipes/espcn_t91.py sr_t91_set5.tar out/
    python recipes/espcn_t91.py sr_t91_set5.tar espcn_x3_t91.npz --measure

`--scale 2` or `4` for the others. The archive holds T91/*.png, learnt from, and Set5/*.png, measured on. The pieces
that are learnt from have real pixels around them: with zeros there, and a cropped loss, the network stays 3 dB worse.
About half an hour on one core.
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.applications import espcn
from kerazoo.loading import load
from kerazoo.ops import numpy as ops
from kerazoo.tasks.redraw import luma_chroma
from kerazoo.train import script
from kerazoo.train.augment import turned
from kerazoo.train.data.pictures import Enlarged
from kerazoo.train.losses import psnr, squared, within
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Sizes at which each picture is learnt from."""


def opened(path: Path) -> dict[str, list[Image.Image]]:
    """The RGB pictures of `T91` and `Set5`, by the name of the file."""
    found: dict[str, list[Image.Image]] = {"T91": [], "Set5": []}
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".png"):
                found[Path(member.name).parent.name].append(Image.open(io.BytesIO(file.read())).convert("RGB"))
    return found


def whole(picture: Image.Image, scale: int) -> Image.Image:
    """Cut to sides that the scale divides."""
    return picture.crop((0, 0, picture.width // scale * scale, picture.height // scale * scale))


def smaller(picture: Image.Image, scale: int) -> Image.Image:
    return picture.resize((picture.width // scale, picture.height // scale), Image.Resampling.BICUBIC)


def luma(picture: Image.Image) -> np.ndarray:
    """As the task sees it, uint8 [h, w, 1]."""
    return luma_chroma(ops, np.asarray(picture))[0]


def augment(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    return tuple(array.astype(np.float32) / 255 for array in turned(batch, rng, epoch))


def recipe(data: dict[str, list[Image.Image]], scale: int = 3) -> Recipe:
    large = []
    for picture in data["T91"]:
        for share in SHARES:
            sides = (round(picture.width * share), round(picture.height * share))
            large.append(whole(picture.resize(sides, Image.Resampling.BICUBIC), scale))
    side, context = 48 // scale, 4
    large = [each for each in large if min(each.size) >= (side + 2 * context) * scale]
    return Recipe(
        name=f"espcn_x{scale}:t91",
        model=lambda: espcn.build(espcn.VARIANTS[f"espcn_x{scale}"].config),
        data=Enlarged(
            tuple(luma(smaller(each, scale)) for each in large), tuple(map(luma, large)), side, context, times=8
        ),
        step=Supervised(within(squared), metrics={"psnr": within(psnr)}),
        optimizer=Optimizer("adam"),
        schedule=Cosine(2e-3),
        augment=augment,
        seed=1609,
        batch=16,
        epochs=60,
    )


def measure(word: str, data: dict[str, list[Image.Image]]) -> dict[str, float]:
    """Mean PSNR in dB of the luma 16..235, edges as wide as the scale left out: of bicubic resizing, of the network."""
    predictor: Any = load(word, "keras")
    scale = predictor.task.scale
    figures: dict[str, list[float]] = {"bicubic": [], "PSNR": []}
    for picture in data["Set5"]:
        picture = whole(picture, scale)
        small = smaller(picture, scale)
        drawn = Image.open(io.BytesIO(predictor(small).picture))
        for name, guess in (("bicubic", small.resize(picture.size, Image.Resampling.BICUBIC)), ("PSNR", drawn)):
            a, b = (_studio(each)[scale:-scale, scale:-scale] for each in (picture, guess))
            figures[name].append(10 * np.log10(255**2 / np.mean((a - b) ** 2)))
    return {name: float(np.mean(values)) for name, values in figures.items()}


def _studio(picture: Image.Image) -> np.ndarray:
    return 16 + np.asarray(picture, np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def main(arguments: Sequence[str] | None = None) -> None:
    left = list(sys.argv[1:] if arguments is None else arguments)
    scale = 3
    if "--scale" in left:
        at = left.index("--scale")
        scale = int(left[at + 1])
        del left[at : at + 2]
    script.main(
        __doc__,
        lambda data: recipe(data, scale),
        opened=opened,
        normalise=espcn.NORMALISE,
        measure=measure,
        arguments=left,
    )


if __name__ == "__main__":
    main()
