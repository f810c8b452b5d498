"""A recipe: everything that decides what a training comes to, as data."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kerazoo.train.schedules import Constant, Optimizer, Schedule

if TYPE_CHECKING:
    from kerazoo.train.state import State

Batch = tuple[Any, ...]
"""Arrays whose first axis counts the samples, in the order that the step takes them."""

Figures = Mapping[str, float]


class Data(Protocol):
    """Samples by their numbers.

    It may have a method more, `order(size, rng)`: the numbers of all samples, in the order in which an epoch takes
    them in batches of `size`; the arrays of two batches may then differ in shape. By default they are shuffled.
    """

    def __len__(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """A hash of all samples, so that a state is not gone on with on other data."""
        ...

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The samples of these numbers, int64 [batch]; what is drawn at random in picking them comes from `rng`."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How weights are made.

    Batch number `i` of an epoch depends on the seed, the epoch and `i` alone: a training can go on from any of them,
    and batches can be made in parallel.

    Attributes:
        name: For people, and for files: `lenet5:mnist`.
        model: Makes the network, or several by name, with fresh weights or with those that training begins from.
        data: What is learnt from.
        step: From the state and a batch to the state and figures. This alone tells a classifier, an adversarial pair,
            word vectors and a federated round apart.
        optimizer: Of the one network, or of each by name.
        schedule: Its learning rate over time.
        augment: From a batch, a generator and the number of the epoch to the batch that the step gets; `None` for the
            batch as it is.
        measure: Figures of the state on data that is not learnt from; their names begin with `val_` in the log.
        every: Epochs from one measurement to the next; the last epoch is always measured.
        best: The figure that says which state is best, and `max` or `min`; `None` for the last.
        average: Weights are in the end the mean of those after so many of the last epochs (Vaswani et al.,
            arXiv:1706.03762, section 6.1, averages checkpoints); 0 for those of one state.
        stop: From the figures of the epochs so far, the oldest first, to whether the training ends here; `None` goes
            on to the last epoch.
        seed: Of the first weights, the order, the augmentation and the dropout.
        batch: Samples a step; fewer where there are fewer.
        epochs: Passes over the data.
        minutes: Stops earlier, at the end of an epoch, when so much time is spent.
    """

    name: str
    model: Callable[[], Any]
    data: Data
    step: Callable[[State, Batch], tuple[State, Figures]]
    optimizer: Optimizer | Mapping[str, Optimizer] = dataclasses.field(default_factory=Optimizer)
    schedule: Schedule = Constant(1e-3)
    augment: Callable[[Batch, np.random.Generator, int], Batch] | None = None
    measure: Callable[[State], Figures] | None = None
    every: int = 1
    best: tuple[str, str] | None = None
    average: int = 0
    stop: Callable[[Sequence[Figures]], bool] | None = None
    seed: int = 0
    batch: int = 32
    epochs: int = 10
    minutes: float | None = None

    @property
    def size(self) -> int:
        """Samples of a batch."""
        return max(1, min(self.batch, len(self.data)))

    @property
    def steps(self) -> int:
        """Batches an epoch; what is left over has its turn in another epoch's order."""
        return max(1, len(self.data) // self.size)

    def plain(self) -> dict[str, Any]:
        """What it says, for JSON."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        fields["data"] = {"samples": len(self.data), "fingerprint": self.data.fingerprint}
        return {name: _plain(value) for name, value in fields.items()}

    @property
    def identity(self) -> str:
        """A hash of what a state depends on: all but for how long, and when it is measured."""
        told = self.plain()
        for name in ("epochs", "minutes", "measure", "every", "best", "average", "stop"):
            del told[name]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value) if each.repr}
        return {"class": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, functools.partial):
        return {"call": _plain(value.func), "with": _plain([*value.args, value.keywords])}
    if hasattr(value, "fingerprint"):
        return {"fingerprint": value.fingerprint}
    return getattr(value, "__qualname__", None) or type(value).__qualname__
