"""One graph, of whose nodes some are labelled."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs import graph
from kerazoo.errors import UsageError
from kerazoo.ops import numpy as ops
from kerazoo.tasks import nodes
from kerazoo.train.data import planetoid
from kerazoo.train.recipe import Batch

SPLITS = ("train_idx", "val_idx", "test_idx")


@dataclass(frozen=True)
class Graph:
    """A graph with labels; one graph is one batch.

    Attributes:
        features: float32 [nodes, F], rows summing to 1.
        edges: int64 [n, 2].
        labels: int64 [nodes], -1 where it is not known.
        known: The numbers of the nodes whose labels are learnt from.
    """

    features: np.ndarray
    edges: np.ndarray
    labels: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return 1

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for array in (self.features, self.edges, self.labels, self.known):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @functools.cached_property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """What a graph network takes: features, source, target and weight."""
        return (self.features, *nodes.normalised(ops, self.edges, len(self.features)))

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Features, source, target, weight, labels, and 1.0 for each node that is learnt from, else 0.0."""
        mask = np.zeros(len(self.features), np.float32)
        mask[self.known] = 1.0
        return *self.inputs, np.maximum(self.labels, 0), mask


def read(path: Path) -> tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]:
    """A graph file (see `kerazoo.codecs.graph.loads`) with `labels` [nodes], and the nodes of each split.

    Or one of the eight files of a graph of Planetoid's, which stands for all: `ind.pubmed.graph`.

    Raises:
        InputError, UsageError: It is no graph, or its labels or splits do not fit.
    """
    if planetoid.is_one(path):
        found, named = planetoid.read(path)
        return {**found, "features": nodes.shares(ops, found["features"])}, named
    found = dict(graph.unpack(str(path), ()))
    found["features"] = nodes.shares(ops, found["features"])
    with np.load(path, allow_pickle=False) as stored:
        if "labels" not in stored.files:
            raise UsageError(f"{path} has no labels to learn from: it must hold `labels`, one number a node.")
        found["labels"] = stored["labels"].astype(np.int64)
        splits: dict[str, Any] = {name: stored[name] for name in SPLITS if name in stored.files}
    count = len(found["features"])
    if found["labels"].shape != (count,) or found["labels"].min() < -1:
        raise UsageError(f"{path}: labels must be one number of a class for each of {count} nodes, -1 where unknown.")
    for name, rows in splits.items():
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.size == 0 or rows.min() < 0 or rows.max() >= count:
            raise UsageError(f"{path}: {name} must be numbers of nodes, 0 to {count - 1}.")
        if found["labels"][rows].min() < 0:
            raise UsageError(f"{path}: {name} names a node whose label is not known.")
    return found, splits
