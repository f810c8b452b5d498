"""What both wires share: the models, what was configured, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kerazoo.serve.access import Access
from kerazoo.serve.budget import Budget
from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models.catalogue import Models
from kerazoo.serve.models.inference import Rules
from kerazoo.serve.models.servable import Handle, Servable, Spec
from kerazoo.serve.wire import status

T = TypeVar("T")


QUICK = 0.001
"""Seconds; to hand a request to a thread and its answer back costs a few tenths of this when all are busy."""

SHORT = 1 << 16
"""Bytes; what is longer takes its time to be read."""

SMOOTH = 1 / 32
"""What one request weighs in the mean of a model's times: one that was interrupted must not decide."""


@dataclass
class Paces:
    """Which models answer so fast that handing their requests to a thread would cost more than the answers."""

    means: dict[str, float] = field(default_factory=dict)

    def quick(self, name: str, size: int) -> bool:
        """Whether a request of so many bytes is better answered where it came in."""
        return size <= SHORT and self.means.get(name, QUICK) < QUICK

    def note(self, name: str, servable: Servable, seconds: float) -> None:
        """Remembers one request. Threads may overwrite each other's; that costs a request more or less."""
        if servable.light:
            self.means[name] = (1 - SMOOTH) * self.means.get(name, seconds) + SMOOTH * seconds
        else:
            self.means.pop(name, None)  # There may have been a version that was light.


@dataclass(frozen=True)
class Service:
    """A server's models, and how requests on them are judged and counted.

    Attributes:
        as_content: Whether gRPC answers come as `tensor_content` instead of typed fields.
        access: Who may ask.
        budget: What all requests on both wires together hold.
    """

    models: Models
    rules: Rules = Rules()
    metrics: Metrics = field(default_factory=Metrics)
    as_content: bool = False
    paces: Paces = field(default_factory=Paces)
    access: Access = Access()
    budget: Budget = field(default_factory=Budget)

    def answered(self, spec: Spec, api: str, entrypoint: str, ask: Callable[[Handle], tuple[T, float]]) -> T:
        """What `ask` makes of the version that a request means, which stays loaded meanwhile.

        Notes the microseconds of the whole, and those that `ask` says the model took, where it goes well.

        Raises:
            Status: There is no such version, or `ask` raises it.
        """
        start = time.perf_counter()
        model, version = self.models.acquire(spec)
        servable = version.servable
        try:
            found, seconds = ask(Handle(spec.name, version.number, servable))
        finally:
            model.release(version)
            whole = time.perf_counter() - start
            self.paces.note(spec.name, servable, whole)
        self.metrics.runtime.observe(spec.name, api, servable.engine, value=seconds * 1e6)
        self.metrics.latency.observe(spec.name, api, entrypoint, value=whole * 1e6)
        return found

    def counted(self, name: str, ask: Callable[[], T]) -> T:
        """Counts one request by how it ends, under the model's name; under none where there never was such a model."""
        code = "OK"
        try:
            return ask()
        except Exception as error:
            code = status.of(error).code
            raise
        finally:
            # Anyone can ask for any name: a series for each would take memory without end.
            self.metrics.requests.add(name if self.models.known(name) else "", code)
