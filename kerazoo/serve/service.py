"""What both wires share: the models, what was configured, and what is counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerazoo.serve import status
from kerazoo.serve.inference import Rules
from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models import Models
from kerazoo.serve.servable import Handle, Servable, Spec


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

    @contextlib.contextmanager
    def answering(self, spec: Spec, api: str, entrypoint: str) -> Iterator[Handle]:
        """Holds the version for one request, and notes its microseconds where it goes well."""
        start = time.perf_counter()
        with self.models.hold(spec) as handle:
            self.metrics.running.add(spec.name)
            servable = handle.servable

            def run(*asked: Any) -> dict[str, np.ndarray]:
                with self.metrics.runtime.timed(spec.name, api, servable.engine):
                    return servable.run(*asked)

            try:
                timed = Servable(servable.signatures, run, servable.close, servable.engine, servable.card)
                yield Handle(handle.name, handle.version, timed)
            finally:
                self.metrics.running.add(spec.name, by=-1)
        self.metrics.latency.observe(spec.name, api, entrypoint, value=(time.perf_counter() - start) * 1e6)

    @contextlib.contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Counts one request by how it ends."""
        try:
            yield
        except Exception as error:
            self.metrics.requests.add(name, status.of(error).code)
            raise
        self.metrics.requests.add(name, "OK")
