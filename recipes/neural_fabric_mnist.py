"""Trains `neural_fabric:mnist`: a convolutional neural fabric on MNIST's 60,000 training digits.

    python recipes/neural_fabric_mnist.py mnist.npz neural_fabric_mnist.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). After each epoch the state is saved beside the output; the
same command goes on from there. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import keras
import numpy as np

from kerazoo.applications import neural_fabric
from kerazoo.codecs.image import Normalise
from kerazoo.train import train_step
from kerazoo.train.augment import affine

SEED, EPOCHS, BATCH, PEAK = 16, 4, 64, 4e-3
# Black is zero, as it is in the border that the network puts around the digits.
NORMALISE = Normalise("gray", 1 / 255, (0.0,), (1.0,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="mnist.npz")
    parser.add_argument("out", type=Path, help="where the weights go (.npz)")
    arguments = parser.parse_args()
    data = np.load(arguments.data)
    digits, labels = data["x_train"][..., None], data["y_train"].astype(np.int64)
    steps = len(digits) // BATCH
    keras.utils.set_random_seed(SEED)
    state = arguments.out.with_suffix(".state.keras")
    if state.exists():
        model = keras.models.load_model(state)
        optimizer = model.optimizer
    else:
        model = neural_fabric.build(neural_fabric.VARIANTS["neural_fabric"].config)
        rate = keras.optimizers.schedules.CosineDecay(
            1e-3, EPOCHS * steps - steps // 4, warmup_target=PEAK, warmup_steps=steps // 4, alpha=0.0
        )
        optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-2)
        model.compile(optimizer, jit_compile=False)
    step = train_step(model, optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for epoch in range(int(optimizer.iterations) // steps, EPOCHS):
        start, rng, figures = time.time(), np.random.default_rng((SEED, epoch)), []
        order = rng.permutation(len(digits))
        for index in range(steps):
            batch = order[index * BATCH : (index + 1) * BATCH]
            moved = affine(digits[batch], rng, degrees=6, scale=0.06, shift=2)
            figures.append(step(NORMALISE(moved), labels[batch]))
        value, right = np.mean(figures, axis=0)
        print(
            f"epoch {epoch + 1}/{EPOCHS} loss {value:.4f} accuracy {right:.4f} {time.time() - start:.0f} s", flush=True
        )
        new = state.with_name(f"new-{state.name}")
        model.save(new)
        os.replace(new, state)
    test = NORMALISE(data["x_test"][..., None].astype(np.float32))
    guess = np.argmax(model.predict(test, batch_size=500, verbose=0), axis=1)
    print(f"test accuracy {np.mean(guess == data['y_test']):.4f}")
    np.savez_compressed(arguments.out, **{variable.path: variable.numpy() for variable in model.weights})


if __name__ == "__main__":
    main()
