"""Trains `stn:mnist-rts`: a spatial transformer network on MNIST's digits, turned, scaled and moved.

    python recipes/stn_mnist_rts.py mnist.npz out/
    python recipes/stn_mnist_rts.py mnist.npz --test-set mnist_rts.npz
    python recipes/stn_mnist_rts.py mnist.npz --picture seen.png

mnist.npz holds x_train, y_train, x_test and y_test (uint8). The digits are the RTS set of Jaderberg et al. 2015,
section 4.1: 42x42 pixels, turned by up to 45 degrees, 0.7 to 1.2 times as large, anywhere; each epoch distorts the
60,000 training digits anew. The second command writes the 10,000 distorted test digits, always the same, for
`kerazoo evaluate`; the third draws some before and after the transformer of `stn:mnist-rts`. About fifteen minutes on
one core.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kerazoo import registry
from kerazoo.applications import stn
from kerazoo.codecs.image import Normalise
from kerazoo.train import script
from kerazoo.train.augment import distorted
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.losses import accuracy, cross_entropy
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.schedules import Cosine, Optimizer
from kerazoo.train.steps.supervised import Supervised

TEST_SEED = 1506
# Black is zero, as it is outside the pictures that the transformer samples.
NORMALISE = Normalise("gray", 1 / 255, (0.0,), (1.0,))


def rts(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [batch, 28, 28] to float32 [batch, 42, 42, 1] in 0..255."""
    return distorted(digits[..., None], rng, side=42, degrees=45, scale=(0.7, 1.2))


def augment(batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    return rts(batch[0], rng), batch[1]


def recipe(data: Mapping[str, np.ndarray]) -> Recipe:
    return Recipe(
        name="stn:mnist-rts",
        model=lambda: stn.build(stn.VARIANTS["stn"].config),
        data=Arrays((data["x_train"], data["y_train"].astype(np.int64))),
        step=Supervised(cross_entropy, metrics={"accuracy": accuracy}, prepare=NORMALISE),
        # Decay would pull the transformer away from showing the whole picture.
        optimizer=Optimizer("adamw", decay=1e-2, spared=("bias",)),
        schedule=Cosine(1e-3),
        augment=augment,
        seed=15,
        batch=128,
        epochs=20,
    )


def test_set(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The distorted test digits, `x_test` uint8 [n, 42, 42], with their `y_test`."""
    digits = np.rint(rts(data["x_test"], np.random.default_rng(TEST_SEED))[..., 0]).astype(np.uint8)
    return {"x_test": digits, "y_test": data["y_test"]}


def measure(word: str, data: Mapping[str, np.ndarray]) -> dict[str, float]:
    return script.top1(word, test_set(data))


def draw(word: str, digits: np.ndarray, path: Path) -> None:
    """Pairs of rows: what the network is shown, and what its transformer makes of it."""
    import keras

    model = registry.build(word).keras
    seen = keras.Model(model.input, model.get_layer("transformed").output)
    shown = np.asarray(seen(NORMALISE(digits[..., None].astype(np.float32))))[..., 0]
    both = np.stack([digits, np.rint(shown * 255).astype(np.uint8)], axis=1)
    wide = min(16, len(both))
    rows = [np.concatenate(both[start : start + wide], axis=-1) for start in range(0, len(both) // wide * wide, wide)]
    Image.fromarray(np.concatenate([line for row in rows for line in row])).save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) == 3 and given[1] in ("--test-set", "--picture"):
        with np.load(given[0], allow_pickle=False) as data:
            made = test_set(data)
        if given[1] == "--test-set":
            np.savez_compressed(given[2], **made)  # type: ignore[arg-type]
        else:
            draw("stn:mnist-rts", made["x_test"][:64], Path(given[2]))
        return
    script.main(__doc__, recipe, labels_of="mnist", normalise=NORMALISE, measure=measure, arguments=given)


if __name__ == "__main__":
    main()
