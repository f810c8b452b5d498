"""The versions of one model: which are on disk, which are wanted, which are loaded, and who holds them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerazoo.errors import PackageMissing
from kerazoo.serve import memory
from kerazoo.serve.models.folders import Stamp, stamp
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.wire import status as status_
from kerazoo.serve.wire.status import Status

log = logging.getLogger("kerazoo.serve")

Load = Callable[[str, int, Path], Servable]
"""(model, version, folder) -> a version that is warm and has answered its golden rightly. Raises `Status`."""


@dataclass(frozen=True)
class Retries:
    """How often a version that fails to load is tried again, and how many seconds apart."""

    most: int = 5
    seconds: float = 60.0


@dataclass
class Version:
    """One version's life: START, LOADING, AVAILABLE, UNLOADING, END.

    Attributes:
        servable: The `Servable`, while it is AVAILABLE or held.
        error: Why the last try to load it failed.
        users: How many requests hold it.
        tries, due: How often it was tried, and when it is tried again (`time.monotonic`).
        tried: What lay in the folder when it was tried last, and `looked` when it was looked at last.
        renew: Whether it is to be loaded once more, while it answers.
    """

    number: int
    folder: Path
    state: str = "START"
    error: Status | None = None
    servable: Any = None
    users: int = 0
    tries: int = 0
    due: float = 0.0
    tried: Stamp | None = None
    looked: Stamp | None = None
    renew: bool = False

    def open(self) -> bool:
        """Whether there is something left to try: it is between tries, or was unloaded in good order."""
        return self.state == "LOADING" or (self.state == "END" and self.error is None)

    def may_change(self) -> bool:
        """Whether it would be another version if its folder changed: it failed, or has become of another kind."""
        if self.state == "AVAILABLE":
            return self.servable.outdated()
        return self.error is not None and self.state in ("LOADING", "END")


def wanted(policy: Any, found: Mapping[int, Path]) -> dict[int, Path]:
    """The versions that a `ServableVersionPolicy` asks for, of those on disk; by default the latest one."""
    numbers = sorted(found)
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        numbers = [number for number in numbers if number in policy.specific.versions]
    elif choice != "all":
        numbers = numbers[-(policy.latest.num_versions or 1) :]
    return {number: found[number] for number in numbers}


@dataclass
class Model:
    """All versions of one name that this process has ever seen.

    Versions come before others go: a new one is loaded while the old ones answer, and only when one that is wanted is
    ready do those that are not stop, once their last request is done.
    """

    name: str
    load: Load
    retries: Retries
    versions: dict[int, Version] = field(default_factory=dict)
    wanted: dict[int, Path] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)
    working: bool = False
    newest: Version | None = None

    def __post_init__(self) -> None:
        self.changed = threading.Condition(self.lock)

    # --- for requests ---

    def acquire(self, number: int | None) -> Version | None:
        """The version, or the newest ready one, which stays loaded until `release`; `None` where it is not ready."""
        with self.lock:
            version = self.newest if number is None else self.versions.get(number)
            if version is None or version.state != "AVAILABLE":
                return None
            version.users += 1
            return version

    def release(self, version: Version) -> None:
        """Ends what `acquire` began."""
        with self.lock:
            version.users -= 1
            if version.state == "UNLOADING" and not version.users:
                self.changed.notify_all()

    def ready(self, number: int | None = None) -> bool:
        with self.changed:
            return any(v.state == "AVAILABLE" for v in self.versions.values() if number is None or v.number == number)

    def states(self) -> list[tuple[int, str, Status | None]]:
        """Number, state and error of every version, highest first."""
        with self.changed:
            return [(v.number, v.state, v.error) for _, v in sorted(self.versions.items(), reverse=True)]

    # --- for the manager ---

    def want(self, versions: Mapping[int, Path]) -> None:
        """Says which versions are wanted now; a thread of the model's own brings that about."""
        self._look_again(versions)
        with self.changed:
            self.wanted = dict(versions)
            self.changed.notify_all()
            if self.working or not (self._missing() or self._surplus() or self._outdated()):
                return
            self.working = True
        threading.Thread(target=self._settle, name=f"versions of {self.name}", daemon=True).start()

    def _look_again(self, versions: Mapping[int, Path]) -> None:
        """Tries versions that failed, or are of another kind now, once their folders have changed and are still."""
        with self.lock:
            asked = [(v, v.error is not None) for n in versions if (v := self.versions.get(n)) and v.may_change()]
        for version, failed in asked:
            now = stamp(versions[version.number])
            with self.changed:
                still, version.looked = now == version.looked, now
                if not still or now == version.tried:
                    continue
                if not failed:
                    version.renew = True
                elif version.state == "END" or version.due > time.monotonic():
                    version.state, version.tries, version.due = "LOADING", 0, 0.0

    def settled(self) -> bool:
        with self.changed:
            return not self.working

    def close(self) -> None:
        """Unloads everything, after the last request."""
        self.want({})

    def _missing(self) -> list[int]:
        """Wanted versions that are not there, but for those given up; the next to try last."""
        missing = [n for n in self.wanted if (v := self.versions.get(n)) is None or v.open()]
        # The newest first among those never tried: it is what requests without a version go to.
        return sorted(missing, key=lambda n: (-self._due(n), n))

    def _due(self, number: int) -> float:
        version = self.versions.get(number)
        return version.due if version is not None and version.state == "LOADING" else 0.0

    def _surplus(self) -> list[int]:
        ready = {n for n, v in self.versions.items() if v.state == "AVAILABLE"}
        surplus = ready - set(self.wanted)
        # What is wanted and not ready must not cost what still answers.
        return sorted(surplus) if not self.wanted or ready & set(self.wanted) else []

    def _outdated(self) -> list[int]:
        return [n for n in self.wanted if (v := self.versions.get(n)) and v.state == "AVAILABLE" and v.renew]

    def _settle(self) -> None:
        while True:
            with self.changed:
                self._forget()
                missing, surplus, outdated = self._missing(), self._surplus(), self._outdated()
                if not missing and not surplus and not outdated:
                    self.working = False
                    self.changed.notify_all()
                    return
                pause = self._due(missing[-1]) - time.monotonic() if missing else 0.0
                if not surplus and not outdated and pause > 0:
                    self.changed.wait(pause)
                    continue
                if outdated:
                    number, folder = outdated[0], self.wanted[outdated[0]]
                elif surplus and (not missing or pause > 0):
                    leaving, number, folder = self.versions[surplus[0]], 0, None
                else:
                    number = missing[-1]
                    folder = self.wanted[number]
            if folder is None:
                self._retire(leaving)
            else:
                self._bring(number, folder)

    def _rank(self) -> None:
        """Finds the version that requests without one go to. Called with the lock held."""
        ready = [version for version in self.versions.values() if version.state == "AVAILABLE"]
        self.newest = max(ready, key=lambda version: version.number, default=None)

    def _forget(self) -> None:
        """Ends the tries of versions that are not wanted any more."""
        for version in self.versions.values():
            if version.state == "LOADING" and version.number not in self.wanted:
                version.state = "END"

    def _bring(self, number: int, folder: Path) -> None:
        with self.changed:
            before = self.versions.get(number)
            version = before
            if version is None or version.state != "LOADING":
                version = Version(number, folder, "LOADING")
            if before is None or before.state != "AVAILABLE":
                self.versions[number], before = version, None
            else:
                before.renew = False
            version.tries += 1
        version.tried = stamp(folder)
        log.info("Loading servable version {name: %s version: %d} from %s", self.name, number, folder)
        try:
            servable = self.load(self.name, number, folder)
        except Exception as error:  # A load runs readers, graphs and warm-up; whatever it raises ends this one alone.
            self._failed(version, before, status_.of(error))
            return
        with self.changed:
            version.servable, version.error, version.state = servable, None, "AVAILABLE"
            self.versions[number] = version
            self._rank()
            self.changed.notify_all()
        log.info("Successfully loaded servable version {name: %s version: %d}", self.name, number)
        if before is not None:
            self._retire(before)

    def _failed(self, version: Version, before: Version | None, failed: Status) -> None:
        log.warning("Loading {name: %s version: %d} failed: %s", self.name, version.number, failed)
        # What does not come by waiting.
        hopeless = failed.code == "PERMISSION_DENIED" or isinstance(failed.__cause__, PackageMissing)
        with self.changed:
            if before is not None:  # It goes on answering.
                before.tried = version.tried
                return
            version.error, version.due = failed, time.monotonic() + self.retries.seconds
            version.looked = version.tried
            version.state = "LOADING" if version.tries <= self.retries.most and not hopeless else "END"
            self.changed.notify_all()

    def _retire(self, version: Version) -> None:
        with self.changed:
            version.state = "UNLOADING"
            self._rank()
            self.changed.wait_for(lambda: not version.users)
            servable, version.servable = version.servable, None
        if servable is not None:
            try:
                servable.close()
            except Exception:
                log.exception("Unloading {name: %s version: %d} failed", self.name, version.number)
        del servable
        memory.give_back()
        with self.changed:
            version.state = "END"
            self.changed.notify_all()
        log.info("Unloaded servable version {name: %s version: %d}", self.name, version.number)
