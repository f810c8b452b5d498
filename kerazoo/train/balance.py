"""What to do about classes that have many more samples than others.

Buda, Maki, Mazurowski, "A systematic study of the class imbalance problem in convolutional neural networks", Neural
Networks 106, 2018, arXiv:1710.05381, section 2.2, and its measure, the area under each class's ROC curve.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerazoo.errors import UsageError, near
from kerazoo.lazy import keras
from kerazoo.train.augment import Chain
from kerazoo.train.losses import Classes, shares, with_loss
from kerazoo.train.recipe import Batch, Data, Figures, Recipe
from kerazoo.train.state import State

KINDS: Mapping[str, str] = {
    "none": "as it is",
    "over": "rare classes are repeated until all are as frequent as the most frequent",
    "under": "of each class only as many as the rarest has",
    "two_phase": "first on batches with every class equally often, then the last layer alone on the data as it is",
    "thresholds": "outputs over the classes' shares of the data",
    "weights": "samples of a class that is half as frequent count twice",
    "focal": "focal loss: what is right already counts less",
}
"""Words for `balance=`."""


@dataclass(frozen=True)
class Chosen:
    """Some samples of other data, in any order, some more than once.

    Attributes:
        data: The other data.
        rows: Their numbers there, int64 [samples].
    """

    data: Data
    rows: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fingerprint(self) -> str:
        return f"{self.data.fingerprint} {hashlib.sha256(np.ascontiguousarray(self.rows).data).hexdigest()}"

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        return self.data.batch(self.rows[rows], rng)


def resampled(labels: np.ndarray, rng: np.random.Generator, each: int) -> np.ndarray:
    """Numbers of samples so that every class has `each`: all of its own as often as they go in, and a draw of the rest.

    Args:
        labels: Class numbers [samples].
        rng: Draws what does not go in wholly.
        each: Samples a class. The largest class's number is over-sampling, the smallest's under-sampling.
    """
    rows = []
    for kind in np.unique(labels):
        own = np.flatnonzero(labels == kind)
        rows += [own] * (each // len(own)) + [rng.permutation(own)[: each % len(own)]]
    return np.sort(np.concatenate(rows))


def priors(labels: np.ndarray, classes: int) -> np.ndarray:
    """The share of each class, float32 [classes]; one without samples counts as having had one."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return (counts / counts.sum()).astype(np.float32)


@dataclass(frozen=True)
class Prior:
    """A loss whose network says `p(class | sample) / p(class)` in the end: the paper's thresholding, built in.

    While learning, the logarithms of the priors are added to the logits. That is the ordinary training of a network
    whose last bias is larger by them; what it learns to say without them is divided by the priors.

    Attributes:
        loss: Of labels and logits.
        priors: Share of each class in what is learnt from.
    """

    loss: Any
    priors: tuple[float, ...]

    def __call__(self, labels: Any, logits: Any, *more: Any) -> Any:
        return self.loss(labels, logits + np.log(np.array(self.priors, np.float32)), *more)


@dataclass(frozen=True)
class Weighted:
    """A loss in which each class has its weight.

    Attributes:
        loss: Of labels and logits, one number a sample.
        weights: Of each class.
    """

    loss: Any
    weights: tuple[float, ...]

    def __call__(self, labels: Any, logits: Any, *more: Any) -> Any:
        weight = keras.ops.sum(shares(labels, len(self.weights)) * np.array(self.weights, np.float32), axis=-1)
        return self.loss(labels, logits, *more) * weight


@dataclass(frozen=True)
class Redraw:
    """Until an epoch, batches in which every class has the same chance, in place of what was drawn.

    Attributes:
        data: What is learnt from.
        labels: The class number of each sample.
        until: The first epoch whose batches stay as they are.
    """

    data: Data
    labels: np.ndarray = field(repr=False)
    until: int

    def __call__(self, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
        if epoch >= self.until:
            return batch
        drawn = rng.integers(0, len(self._members), len(batch[0]))
        return self.data.batch(np.array([rng.choice(self._members[kind]) for kind in drawn]), rng)

    @functools.cached_property
    def _members(self) -> list[np.ndarray]:
        """The samples' numbers, class by class."""
        return [np.flatnonzero(self.labels == kind) for kind in np.unique(self.labels)]


@dataclass(frozen=True)
class TwoPhase:
    """A step after which, from an epoch on, only the last layer with weights has changed.

    Attributes:
        step: Of all that learns.
        first: Epochs of the first phase.
    """

    step: Any
    first: int

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        if state.epoch < self.first:
            return self.step(state, batch)
        layers = [layer for layer in state.model.layers if layer.weights]
        frozen = [layer for layer in layers[:-1] if layer.trainable]
        for layer in frozen:
            layer.trainable = False
        try:
            # What the step traces for the last layer alone is not what it traced for all.
            _, figures = self.step(replace(state, compiled=state.once("second phase", dict)), batch)
        finally:
            for layer in frozen:
                layer.trainable = True
        return state, figures


def balanced(recipe: Recipe, kind: str, labels: np.ndarray, classes: int) -> Recipe:
    """The recipe of a classifier with something done about its classes' numbers.

    Args:
        recipe: Its step has a `loss` of class numbers and logits, one number a sample.
        kind: A key of `KINDS`.
        labels: The class number of each of its data's samples.
        classes: How many there are.

    Raises:
        UsageError: There is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"balance={kind} is not known; known are {', '.join(KINDS)}.{near(kind, KINDS)}")
    counts, share = np.bincount(labels, minlength=classes), priors(labels, classes)
    step: Any = recipe.step
    if kind in ("over", "under"):
        each = counts.max() if kind == "over" else counts[counts > 0].min()
        rows = resampled(labels, np.random.default_rng((recipe.seed, classes)), int(each))
        return replace(recipe, data=Chosen(recipe.data, rows))
    if kind == "two_phase":
        first = max(1, round(recipe.epochs * 2 / 3))
        links: list[Any] = [Redraw(recipe.data, labels, first), *([recipe.augment] if recipe.augment else [])]
        return replace(recipe, augment=Chain(tuple(links)), step=TwoPhase(step, first))
    if kind == "thresholds":
        return replace(recipe, step=with_loss(step, lambda loss: Prior(loss, tuple(share.tolist()))))
    if kind == "weights":
        weights = tuple((1 / (share * classes)).tolist())
        return replace(recipe, step=with_loss(step, lambda loss: Weighted(loss, weights)))
    if kind == "focal":
        return replace(recipe, step=with_loss(step, lambda _: Classes("focal")))
    return recipe


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The area under each class's ROC curve, it against all others: how often one of its samples has the higher score.

    Args:
        labels: Class numbers [samples].
        scores: [samples, classes]; equal scores count half.

    Returns:
        float64 [classes]; NaN for a class that all samples are of, or none.
    """
    areas = np.full(scores.shape[1], np.nan)
    for kind in range(scores.shape[1]):
        mine = labels == kind
        own, others = int(mine.sum()), int((~mine).sum())
        if own and others:
            _, place, count = np.unique(scores[:, kind], return_inverse=True, return_counts=True)
            rank = np.cumsum(count) - (count - 1) / 2  # Of equals the mean of their ranks, from 1 on.
            areas[kind] = (rank[place][mine].sum() - own * (own + 1) / 2) / (own * others)
    return areas
