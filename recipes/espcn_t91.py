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
from kerazoo.metrics.redraw import luma as luma_of
from kerazoo.metrics.redraw import psnr as psnr_of
from kerazoo.metrics.redraw import smaller, whole, without_border
from kerazoo.ops import numpy as ops
from kerazoo.tasks.redraw import luma_chroma
from kerazoo.train import script
from kerazoo.train.augment import turned
from kerazoo.train.data.pictures import Enlarged
from kerazoo.train.losses import psnr, squared, within
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

SEED, CARRIED = 1609, 0.2
"""Of the recipe; and the share of the brightness that the carrying units see, where tanh is nearly straight."""


def opened(path: Path) -> dict[str, list[Image.Image]]:
    """The RGB pictures of `T91` and `Set5`, by the name of the file."""
    found: dict[str, list[Image.Image]] = {"T91": [], "Set5": []}
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".png"):
                found[Path(member.name).parent.name].append(Image.open(io.BytesIO(file.read())).convert("RGB"))
    return found


def luma(picture: Image.Image) -> np.ndarray:
    """As the task sees it, uint8 [h, w, 1]."""
    return luma_chroma(ops, np.asarray(picture))[0]


def augment(batch: tuple[np.ndarray, ...], rng: np.random.Generator, epoch: int) -> tuple[np.ndarray, ...]:
    return tuple(array.astype(np.float32) / 255 for array in turned(batch, rng, epoch))


def network(scale: int) -> Any:
    """With first weights from which it learns several times faster than from Keras' own.

    One unit of each layer carries the picture itself, interpolated linearly at the end; the other first kernels sum to
    0, so that they see edges and not brightness, and are large enough for tanh to bend.
    """
    model = espcn.build(espcn.VARIANTS[f"espcn_x{scale}"].config)
    rng = np.random.default_rng(SEED)
    first, first_bias, second, second_bias, third, third_bias = (weight.numpy() for weight in model.weights)
    first = rng.normal(0, 0.5, first.shape)
    first -= first.mean(axis=(0, 1), keepdims=True)
    first_bias = rng.uniform(-0.5, 0.5, first_bias.shape)
    second = rng.normal(0, (9 * second.shape[2]) ** -0.5, second.shape)
    third = rng.normal(0, 0.1 * (9 * third.shape[2]) ** -0.5, third.shape)
    first[..., 0], first_bias[0], second[..., 0], third[:, :, 0] = 0, 0, 0, 0
    first[2, 2, 0, 0], second[1, 1, 0, 0] = CARRIED, 1
    # Where the parts of a pixel lie between its neighbours: the triangle of linear interpolation, in both directions.
    place = (np.arange(scale) + 0.5) / scale - 0.5
    reach = np.maximum(0, 1 - np.abs(place[None, :] - np.array([-1, 0, 1])[:, None]))
    third[:, :, 0] = np.einsum("ya,xb->yxab", reach, reach).reshape(3, 3, -1) / CARRIED
    for weight, value in zip(model.weights, (first, first_bias, second, second_bias, third, third_bias), strict=True):
        weight.assign(value.astype(np.float32))
    return model


def recipe(data: dict[str, list[Image.Image]], scale: int = 3) -> Recipe:
    large = [whole(picture, scale) for picture in data["T91"]]
    side, context = 48 // scale, 4
    large = [each for each in large if min(each.size) >= (side + 2 * context) * scale]
    return Recipe(
        name=f"espcn_x{scale}:t91",
        model=partial(network, scale),
        data=Enlarged(
            tuple(luma(smaller(each, scale)) for each in large), tuple(map(luma, large)), side, context, times=40
        ),
        step=Supervised(within(squared), metrics={"psnr": within(psnr)}),
        optimizer=Optimizer("adam"),
        schedule=Cosine(1e-3, warm_up=0),
        augment=augment,
        seed=SEED,
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
            planes = (without_border(luma_of(each), scale) for each in (picture, guess))
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
