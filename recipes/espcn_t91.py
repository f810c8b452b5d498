"""Trains `espcn_x3:t91` (or x2, x4): luma drawn larger, learnt from the 91 pictures of Yang et al.

    python recipes/espcn_t91.py sr_t91_set5.tar out/
    kerazoo evaluate espcn_x3:t91 sr_t91_set5.tar --only 'Set5/*'

`--scale 2` or `4` for the others. The archive holds T91/*.png, learnt from, and Set5/*.png, measured on. The pieces
that are learnt from have real pixels around them: with zeros there, and a cropped loss, the network stays 3 dB worse.
About half an hour on one core.
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerazoo.applications import espcn
from kerazoo.loading import load
from kerazoo.metrics.redraw import luma, without_border
from kerazoo.metrics.redraw import psnr as psnr_of
from kerazoo.train import script
from kerazoo.train.augment import turned
from kerazoo.train.data.pictures import enlarged, smaller, whole
from kerazoo.train.jobs import redraw
from kerazoo.train.losses import Within, psnr, squared
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised


def opened(path: Path) -> dict[str, list[np.ndarray]]:
    """The pictures uint8 [h, w, 3] of `T91` and `Set5`, by the name of the file."""
    found: dict[str, list[np.ndarray]] = {"T91": [], "Set5": []}
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".png"):
                picture = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
                found[Path(member.name).parent.name].append(picture)
    return found


def network(scale: int) -> Any:
    model = espcn.build(espcn.VARIANTS[f"espcn_x{scale}"].config)
    espcn.first_weights(model)
    return model


def recipe(data: dict[str, list[np.ndarray]], scale: int = 3) -> Recipe:
    side, context = 48 // scale, 4
    least = (side + 2 * context) * scale
    pictures = [picture for picture in data["T91"] if min(whole(picture, scale).shape[:2]) >= least]
    return Recipe(
        name=f"espcn_x{scale}:t91",
        model=partial(network, scale),
        data=enlarged(pictures, scale, side, context, times=40),
        step=Supervised(Within(squared), metrics={"psnr": Within(psnr)}, prepare=espcn.NORMALISE),
        optimizer=Optimizer("adam"),
        schedule=Cosine(1e-3, warm_up=0),
        augment=partial(redraw.to_unit, turned),
        seed=1609,
        batch=16,
        epochs=60,
    )


def measure(word: str, data: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Mean PSNR in dB of the luma 16..235, edges as wide as the scale left out: of bicubic resizing, of the network."""
    predictor: Any = load(word, "keras")
    scale = predictor.task.scale
    figures: dict[str, list[float]] = {"bicubic": [], "PSNR": []}
    for picture in data["Set5"]:
        picture = whole(picture, scale)
        small = smaller(picture, scale)
        drawn = Image.open(io.BytesIO(predictor(small).picture))
        resized = Image.fromarray(small).resize(drawn.size, Image.Resampling.BICUBIC)
        for name, guess in (("bicubic", resized), ("PSNR", drawn)):
            planes = (without_border(luma(each), scale) for each in (picture, guess))
            figures[name].append(psnr_of(*planes))
    return {name: float(np.mean(values)) for name, values in figures.items()}


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
