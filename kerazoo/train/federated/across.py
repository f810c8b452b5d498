"""A round whose clients learn on other machines: the server's half and a client's, over whatever carries messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kerazoo.errors import InputError, UsageError
from kerazoo.train.federated import Plan, averaging
from kerazoo.train.federated.step import Answer, Averaging, rate_of, travelling
from kerazoo.train.recipe import Batch, Figures
from kerazoo.train.state import State

if TYPE_CHECKING:
    from kerazoo.train.jobs import Job


@dataclass(frozen=True)
class Asked:
    """What a client is sent.

    Attributes:
        weights: Those of `kerazoo.train.federated.step.travelling`, from which it learns.
        seed: Its own for this round.
        rate: Learning rate.
    """

    weights: Sequence[np.ndarray]
    seed: int
    rate: float


class Link(Protocol):
    """What carries messages."""

    def clients(self) -> Sequence[int]:
        """Numbers of the clients that are there, at least one: it waits until one is."""
        ...

    def ask(self, asked: Mapping[int, Asked]) -> Mapping[int, Answer]:
        """Asks clients by their numbers; those that do not answer are missing from what it returns."""
        ...


@dataclass(frozen=True)
class Rounds:
    """The data of a server that has none to learn from: a seed a round."""

    fingerprint: str = "rounds"

    def __len__(self) -> int:
        return 1

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        return (rng.integers(2**62, size=1),)


@dataclass(frozen=True)
class Across:
    """`Averaging` over clients that a link reaches: whoever is there when the round begins may be drawn for it.

    Attributes:
        averaging: The round.
        fraction: Of the clients that are there; at least one is drawn.
        link: To the clients.
        say: Is told which client was left out, and why.
    """

    averaging: Averaging
    fraction: float
    link: Link = field(repr=False)
    say: Callable[[str], Any] = field(repr=False, default=lambda line: None)

    def __call__(self, state: State, batch: Batch) -> tuple[State, Figures]:
        rng = np.random.default_rng(np.asarray(batch[0]))
        there = sorted(self.link.clients())
        drawn = [there[place] for place in rng.permutation(len(there))[: max(1, round(self.fraction * len(there)))]]
        seeds = rng.integers(2**62, size=len(drawn)).tolist()
        weights, rate = [variable.numpy() for variable in travelling(state.model)], rate_of(state)
        sent = self.link.ask({client: Asked(weights, seed, rate) for client, seed in zip(drawn, seeds, strict=True)})
        places = {place: sent[client] for place, client in enumerate(drawn) if client in sent}
        told = self.averaging.averaged(state, places, seeds, lambda place, why: self.say(f"{drawn[place]}: {why}"))
        return state, told


def at(plan: Plan, link: Link, say: Callable[[str], Any]) -> Callable[[Job], Job]:
    """From a job of the server's own data, which is only measured on, to one that learns by this plan over a link.

    Raises:
        UsageError: As of `fitting` and `kerazoo.train.federated.averaging`.
    """

    def change(job: Job) -> Job:
        step = Across(averaging(fitting(plan), job.recipe), plan.fraction, link, say)
        notes = {"federated": {"fraction": plan.fraction, "epochs": plan.epochs, "batch": plan.batch,
                               "update": plan.update}}  # fmt: skip
        return replace(job, recipe=replace(job.recipe, data=Rounds(), step=step, batch=1), notes=notes)

    return change


def fitting(plan: Plan) -> Plan:
    """The plan, if machines can follow it.

    Raises:
        UsageError: It says what only a simulation can do.
    """
    if plan.secure:
        raise UsageError("secure=true: clients on other machines have no keys to agree on seeds by; leave it out.")
    if plan.drop or plan.split != Plan.split:
        raise UsageError("drop and split are for simulations: here each client has what it has, and answers or not.")
    return plan


def answered(step: Averaging, state: State, own: Sequence[np.ndarray], asked: Asked) -> Answer:
    """What a client sends.

    Args:
        step: The same as the server's.
        state: With a network like the server's; its weights become the server's.
        own: All its samples.

    Raises:
        InputError: These are weights of another network.
    """
    mine = travelling(state.model)
    shapes, theirs = [tuple(weight.shape) for weight in mine], [weight.shape for weight in asked.weights]
    if shapes != theirs:
        raise InputError(f"The server's network has weights {theirs}, the one here {shapes}: is it the same model?")
    for variable, weight in zip(mine, asked.weights, strict=True):
        variable.assign(weight)
    changes, loss = step.learnt(state, own, asked.seed, asked.rate)
    return Answer(len(own[0]), loss, step.encoded(state.model, changes, asked.seed))
