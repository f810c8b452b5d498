"""Trains `dcgan_28:mnist`, or others of its kind: MNIST's digits drawn from noise.

    python recipes/gan_mnist.py mnist.npz out/
    python recipes/gan_mnist.py mnist.npz out/ --kind wgan_gp --epochs 7
    kerazoo evaluate dcgan_28:mnist mnist.npz

Trains `wgan_gp:mnist` by its own objective with `--kind wgan_gp`, and a network that is told classes with `cgan_mlp`.
mnist.npz holds x_train, y_train and x_test. What is kept is the average of the generator's weights over the steps;
`out/samples/` shows after each epoch what it draws of the same seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import evaluation, registry, weights
from kerazoo.applications import cgan, dcgan, wgan
from kerazoo.train import product
from kerazoo.train.data.arrays import Arrays
from kerazoo.train.jobs.sample import DCGAN, OBJECTIVES, Grid, together
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant
from kerazoo.train.steps.adversarial import Noised, Pair

FAMILIES = {"cgan_mlp": cgan, "dcgan_28": dcgan, "wgan_gp": wgan}
STORES = {"wgan_gp": product.eight_bits}
RATE = 2e-4


def recipe(data: Mapping[str, np.ndarray], kind: str, out: Path | None = None, epochs: int = 30) -> Recipe:
    family: Any = FAMILIES[kind]
    config = family.VARIANTS[kind].config
    task: Any = registry.tasks_of(registry.Model(kind, kind))[0]["sample"]
    step, optimizer = OBJECTIVES.get(kind, DCGAN)
    told = (data["y_train"],) if task.labels else ()
    return Recipe(
        name=f"{kind}:mnist",
        model=Pair(lambda: family.build(config)),
        data=Arrays((data["x_train"][..., None], *told)),
        step=step,
        optimizer={"generator": optimizer, "discriminator": optimizer},
        schedule=Constant(RATE),
        augment=Noised(config.latents, task.output == "signed"),
        measure=Grid(task, out),
        seed=1511,
        batch=64,
        epochs=epochs,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="mnist.npz")
    parser.add_argument("out", type=Path, help="a folder for the states, the log, the samples and the weights")
    parser.add_argument("--kind", choices=sorted(FAMILIES), default="dcgan_28")
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args(arguments)
    data = np.load(given.data, allow_pickle=False)
    made = recipe(data, given.kind, given.out, given.epochs)
    state = run(made, given.out, say=lambda line: print(line, flush=True)).state
    # What draws is the generator alone, in half precision or 8 bits; both halves go on learning from the .keras file.
    average = state.models["average"]
    file = STORES.get(given.kind, product.half)(average, given.out / f"{given.kind}_mnist.npz")
    _, stored = weights.read(file)
    average.set_weights([stored[weight.path].astype(np.float32) for weight in average.weights])
    whole = together(made.model.network, state)  # type: ignore[attr-defined]
    tasks = registry.tasks_of(registry.Model(given.kind, given.kind))[0]
    path = product.save(whole, given.out / "model.keras", tasks, None, made, {})
    for name, value in evaluation.evaluate(path, given.data, engine="keras").figures.items():
        print(f"{name} {value:.4f}")


if __name__ == "__main__":
    main()
