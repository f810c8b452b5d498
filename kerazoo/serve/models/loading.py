"""From a version's folder to a version that answers: its engine, its batching, its warm-up."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models import batching, engines, folders, session, warmup
from kerazoo.serve.models.cores import Cores
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.models.versions import Load


@dataclass(frozen=True)
class Batching:
    """TF Serving's batching in the place of the adaptive one.

    Attributes:
        parameters: Of every model.
        own: Whether the parameters are those in each version's folder instead, and versions without are not batched.
    """

    parameters: batching.Parameters = batching.Parameters()
    own: bool = False

    def of(self, folder: Path) -> batching.Parameters | None:
        """The parameters of one version; `None` where it is not batched."""
        return batching.of_version(folder) if self.own else self.parameters


@dataclass(frozen=True)
class Loading:
    """How versions are loaded.

    Attributes:
        engine: For bundles: `auto`, or the one that is forced.
        precision: For bundles: `auto` stays in floats where they have any; or one of `kerazoo.formats.PRECISIONS`.
        batching: TF Serving's, where it was asked for; without it bundles batch as far as it helps.
        warmup: Whether recorded requests are replayed, and `warmup_times` how often.
        exact_pixels: Whether bundles decode large pictures whole, whatever their cards say.
        cores: How many bundles may use; `None` for all that the process has.
    """

    engine: str = "auto"
    precision: str = "auto"
    session: session.SessionOptions = session.DEFAULTS
    batching: Batching | None = None
    warmup: bool = True
    warmup_times: int = 0
    exact_pixels: bool = False
    cores: int | None = None


def loader(how: Loading, metrics: Metrics) -> Load:
    """What loads the versions of one server; they share its cores."""
    cores = Cores() if how.cores is None else Cores(how.cores)

    def load(name: str, version: int, folder: Path) -> Servable:
        def seen(rows: int) -> None:
            metrics.batch_size.observe(name, value=rows)

        folders.check(folder)
        if engines.is_bundle(folder):
            servable = engines.load(folder, how.engine, how.session, seen, cores, how.exact_pixels, how.precision)
        else:
            # A copy that is under way may bring its card last.
            servable = replace(session.load(folder, how.session), outdated=lambda: engines.is_bundle(folder))
        try:
            parameters = how.batching.of(folder) if how.batching is not None else None
            if parameters is not None:
                servable = batching.batched(servable, parameters, seen)
            if how.warmup:
                began = time.perf_counter()
                if warmup.replay(servable, folder, how.warmup_times):
                    metrics.warmup.observe(str(folder), "OK", value=(time.perf_counter() - began) * 1e6)
        except BaseException:
            servable.close()
            raise
        return servable

    return load
