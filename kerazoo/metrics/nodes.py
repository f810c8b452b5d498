"""Nodes of a graph: the accuracy of their classes, on the nodes that are held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerazoo.errors import UsageError
from kerazoo.metrics import plots
from kerazoo.metrics.classify import calibration, confusion, per_class
from kerazoo.metrics.report import Asked, Figure, Report, ask
from kerazoo.predictor import Predictor
from kerazoo.sources.files import Sample
from kerazoo.sources.labelled import within
from kerazoo.train.data import graph, planetoid

FIGURES = {"node accuracy": Figure("%", True, 0.5), "ECE": Figure("%", False, 2.0)}

CALLED = {"accuracy": ("node accuracy", 100.0)}
"""What cards of trained models call a figure, and what it is multiplied with."""

SPLITS = ("test_idx", "val_idx")
"""Of a graph file; without either, every node is measured whose label is known."""


def accuracy(labels: np.ndarray, guesses: np.ndarray, rows: np.ndarray) -> float:
    """Percent of the nodes with these numbers whose class is right.

    Args:
        labels, guesses: Class numbers of all nodes, [nodes].
        rows: Numbers of nodes, [n].
    """
    return 100 * float(np.mean(np.asarray(labels)[rows] == np.asarray(guesses)[rows]))


def measure(predictor: Predictor, asked: Asked) -> Report:
    """Of a model that classifies nodes, on a graph file with labels; see `kerazoo.train.data.graph.read`.

    Raises:
        UsageError, InputError: It is no such file, or has classes that the model does not have.
    """
    task: Any = predictor.task
    if not (asked.source.suffix == ".npz" or planetoid.is_one(asked.source)) or not asked.source.is_file():
        raise UsageError(f"{asked.source} is no .npz file of a graph with features, edges and labels, nor Planetoid's.")
    if asked.only is not None:
        raise UsageError(f"{asked.source} is one graph; {asked.only!r} chooses among files.")
    found, splits = graph.read(asked.source)
    labels = found["labels"]
    name = next((name for name in SPLITS if name in splits), None)
    rows = splits[name] if name is not None else np.flatnonzero(labels >= 0)
    if not len(rows):
        raise UsageError(f"{asked.source}: no node's label is known.")
    within(int(labels[rows].max()), task.labels, f"{asked.source}: labels")
    item = {name: found[name] for name in ("features", "edges")}
    answers = ask(predictor, [Sample(str(asked.source), item)], asked, "graphs")
    # One graph: it is answered, or that it is not is the error.
    result = [result for _, result in answers][0]
    guesses, sure = np.array(result.indices), np.array(result.scores)
    matrix = confusion(labels[rows], guesses[rows], len(task.labels))
    bins = calibration(sure[rows], labels[rows] == guesses[rows])
    drawn = {}
    if asked.plots:
        drawn["confusion.png"] = lambda: plots.confusion(matrix, task.labels)
        drawn["reliability.png"] = lambda: plots.reliability(bins.confidence, bins.accuracy, bins.counts, bins.error)
    answers.count, answers.what = len(rows), "nodes"
    return answers.report(
        {"node accuracy": accuracy(labels, guesses, rows), "ECE": bins.error},
        labels=tuple(task.labels), classes=per_class(matrix), confusion=matrix, plots=drawn,
        details={"nodes": name or "all whose label is known"},
    )  # fmt: skip
