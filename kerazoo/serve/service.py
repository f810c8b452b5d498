"""What both wires share: the models, what was configured, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kerazoo.serve import status
from kerazoo.serve.inference import Rules
from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models import Models
from kerazoo.serve.servable import Handle, Spec

T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """A server's models, and how requests on them are judged and counted.

    Attributes:
        as_content: Whether gRPC answers come as `tensor_content` instead of typed fields.
    """

    models: Models
    rules: Rules = Rules()
    metrics: Metrics = field(default_factory=Metrics)
    as_content: bool = False

    def answered(self, spec: Spec, api: str, entrypoint: str, ask: Callable[[Handle], tuple[T, float]]) -> T:
        """What `ask` makes of the version that a request means, which stays loaded meanwhile.

        Notes the microseconds of the whole, and those that `ask` says the model took, where it goes well.

        Raises:
            Status: There is no such version, or `ask` raises it.
        """
        start = time.perf_counter()
        model, version = self.models.acquire(spec)
        try:
            engine = version.servable.engine
            found, seconds = ask(Handle(spec.name, version.number, version.servable))
        finally:
            model.release(version)
        self.metrics.runtime.observe(spec.name, api, engine, value=seconds * 1e6)
        self.metrics.latency.observe(spec.name, api, entrypoint, value=(time.perf_counter() - start) * 1e6)
        return found

    def counted(self, name: str, ask: Callable[[], T]) -> T:
        """Counts one request by how it ends."""
        try:
            found = ask()
        except Exception as error:
            self.metrics.requests.add(name, status.of(error).code)
            raise
        self.metrics.requests.add(name, "OK")
        return found
