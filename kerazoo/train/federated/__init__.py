"""Learning from data that stays where it is: clients learn, and a server sees what they changed.

Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", arXiv:1602.05629.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kerazoo.errors import UsageError, near
from kerazoo.train.federated import updates
from kerazoo.train.federated.clients import SPLITS, Clients
from kerazoo.train.federated.step import Averaging
from kerazoo.train.recipe import Recipe
from kerazoo.train.schedules import Optimizer
from kerazoo.train.steps.supervised import Supervised

if TYPE_CHECKING:
    from kerazoo.train.jobs import Job

RECIPE = "federated"
"""The recipe that is meant where none is named; its epochs are rounds."""


@dataclass(frozen=True)
class Plan:
    """Who learns how much in a round, and how it travels.

    Attributes:
        clients: Among whom the data is shared out.
        fraction: Of them, drawn for each round; at least one is.
        epochs: Passes of a client over its own data.
        batch: Samples of a client's step; 0 for all at once. With one epoch that is the paper's FedSGD.
        split: A key of `SPLITS`: `iid`, or `shards`, of which each client has two, of a class each.
        update: How a change travels, see `kerazoo.train.federated.updates.read`.
        drop: How probably a client that was drawn does not answer.
        secure: Whether the server sees the sum alone, see `kerazoo.train.federated.masking`.
    """

    clients: int = 100
    fraction: float = 0.1
    epochs: int = 1
    batch: int = 10
    split: str = "iid"
    update: str = "plain"
    drop: float = 0.0
    secure: bool = False

    def __post_init__(self) -> None:
        if self.clients < 1 or self.epochs < 1 or self.batch < 0:
            raise UsageError("A federation has at least one client and one epoch, and a batch of at least 0 samples.")
        if not 0 < self.fraction <= 1 or not 0 <= self.drop < 1:
            raise UsageError("fraction is above 0 and at most 1, drop at least 0 and below 1.")
        if self.split not in SPLITS:
            raise UsageError(
                f"split={self.split} is not known; known are {', '.join(SPLITS)}.{near(self.split, SPLITS)}"
            )
        if self.secure and updates.read(self.update) != updates.PLAIN:
            raise UsageError(
                f"update={self.update} cannot be secure: the server has to unpack each change, and would see it.\n"
                "Leave out one of the two."
            )


def read(text: str) -> Plan:
    """A plan from words: `clients=100,fraction=0.1,epochs=5,batch=10`.

    Raises:
        UsageError: A word is not known, or a value does not fit.
    """
    known: dict[str, Any] = {each.name: type(each.default) for each in dataclasses.fields(Plan)}
    values: dict[str, Any] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        key, _, value = word.partition("=")
        if key not in known:
            raise UsageError(f"--federated: there is no {key!r}; there are {', '.join(known)}.{near(key, known)}")
        try:
            values[key] = value.lower() in ("", "true", "yes", "1") if known[key] is bool else known[key](value)
        except ValueError:
            raise UsageError(f"--federated: {key}={value} is no number that fits.") from None
    return Plan(**values)


def at(plan: Plan) -> Callable[[Job], Job]:
    """From a job that learns from data in one place to one that learns by this plan; an epoch of it is a round.

    Raises:
        UsageError: As of `averaging`; or the data cannot be split so.
    """

    def change(job: Job) -> Job:
        recipe, step = job.recipe, averaging(plan, job.recipe)
        clients = Clients.sharing(recipe.data, plan.clients, plan.split, plan.fraction, plan.drop, recipe.seed)
        changed = replace(recipe, data=clients, step=step, batch=len(clients))
        return replace(job, recipe=changed, notes={**job.notes, "federated": dataclasses.asdict(plan)})

    return change


def averaging(plan: Plan, recipe: Recipe) -> Averaging:
    """The step of a round in which each client learns as the recipe says.

    Raises:
        UsageError: The recipe is taught by a step that has no losses of its own to average, or by another optimiser
            than plain descent, which is what clients do.
    """
    step, optimizer = recipe.step, recipe.optimizer
    if not isinstance(step, Supervised):
        raise UsageError(f"Clients learn from known answers; {recipe.name} is taught by {type(step).__name__}.")
    if not isinstance(optimizer, Optimizer) or (
        optimizer.kind != "sgd" or optimizer.decay or optimizer.settings.get("momentum")
    ):
        raise UsageError(
            "Clients go downhill as they stand, with nothing kept from one round to the next: leave the recipe at "
            f"{RECIPE!r}, or set optimizer=sgd, momentum=0 and decay=0."
        )
    if recipe.augment is not None:
        raise UsageError("Clients learn from their data as it is: set augment=none.")
    return Averaging(step, plan.epochs, plan.batch, updates.read(plan.update), plan.secure)
