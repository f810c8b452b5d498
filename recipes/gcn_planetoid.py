"""Trains `gcn_cora:planetoid` (or citeseer): the classes of papers in a citation graph, of which a few are known.

    python recipes/gcn_planetoid.py cora.npz out/
    kerazoo evaluate gcn_cora:planetoid cora.npz
    python recipes/gcn_planetoid.py cora.npz --seeds 20

The file holds the graph as `kerazoo predict` takes it, `labels`, and the numbers of the split of Yang et al. 2016:
`train_idx`, `val_idx` and `test_idx`; or it is one of that split's own eight, `ind.cora.graph` beside the others. The
third command trains with the seeds 0 to 19 and prints the mean. Seconds a seed on one core.

Kipf and Welling's protocol (section 5.2, and train.py of their code): full batches, Adam with the rate 0.01, half of
the inputs of both layers dropped, 5e-4 times half the sum of squares of the first layer's weights, at most 200 epochs.
The training ends when the cost of the 500 validation papers, penalty included, is above its mean over the 10 epochs
before, though not before the twelfth. What is tested are the last weights, not the best.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo import registry
from kerazoo.applications import gcn
from kerazoo.metrics import nodes
from kerazoo.train import script
from kerazoo.train import state as state_
from kerazoo.train.data import graph
from kerazoo.train.jobs.nodes import Share
from kerazoo.train.losses import cross_entropy, over_known, right
from kerazoo.train.recipe import Figures, Recipe
from kerazoo.train.run import batches
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.supervised import Supervised

WINDOW = 10
"""Epochs whose mean validation cost the next one is held against."""


def called(path: Path) -> str:
    """`cora`, of `cora.npz` or of `ind.cora.graph`."""
    return path.name.removeprefix("ind.").partition(".")[0]


def opened(path: Path) -> dict[str, Any]:
    found, splits = graph.read(path)
    return {"name": called(path), **found, **splits}


def part(data: dict[str, Any], split: str = "train_idx") -> graph.Graph:
    return graph.Graph(data["features"], data["edges"], data["labels"], data[split])


def rising(history: Sequence[Figures]) -> bool:
    """Whether the validation cost is above its mean over the epochs before."""
    costs = [row["val_loss"] for row in history]
    return len(costs) > WINDOW + 1 and costs[-1] > float(np.mean(costs[-WINDOW - 1 : -1]))


def recipe(data: dict[str, Any], seed: int = 0) -> Recipe:
    variant = f"gcn_{data['name']}"
    return Recipe(
        name=f"{variant}:planetoid",
        model=lambda: gcn.build(gcn.VARIANTS[variant].config),
        data=part(data),
        step=Supervised(over_known(cross_entropy), inputs=4, metrics={"accuracy": over_known(right)}),
        optimizer=Optimizer("adam", settings={"epsilon": 1e-8}),
        schedule=Constant(0.01),
        measure=Share(part(data, "val_idx")),
        stop=rising,
        seed=seed,
        batch=1,
        epochs=200,
    )


def accuracy(model: Any, data: dict[str, Any]) -> float:
    """Percent of the test papers."""
    logits = np.asarray(model(list(part(data).inputs), training=False))
    return nodes.accuracy(data["labels"], np.argmax(logits, axis=-1), data["test_idx"])


def measure(word: str, data: dict[str, Any]) -> dict[str, float]:
    return {"node accuracy": accuracy(registry.build(word).keras, data)}


def several(path: Path, seeds: int) -> None:
    """As `kerazoo.train.run` would, but for the states, which it keeps after every epoch."""
    data, found = opened(path), []
    for seed in range(seeds):
        made = recipe(data, seed)
        state = state_.begin(made)
        (batch,) = batches(made, 0)
        while state.epoch < made.epochs and not rising(state.history):
            state, _ = made.step(state, batch)
            state.history.append({f"val_{name}": value for name, value in made.measure(state).items()})
            state.epoch += 1
        found.append(accuracy(state.model, data))
        print(f"seed {seed}: node accuracy {found[-1]:.2f} after {state.epoch} epochs", flush=True)
    print(f"mean {np.mean(found):.2f}, deviation {np.std(found):.2f} of {seeds} seeds")


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--seeds" in given:
        at = given.index("--seeds")
        several(Path(given[0]), int(given[at + 1]))
        return
    name = called(Path(given[0])) if given else None
    script.main(__doc__, recipe, opened=opened, labels_of=name, measure=measure, arguments=given)


if __name__ == "__main__":
    main()
