"""What the recipes on MNIST share: the command, distorted digits, the schedule, and a state to go on from."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs.image import Image, Normalise
from kerazoo.ops import numpy as ops
from kerazoo.train import train_step
from kerazoo.train.augment import affine


@dataclass(frozen=True)
class Plan:
    """How a network learns digits: AdamW, one epoch of warm-up, then a cosine down to nothing.

    Attributes:
        seed: Of the initial weights, the order and the distortions.
        epochs: Passes over the training digits; the last one's weights are kept.
        batch: Digits a step.
        peak: Learning rate after the warm-up.
        fit: How a digit becomes as large as the network's input, the way `kerazoo predict` does it.
        normalise: What happens to its pixels then.
        decay: Weight decay, in units of the learning rate.
    """

    seed: int
    epochs: int
    batch: int
    peak: float
    fit: Image
    normalise: Normalise
    decay: float = 1e-2


def train(doc: str, plan: Plan, build: Callable[[], Any], loss: Callable[[], Any] | None = None) -> None:
    """Runs a recipe from its command line, `mnist.npz out.npz`, to the file of weights.

    After each epoch the state is saved beside the output; the same command goes on from there.

    Args:
        doc: The recipe's docstring, for its help.
        plan: The numbers.
        build: Makes the network, which ends in logits.
        loss: Makes the loss of labels and logits; cross-entropy by default.
    """
    import keras

    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("data", help="mnist.npz")
    parser.add_argument("out", type=Path, help="where the weights go (.npz)")
    arguments = parser.parse_args()
    data = np.load(arguments.data)
    digits, test = (
        np.stack([plan.fit.fit(ops, x[..., None])[0] for x in data[f"x_{split}"]]) for split in ("train", "test")
    )
    labels = data["y_train"].astype(np.int64)
    steps = len(digits) // plan.batch

    keras.utils.set_random_seed(plan.seed)
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, (plan.epochs - 1) * steps, warmup_target=plan.peak, warmup_steps=steps, alpha=0.0
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=plan.decay)
    made = loss() if loss else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = train_step(model, optimizer, made)
    # The seeds of dropout are among a model's variables, but Keras' own files leave them out.
    state, variables = arguments.out.with_suffix(".state.npz"), [*model.variables, *optimizer.variables]
    if state.exists():
        with np.load(state) as arrays:
            for variable, name in zip(variables, arrays.files, strict=True):
                variable.assign(arrays[name])
    for epoch in range(int(optimizer.iterations) // steps, plan.epochs):
        start, rng = time.time(), np.random.default_rng((plan.seed, epoch))
        order, figures = rng.permutation(len(digits)), []
        for index in range(steps):
            batch = order[index * plan.batch : (index + 1) * plan.batch]
            figures.append(step(plan.normalise(affine(digits[batch], rng)), labels[batch]))
        value, right = np.mean(figures, axis=0)
        seconds = time.time() - start
        print(f"epoch {epoch + 1}/{plan.epochs} loss {value:.4f} accuracy {right:.4f} {seconds:.0f} s", flush=True)
        new = state.with_name(f"new-{state.name}")
        np.savez(new, *(variable.numpy() for variable in variables))
        os.replace(new, state)
    guess = np.argmax(model.predict(plan.normalise(test), batch_size=500, verbose=0), axis=1)
    print(f"test accuracy {np.mean(guess == data['y_test']):.4f}")
    np.savez_compressed(arguments.out, **{variable.path: variable.numpy() for variable in model.weights})
