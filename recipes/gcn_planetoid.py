"""Trains `gcn_cora:planetoid` (or citeseer): the classes of papers in a citation graph, of which a few are known.

    python recipes/gcn_planetoid.py cora.npz out/
    kerazoo evaluate gcn_cora:planetoid cora.npz
    python recipes/gcn_planetoid.py cora.npz out/ --seeds 10

The file holds the graph as `kerazoo predict` takes it, `labels`, and the numbers of the split of Yang et al. 2016:
`train_idx`, `val_idx` and `test_idx`. The third command trains with the seeds 0 to 9 and prints the mean. A minute on
one core.
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
from kerazoo.train.data import graph
from kerazoo.train.losses import cross_entropy, over_known, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.run import run
from kerazoo.train.schedules import Constant, Optimizer
from kerazoo.train.steps.supervised import Supervised


def opened(path: Path) -> dict[str, Any]:
    found, splits = graph.read(path)
    return {"name": path.stem, **found, **splits}


def learnt(data: dict[str, Any]) -> graph.Graph:
    return graph.Graph(data["features"], data["edges"], data["labels"], data["train_idx"])


def recipe(data: dict[str, Any], seed: int = 0) -> Recipe:
    variant = f"gcn_{data['name']}"
    return Recipe(
        name=f"{variant}:planetoid",
        model=lambda: gcn.build(gcn.VARIANTS[variant].config),
        data=learnt(data),
        step=Supervised(over_known(cross_entropy), inputs=4, metrics={"accuracy": over_known(right)}),
        optimizer=Optimizer("adam"),
        schedule=Constant(0.01),
        seed=seed,
        batch=1,
        epochs=200,
    )


def accuracy(model: Any, data: dict[str, Any]) -> float:
    """Percent of the test papers."""
    logits = np.asarray(model(list(learnt(data).inputs), training=False))
    return nodes.accuracy(data["labels"], np.argmax(logits, axis=-1), data["test_idx"])


def measure(word: str, data: dict[str, Any]) -> dict[str, float]:
    return {"node accuracy": accuracy(registry.build(word).keras, data)}


def several(path: Path, out: Path, seeds: int) -> None:
    data, found = opened(path), []
    for seed in range(seeds):
        outcome = run(recipe(data, seed), out / f"seed{seed}", say=lambda line: None)
        found.append(accuracy(outcome.state.model, data))
        print(f"seed {seed}: node accuracy {found[-1]:.2f}", flush=True)
    print(f"mean {np.mean(found):.2f}, deviation {np.std(found):.2f} of {seeds} seeds")


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--seeds" in given:
        at = given.index("--seeds")
        several(Path(given[0]), Path(given[1]), int(given[at + 1]))
        return
    name = Path(given[0]).stem if given else None
    script.main(__doc__, recipe, opened=opened, labels_of=name, measure=measure, arguments=given)


if __name__ == "__main__":
    main()
