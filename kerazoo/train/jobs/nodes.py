"""Classes of a graph's nodes, of which some are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.assets import Assets
from kerazoo.errors import UsageError
from kerazoo.tasks.nodes import Nodes
from kerazoo.train.data import graph, labelled
from kerazoo.train.data.graph import Graph
from kerazoo.train.jobs import Job, Request
from kerazoo.train.losses import cross_entropy, over_known, right
from kerazoo.train.recipe import Recipe
from kerazoo.train.start import Network
from kerazoo.train.state import State
from kerazoo.train.steps.supervised import Supervised


def job(asked: Request) -> Job:
    """The classes of the nodes of one graph, with the top that the model has where there are as many.

    Raises:
        UsageError, InputError: The source is not what can be learnt from, or does not fit the model.
    """
    start, task = asked.start, asked.start.task
    if not isinstance(task, Nodes):
        raise UsageError(f"{start.word} tells no classes of nodes; its task is {type(task).__name__}.")
    if start.config is None:
        raise UsageError(f"{start.word} is of no builder here; the variants that learn from graphs are taught.")
    asked.augmented()
    found, splits = graph.read(asked.source)
    kinds = np.unique(found["labels"][found["labels"] >= 0])
    if len(kinds) < 2:
        raise UsageError(f"{asked.source} holds nodes of {len(kinds)} class; there is nothing to tell apart.")
    features, count = found["features"].shape[1], int(kinds.max()) + 1
    if start.built is not None and features != task.features:
        raise UsageError(
            f"A node of {start.word}'s graphs has {task.features} features; of {asked.source}, {features}."
        )
    keeps = start.built is not None and count <= len(task.labels)
    # A variant is known by its own data set: only where the classes are as many can their names be meant.
    names = task.labels if keeps else tuple(f"class_{number}" for number in range(count))
    config = replace(start.config, features=features, classes=len(names), activation=None)
    known, measure, held = _parts(asked, found, splits, len(names))
    optimizer, schedule = asked.settings.made()
    recipe = Recipe(
        name=asked.name,
        model=Network(start, config, None, asked.freeze),
        data=Graph(found["features"], found["edges"], found["labels"], known),
        step=Supervised(over_known(cross_entropy), inputs=4, metrics={"accuracy": over_known(right)}),
        optimizer=optimizer,
        schedule=schedule,
        measure=measure,
        best=("val_accuracy", "max") if measure is not None else None,
        seed=asked.seed,
        batch=1,
        epochs=asked.settings.epochs,
    )
    made = start.family.tasks(config, Assets(labels=names))
    return Job(recipe, made, None, {"classes": list(names), "nodes": len(known), "held out": held})


def _parts(
    asked: Request, found: dict[str, np.ndarray], splits: Any, classes: int
) -> tuple[np.ndarray, Share | None, int]:
    """The nodes that are learnt from, what is measured, and on how many nodes."""
    labels = found["labels"]
    known = splits.get("train_idx", np.flatnonzero(labels >= 0))
    if asked.validation is None and "val_idx" in splits:
        rows = splits["val_idx"]
        if "train_idx" not in splits:
            rest = np.ones(len(labels), bool)
            rest[[*rows, *splits.get("test_idx", ())]] = False
            known = known[rest[known]]
        return known, Share(Graph(found["features"], found["edges"], labels, rows)), len(rows)
    held = asked.held
    if isinstance(held, Path):
        other, theirs = graph.read(held)
        if other["features"].shape[1] != found["features"].shape[1] or other["labels"].max() >= classes:
            raise UsageError(f"{held} is a graph of other features or classes than {asked.source}.")
        rows = theirs.get("val_idx", theirs.get("test_idx", np.flatnonzero(other["labels"] >= 0)))
        return known, Share(Graph(other["features"], other["edges"], other["labels"], rows)), len(rows)
    kept, out = labelled.split(labels[known], held, asked.seed)
    if not len(out):
        return known, None, 0
    return known[kept], Share(Graph(found["features"], found["edges"], labels, known[out])), len(out)


@dataclass(frozen=True)
class Share:
    """Loss, with the penalties that the layers add to it, and accuracy over the nodes that a graph says are known."""

    graph: Graph = field(repr=False)

    def __call__(self, state: State) -> dict[str, float]:
        import tensorflow as tf

        model = state.model
        inputs = state.once(self.graph.fingerprint, lambda: [tf.constant(each) for each in self.graph.inputs])
        logits = state.once("share", lambda: tf.function(lambda *inputs: model(list(inputs), training=False)))(*inputs)
        *_, labels, known = self.graph.batch(np.zeros(1, int), np.random.default_rng(0))
        loss, accuracy = (over_known(figure)(labels, logits, known) for figure in (cross_entropy, right))
        return {"loss": float(loss) + sum(map(float, model.losses)), "accuracy": float(accuracy)}
