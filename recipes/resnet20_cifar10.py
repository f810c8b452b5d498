"""Trains `resnet20:cifar10`: ResNet-20 on CIFAR-10's 50,000 training pictures.

    python recipes/resnet20_cifar10.py cifar10.npz resnet20_cifar10.npz

cifar10.npz holds x_train, y_train, x_test and y_test (uint8). Sixty epochs, the first forty on random squares of 24 and
28 pixels, which cost half and three quarters of a full picture: about two hours on one core. After each epoch the
state is saved beside the output; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from kerazoo.applications import resnet_cifar
from kerazoo.codecs.image import Normalise
from kerazoo.train import train_step
from kerazoo.train.augment import crops

SEED, BATCH, WARM_UP = 20, 128, 5
PHASES = ((24, 0, 30), (28, 2, 10), (32, 4, 20))
"""Side of the squares in pixels, mirrored border that they are cut from, epochs."""
# Keras' decay is decoupled: with momentum 0.9 this equals 5e-4 in the gradient, as the paper's kind of recipe has it.
PEAK, DECAY = 0.2, 5e-3
NORMALISE = Normalise("rgb", 1.0, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))


def accuracy(model: keras.Model, pictures: np.ndarray, labels: np.ndarray) -> float:
    logits = model.predict(NORMALISE(pictures.astype(np.float32)), batch_size=500, verbose=0)
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="cifar10.npz")
    parser.add_argument("out", type=Path, help="where the weights go (.npz)")
    arguments = parser.parse_args()
    data = np.load(arguments.data)
    pictures, labels = data["x_train"], data["y_train"].astype(np.int64)
    schedule = [(size, border) for size, border, epochs in PHASES for _ in range(epochs)]
    steps = len(pictures) // BATCH

    keras.utils.set_random_seed(SEED)
    state = arguments.out.with_suffix(".state.keras")
    if state.exists():
        model = keras.models.load_model(state)
        optimizer = model.optimizer
    else:
        # Squares of several sizes go through one model.
        config = resnet_cifar.VARIANTS["resnet20"].config
        model = resnet_cifar.build(replace(config, input_shape=(None, None, 3)))
        rate = keras.optimizers.schedules.CosineDecay(
            0.01, (len(schedule) - WARM_UP) * steps, warmup_target=PEAK, warmup_steps=WARM_UP * steps
        )
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=DECAY)
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        model.compile(optimizer, jit_compile=False)
    step = train_step(model, optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    bordered = {
        border: np.pad(pictures, ((0, 0), (border, border), (border, border), (0, 0)), "reflect")
        for _, border, _ in PHASES
    }
    for epoch in range(int(optimizer.iterations) // steps, len(schedule)):
        start, rng, figures = time.time(), np.random.default_rng((SEED, epoch)), []
        size, border = schedule[epoch]
        order = rng.permutation(len(pictures))
        for index in range(steps):
            batch = order[index * BATCH : (index + 1) * BATCH]
            squares = crops(bordered[border][batch], size, rng)
            figures.append(step(NORMALISE(squares.astype(np.float32)), labels[batch]))
        value, right = np.mean(figures, axis=0)
        line = f"epoch {epoch + 1}/{len(schedule)} size {size} loss {value:.4f} accuracy {right:.4f}"
        if (epoch + 1) % 5 == 0:
            line += f" test {accuracy(model, data['x_test'], data['y_test']):.4f}"
        print(f"{line} {time.time() - start:.0f} s", flush=True)
        new = state.with_name(f"new-{state.name}")
        model.save(new)
        os.replace(new, state)
    print(f"test accuracy {accuracy(model, data['x_test'], data['y_test']):.4f}")
    np.savez_compressed(arguments.out, **{variable.path: variable.numpy() for variable in model.weights})


if __name__ == "__main__":
    main()
