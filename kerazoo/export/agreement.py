"""How far two networks say the same, in the measure of the task: what quantised artefacts are held to.

`measure(task)` names it; `of(task, expected, got)` is one number for one response, the higher the nearer. A task may
have an `agreement(expected, got)` of its own, as classifiers do (the share of equal first classes); else it is that of
the media of its first response port: overlap of masks, signal to noise of pictures, equal words, the cosine of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerazoo import codecs
from kerazoo.contract import Network, Task, Tensors


@dataclass(frozen=True)
class Measure:
    """What is measured.

    Attributes:
        name: For people.
        enough: What an artefact must reach where nobody says anything else.
    """

    name: str
    enough: float

    def shown(self, value: float) -> str:
        return f"{self.name} {value:.3f}"


def measure(task: Task) -> Measure:
    """The measure of a task."""
    owner: Any = task if hasattr(task, "agreement") else codecs.of(task.response[0])
    name, enough = owner.AGREES
    return Measure(name, enough)


def of(task: Task, expected: Tensors, got: Tensors) -> float:
    """How far two responses agree.

    Raises:
        GateError: They cannot be compared.
    """
    own: Callable[[Tensors, Tensors], float] | None = getattr(task, "agreement", None)
    if own is not None:
        return own(expected, got)
    port = task.response[0]
    return float(codecs.of(port).agreement(expected[port.name], got[port.name]))


def between(task: Task, network: Network, asked: Iterable[tuple[Tensors, Tensors]]) -> float:
    """The average agreement of a network's answers with expected ones.

    Args:
        asked: Requests with the responses that are expected.
    """
    return float(np.mean([of(task, expected, task.answer(network, request)) for request, expected in asked]))
