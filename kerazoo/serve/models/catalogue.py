"""Every model of a server: its configuration, the folders it watches, and the way from a request to a version."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo.serve import budget
from kerazoo.serve.models import folders
from kerazoo.serve.models.servable import Handle, Spec
from kerazoo.serve.models.versions import Load, Model, Retries, Version, wanted
from kerazoo.serve.wire.status import Status, invalid

log = logging.getLogger("kerazoo.serve")

PLATFORM = "tensorflow"


@dataclass(frozen=True)
class Watch:
    """How models are loaded and watched.

    Attributes:
        poll_seconds: Between two looks at the folders; 0 looks once, a negative number never.
        retries: For versions that fail to load.
        labels_ahead: Whether a label that is not in use may point at a version that is not ready.
    """

    poll_seconds: float = 1.0
    retries: Retries = Retries()
    labels_ahead: bool = False


@dataclass
class Models:
    """The models of a server. Every method may be called from any thread."""

    load: Load
    watch: Watch = Watch()
    models: dict[str, Model] = field(default_factory=dict)
    gone: dict[str, Model] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    configuring: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    # --- for requests ---

    @contextlib.contextmanager
    def hold(self, spec: Spec) -> Iterator[Handle]:
        """The version that a request means, kept loaded while the block runs.

        Raises:
            Status: No model of that name, or no such version or label is ready.
        """
        model, version = self.acquire(spec)
        try:
            yield Handle(spec.name, version.number, version.servable)
        finally:
            model.release(version)

    def acquire(self, spec: Spec) -> tuple[Model, Version]:
        """As `hold`, where the caller calls `release` of the model with the version."""
        number = spec.version if spec.label is None else self._labelled(spec)
        model = self.models.get(spec.name)
        version = model.acquire(number) if model is not None else None
        if model is None or version is None:
            raise _not_found(spec.name, number)
        return model, version

    def _labelled(self, spec: Spec) -> int:
        number = self.labels.get(spec.name, {}).get(str(spec.label))
        if number is None:
            raise invalid(f"Unrecognized servable version label: {spec.label}")
        return number

    def states(self, name: str, version: int | None = None) -> list[tuple[int, str, Status | None]]:
        """Number, state and error of the versions that were ever seen, highest first.

        Raises:
            Status: There never was such a model or version.
        """
        model = self.models.get(name) or self.gone.get(name)
        found = model.states() if model else []
        if version is not None:
            found = [state for state in found if state[0] == version]
            if not found:
                raise Status("NOT_FOUND", f"Could not find version {version} of model {name}")
        if not found:
            raise Status("NOT_FOUND", f"Could not find any versions of model {name}")
        return found

    def known(self, name: str) -> bool:
        """Whether there is, or was, such a model."""
        return name in self.models or name in self.gone

    def ready(self) -> bool:
        """Whether every configured model has a version that answers."""
        with self.lock:
            return all(model.ready() for model in self.models.values())

    # --- configuration ---

    def configure(self, configs: Iterable[Any], deadline: float | None = None) -> None:
        """Puts `ModelConfig` messages in the place of those before, and waits until new names are ready.

        Models that are not named any more are unloaded. Nothing is changed where the configuration is refused.

        Args:
            deadline: `time.monotonic()` at which waiting ends.

        Raises:
            Status: The configuration is refused, or a new model did not become ready.
        """
        with self.configuring:
            named = _checked(configs, self.configs)
            labels = {name: dict(config.version_labels) for name, config in named.items()}
            with self.lock:
                self._check_labels(labels)
                new = [name for name in named if name not in self.models]
                for name in [name for name in self.models if name not in named]:
                    self.gone[name] = self.models.pop(name)
                    self.gone[name].close()
                for name in new:
                    self.models[name] = Model(name, self.load, self.watch.retries)
                    self.gone.pop(name, None)
                self.configs, self.labels = named, labels
                awaited = [self.models[name] for name in new]
            if self.watch.poll_seconds >= 0:
                self.look()
        # Whoever waits for a folder that may never come must not keep the next configuration out.
        self._await(awaited, deadline)

    def _check_labels(self, labels: Mapping[str, Mapping[str, int]]) -> None:
        for name, wanted_labels in labels.items():
            for label, number in wanted_labels.items():
                model, before = self.models.get(name), self.labels.get(name, {}).get(label)
                free = self.watch.labels_ahead and before in (None, number)
                if not free and (model is None or not model.ready(number)):
                    raise Status(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {number} of model {name}, which is not currently "
                        "available for inference",
                    )

    def _await(self, models: Iterable[Model], deadline: float | None) -> None:
        for model in models:
            while not self.stopped.is_set():
                budget.check()
                if self.models.get(model.name) is not model:
                    raise Status("ABORTED", f"Another configuration without {model.name} took the place of this one.")
                failed = [(n, error) for n, state, error in model.states() if state == "END" and error is not None]
                if model.ready() and model.settled():
                    break
                if failed and model.settled():
                    raise Unready([(model.name, *failed[0])])
                if deadline is not None and time.monotonic() > deadline:
                    raise Status("DEADLINE_EXCEEDED", "Deadline Exceeded")
                with model.changed:
                    model.changed.wait(0.05)

    # --- the folders ---

    def look(self) -> None:
        """Looks at every model's folder once and says which versions are wanted."""
        with self.lock:
            pairs = [(model, self.configs[name]) for name, model in self.models.items()]
        for model, config in pairs:
            found = folders.versions(Path(config.base_path))
            if found is None:
                # A folder that is away for a moment must not cost a model that answers.
                log.warning("Could not find base path %s for servable %s", config.base_path, model.name)
                continue
            if not found:
                log.warning(
                    "No versions of servable %s found under base path %s. Did you forget to name your leaf directory "
                    "as a number (eg. '/1/')?", model.name, config.base_path,
                )  # fmt: skip
            model.want(wanted(config.model_version_policy, found))

    def watch_folders(self) -> None:
        """Looks again and again, in a thread of its own, until `close`."""
        if self.watch.poll_seconds > 0:
            threading.Thread(target=self._watch, name="folders", daemon=True).start()

    def _watch(self) -> None:
        while not self.stopped.wait(self.watch.poll_seconds):
            try:
                self.look()
            except Exception:
                log.exception("Looking at the models' folders failed")

    def close(self, seconds: float = 30.0) -> None:
        """Unloads all models, each after its last request; gives up waiting after that many seconds."""
        self.stopped.set()
        with self.lock:
            models = list(self.models.values())
        for model in models:
            model.close()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(model.settled() for model in models):
            time.sleep(0.02)


class Unready(Status):
    """Models that did not become ready, and why."""

    def __init__(self, failures: list[tuple[str, int, Status]], what: str = "model") -> None:
        rows = "".join(f"{{{{name: {n} version: {v}}} due to error: {error}}}, " for n, v, error in failures)
        super().__init__("UNKNOWN", f"{len(failures)} {what}(s) did not become available: {{{rows}}}")
        self.failures = failures


def _not_found(name: str, number: int | None) -> Status:
    which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return Status("NOT_FOUND", f"Servable not found for request: {which}")


def _checked(configs: Iterable[Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The configs by name.

    Raises:
        Status: One of them is refused.
    """
    named: dict[str, Any] = {}
    for config in configs:
        name = config.name
        if name in named:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
        if config.model_type and config.model_platform:
            raise invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {name}"
            )
        if not config.model_type and not config.model_platform:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {name}"
            )
        platform = config.model_platform or (PLATFORM if config.model_type == 1 else "other")
        was = before[name].model_platform or PLATFORM if name in before else platform
        if platform != was:
            raise invalid(f"Illegal to change a model's platform. For model {name} from {was} to {platform}")
        if platform != PLATFORM:
            raise invalid(f"Model {name} requests unsupported platform {platform}")
        if not Path(config.base_path).is_absolute():
            raise invalid(f"Expected model {name} to have an absolute path or URI; got base_path()={config.base_path}")
        named[name] = config
    return named
