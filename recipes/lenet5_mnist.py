"""Trains `lenet5:mnist`: LeNet-5 on MNIST's 60,000 training digits.

    python recipes/lenet5_mnist.py mnist.npz lenet5_mnist.npz

mnist.npz holds x_train, y_train, x_test and y_test (uint8). About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import time

import keras
import numpy as np

from kerazoo.applications import lenet
from kerazoo.codecs.image import Image, Normalise
from kerazoo.ops import numpy as ops
from kerazoo.train import train_step
from kerazoo.train.augment import affine

SEED, EPOCHS, BATCH, PEAK = 5, 40, 128, 2e-3
FIT, NORMALISE = Image(32, 32, channels=1), Normalise("gray", 1 / 255, (0.1307,), (0.3081,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="mnist.npz")
    parser.add_argument("out", help="where the weights go (.npz)")
    arguments = parser.parse_args()
    data = np.load(arguments.data)
    # The digits are made to fit as `kerazoo predict` makes them fit.
    train, test = (np.stack([FIT.fit(ops, x[..., None]) for x in data[f"x_{split}"]]) for split in ("train", "test"))
    labels = data["y_train"].astype(np.int64)

    keras.utils.set_random_seed(SEED)
    model = lenet.build(lenet.VARIANTS["lenet5"].config)
    steps = len(train) // BATCH
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, (EPOCHS - 1) * steps, warmup_target=PEAK, warmup_steps=steps, alpha=0.0
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = train_step(model, keras.optimizers.AdamW(rate, weight_decay=1e-2), loss)
    for epoch in range(EPOCHS):
        start, rng = time.time(), np.random.default_rng((SEED, epoch))
        order, figures = rng.permutation(len(train)), []
        for index in range(steps):
            batch = order[index * BATCH : (index + 1) * BATCH]
            figures.append(step(NORMALISE(affine(train[batch], rng)), labels[batch]))
        value, right = np.mean(figures, axis=0)
        print(
            f"epoch {epoch + 1}/{EPOCHS} loss {value:.4f} accuracy {right:.4f} {time.time() - start:.0f} s", flush=True
        )
    guess = np.argmax(model.predict(NORMALISE(test), batch_size=500, verbose=0), axis=1)
    print(f"test accuracy {np.mean(guess == data['y_test']):.4f}")
    np.savez_compressed(arguments.out, **{variable.path: variable.numpy() for variable in model.weights})


if __name__ == "__main__":
    main()
