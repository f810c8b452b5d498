"""Trains `stn:mnist-rts`: a spatial transformer network on MNIST's digits, turned, scaled and moved.

    python recipes/stn_mnist_rts.py mnist.npz stn_mnist-rts.npz
    python recipes/stn_mnist_rts.py mnist.npz --test-set mnist_rts.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). The digits are the RTS set of Jaderberg et al. 2015,
section 4.1: 42x42 pixels, turned by up to 45 degrees, 0.7 to 1.2 times as large, anywhere; each epoch distorts the
60,000 training digits anew. The second command writes the 10,000 distorted test digits, always the same, for
`kerazoo evaluate`. After each epoch the state is saved beside the output; the same command goes on from there. About
fifteen minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from kerazoo.applications import stn
from kerazoo.codecs.image import Normalise
from kerazoo.train import train_step
from kerazoo.train.augment import distorted

SEED, TEST_SEED, EPOCHS, BATCH, PEAK = 15, 1506, 20, 128, 1e-3
# Black is zero, as it is outside the pictures that the transformer samples.
NORMALISE = Normalise("gray", 1 / 255, (0.0,), (1.0,))


def rts(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [batch, 28, 28] to float32 [batch, 42, 42, 1] in 0..255."""
    return distorted(digits[..., None], rng, side=42, degrees=45, scale=(0.7, 1.2))


def test_digits(digits: np.ndarray) -> np.ndarray:
    """The distorted test digits, uint8 [batch, 42, 42]."""
    return np.rint(rts(digits, np.random.default_rng(TEST_SEED))[..., 0]).astype(np.uint8)


def draw(model: keras.Model, digits: np.ndarray, path: Path) -> None:
    """Pairs of rows: what the network is shown, and what its transformer makes of it."""
    seen = keras.Model(model.input, model.get_layer("transformed").output)
    shown = np.asarray(seen(NORMALISE(digits[..., None].astype(np.float32))))[..., 0]
    both = np.stack([digits, np.rint(shown * 255).astype(np.uint8)], axis=1)
    wide = min(16, len(both))
    rows = [np.concatenate(both[start : start + wide], axis=-1) for start in range(0, len(both) // wide * wide, wide)]
    Image.fromarray(np.concatenate([line for row in rows for line in row])).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="mnist.npz")
    parser.add_argument("out", type=Path, nargs="?", help="where the weights go (.npz)")
    parser.add_argument("--test-set", type=Path, help="where the distorted test digits go (.npz)")
    parser.add_argument("--picture", type=Path, help="where digits before and after the transformer are drawn (.png)")
    arguments = parser.parse_args()
    if not (arguments.out or arguments.test_set):
        parser.error("name a file for the weights, or one for the test digits")
    data = np.load(arguments.data)
    test = test_digits(data["x_test"])
    if arguments.test_set:
        np.savez_compressed(arguments.test_set, x_test=test, y_test=data["y_test"])
    if arguments.out:
        train(data, test, arguments.out, arguments.picture)


def train(data: np.lib.npyio.NpzFile, test: np.ndarray, out: Path, picture: Path | None) -> None:
    digits, labels = data["x_train"], data["y_train"].astype(np.int64)
    steps = len(digits) // BATCH
    keras.utils.set_random_seed(SEED)
    state = out.with_suffix(".state.keras")
    if state.exists():
        model = keras.models.load_model(state)
        optimizer = model.optimizer
    else:
        model = stn.build(stn.VARIANTS["stn"].config)
        rate = keras.optimizers.schedules.CosineDecay(
            1e-4, (EPOCHS - 1) * steps, warmup_target=PEAK, warmup_steps=steps, alpha=0.0
        )
        optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-2)
        # Decay would pull the transformer away from showing the whole picture.
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        model.compile(optimizer, jit_compile=False)
    step = train_step(model, optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for epoch in range(int(optimizer.iterations) // steps, EPOCHS):
        start, rng, figures = time.time(), np.random.default_rng((SEED, epoch)), []
        order = rng.permutation(len(digits))
        for index in range(steps):
            batch = order[index * BATCH : (index + 1) * BATCH]
            figures.append(step(NORMALISE(rts(digits[batch], rng)), labels[batch]))
        value, right = np.mean(figures, axis=0)
        print(
            f"epoch {epoch + 1}/{EPOCHS} loss {value:.4f} accuracy {right:.4f} {time.time() - start:.0f} s", flush=True
        )
        new = state.with_name(f"new-{state.name}")
        model.save(new)
        os.replace(new, state)
    guess = np.argmax(model.predict(NORMALISE(test[..., None].astype(np.float32)), batch_size=500, verbose=0), axis=1)
    print(f"test accuracy {np.mean(guess == data['y_test']):.4f}")
    np.savez_compressed(out, **{variable.path: variable.numpy() for variable in model.weights})
    if picture:
        draw(model, test[:64], picture)


if __name__ == "__main__":
    main()
