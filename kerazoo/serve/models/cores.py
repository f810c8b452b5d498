"""The machine's cores, and the networks that run on them: all cores for one request, or one core each for several."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kerazoo.contract import Network
from kerazoo.engines import open_network
from kerazoo.formats import Format


def available() -> int:
    """Cores that this process may use: those it is bound to, or fewer where its container is given less time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(min(bound, math.ceil(int(quota) / int(period))), 1)  # "max" is no number: no limit.
    return bound


@dataclass
class Cores:
    """Hands cores to requests: all of them to one that is alone, one each to those that come together.

    All models of a server share one of these.
    """

    count: int = field(default_factory=available)
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.free = threading.Semaphore(self.count)

    @contextlib.contextmanager
    def taken(self) -> Iterator[bool]:
        """Waits for a core; says whether nobody else is running or waiting."""
        with self.lock:
            alone = self.running == 0
            self.running += 1
        try:
            with self.free:
                yield alone
        finally:
            with self.lock:
                self.running -= 1


@dataclass
class Crew:
    """The same network several times: one with all cores, and narrow ones for requests that share the machine.

    Every network runs for many threads at once; the narrow one is handed out as often as there are cores.
    """

    cores: Cores
    wide: queue.SimpleQueue[Network] = field(default_factory=queue.SimpleQueue)
    narrow: queue.SimpleQueue[Network] = field(default_factory=queue.SimpleQueue)

    @contextlib.contextmanager
    def hired(self) -> Iterator[Network]:
        """A network that nobody else uses meanwhile, and the core for it."""
        with self.cores.taken() as alone:
            pool = self.narrow
            network = None
            if alone:
                with contextlib.suppress(queue.Empty):
                    network, pool = self.wide.get_nowait(), self.wide
            if network is None:
                network = self.narrow.get()
            try:
                yield network
            finally:
                pool.put(network)


def crew(form: Format, path: Path, cores: Cores) -> Crew:
    """Opens a file twice: for one request on all cores, and for several on one core each.

    A SavedModel is opened once: TensorFlow's threads are those of the process.

    Raises:
        KerazooError: The engine cannot open it.
    """
    made = Crew(cores)
    if not form.whole:
        made.wide.put(open_network(form.engine, path, cores.count)[0])
    shared = open_network(form.engine, path, 1)[0]
    for _ in range(cores.count):
        made.narrow.put(shared)
    return made
