"""What a training step costs beside `keras.Model.fit`, as ratios measured in one run.

    python -m benchmarks.train --out benchmarks/results/train.json

Each network is trained by `kerazoo.train.run`, its data pipeline included, and by `keras.Model.fit` on a `tf.data`
pipeline of the same batches: uint8 pictures, the same mirroring, the same normalisation, loss, metric and optimiser.
Rounds are interleaved; a ratio is `fit`'s time over ours, the median over rounds, so that more than 1 is faster.

1. resnet20, CIFAR's size: at least 1.5.
2. mobilenet_v1_025 at 96 pixels: at least 1.0.

`cpu` is the ratio of the processor time that both took, which other work on the machine disturbs less. `float32` is
our step in full precision, `bfloat16` in mixed, `xla` compiled by XLA; `fastest` is what `compute=fastest` chose.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from kerazoo import registry
from kerazoo.codecs.image import Normalise
from kerazoo.engines.quiet import import_tensorflow
from kerazoo.train import augment, losses
from kerazoo.train import run as run_
from kerazoo.train import state as state_
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.supervised import Supervised

CASES = {"resnet20": (32, 128, 1.5), "mobilenet_v1_025": (96, 32, 1.0)}
"""Side of the pictures, batch, and the ratio that is asked for."""

NORMALISE = Normalise("rgb", 2 / 255, (1.0,))


def recipe(variant: str, steps: int, compute: str, mirror: bool) -> Recipe:
    """Noise is learnt as fast as pictures are."""
    side, batch, _ = CASES[variant]
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (batch * steps, side, side, 3), np.uint8)
    family, described = registry.variants()[variant]
    config = replace(described.config, input_shape=(side, side, 3), classes=10)
    return Recipe(
        name=variant,
        model=lambda: family.build(config),
        data=Arrays((pictures, rng.integers(0, 10, len(pictures)))),
        step=Supervised(
            losses.cross_entropy, metrics={"accuracy": losses.accuracy}, prepare=NORMALISE, compute=compute
        ),
        optimizer=Optimizer("sgd", 5e-3, settings={"momentum": 0.9, "nesterov": True}),
        schedule=Constant(0.01),
        augment=augment.mirrored if mirror else None,
        batch=batch,
    )


def ours(made: Recipe) -> Callable[[], str]:
    """An epoch as `kerazoo.train.run` goes through it; says how its step is computed."""
    state = state_.begin(made)

    def epoch() -> str:
        for batch in run_.batches(made, 0):
            made.step(state, batch)
        return str(state.arrays.get("compute", made.step.compute))  # type: ignore[attr-defined]

    return epoch


def fit(made: Recipe) -> Callable[[], str]:
    """An epoch of `keras.Model.fit`, as its documentation would have it: batched, mapped in parallel, prefetched."""
    import keras
    import tensorflow as tf

    state = state_.begin(made)
    model = state.model
    model.compile(
        state.optimizers["model"], keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )

    def prepared(pictures: Any, labels: Any) -> Any:
        if made.augment is not None:
            turns = tf.random.uniform([tf.shape(pictures)[0], 1, 1, 1]) < 0.5
            pictures = tf.where(turns, pictures[:, :, ::-1], pictures)
        return NORMALISE(tf.cast(pictures, tf.float32)), labels

    arrays = made.data.arrays  # type: ignore[attr-defined]
    data = tf.data.Dataset.from_tensor_slices(arrays).shuffle(len(made.data)).batch(made.size)
    data = data.map(prepared, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def epoch() -> str:
        model.fit(data, epochs=1, verbose=0)
        return "fit"

    return epoch


def compared(variant: str, rounds: int, steps: int, mirror: bool, computes: tuple[str, ...]) -> dict[str, Any]:
    """Milliseconds a step, and ratios to `fit`, of each way."""
    ways = {"fit": fit(recipe(variant, steps, "float32", mirror))}
    ways |= {compute: ours(recipe(variant, steps, compute, mirror)) for compute in computes}
    told = {name: epoch() for name, epoch in ways.items()}  # Traces.
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, epoch in ways.items():
            begun, before = time.perf_counter(), time.process_time()
            epoch()
            wall[name].append(1000 * (time.perf_counter() - begun) / steps)
            cpu[name].append(1000 * (time.process_time() - before) / steps)
    rows = {}
    for name in ways:
        rows[name] = {
            "ms": round(statistics.median(wall[name]), 1),
            "cpu_ms": round(statistics.median(cpu[name]), 1),
            "ratio": round(_ratio(wall["fit"], wall[name]), 2),
            "cpu": round(_ratio(cpu["fit"], cpu[name]), 2),
            "computed": told[name],
        }
        print(f"{variant:<17} {name:<9} {rows[name]}", flush=True)
    return {"batch": CASES[variant][1], "steps": steps, "rounds": rounds, "augmented": mirror, "ways": rows}


def _ratio(theirs: list[float], own: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, own, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="of an epoch; each round is one")
    parser.add_argument("--only", choices=CASES, help="one network")
    parser.add_argument("--mirror", action=argparse.BooleanOptionalAction, default=True, help="augmentation, on both")
    parser.add_argument("--xla", action="store_true", help="measure XLA too, which is slow to compile")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    import_tensorflow()
    computes = ("fastest", "float32", "bfloat16", *(("xla",) if arguments.xla else ()))
    found = {}
    for variant in [arguments.only] if arguments.only else CASES:
        found[variant] = compared(variant, arguments.rounds, arguments.steps, arguments.mirror, computes)
        ratio, least = found[variant]["ways"]["fastest"]["ratio"], CASES[variant][2]
        print(f"{variant:<17} {ratio:.2f} times fit  (at least {least})", flush=True)
    if arguments.out:
        found |= {"load": round(os.getloadavg()[0], 1), **record.origin("train")}
        record.keep(arguments.out, found)


if __name__ == "__main__":
    main()
