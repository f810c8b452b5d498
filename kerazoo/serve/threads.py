"""A pool of threads that has as few as the requests let it have; and the event loops beside it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

PATIENCE = 0.005
"""Seconds that a request may wait before another thread is started."""

IDLE = 2.0
"""Seconds after which a thread that was started in a crowd ends."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which makes a tenth more requests, wherever there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Elastic(Executor):
    """Runs requests on as many threads as there are cores, and on more of them while requests have to wait.

    Threads take turns at Python's lock, so that eight of them answer quick requests at two thirds of the rate of two.
    Slow requests, on the other hand, must not keep others waiting.

    Args:
        most: Most threads.
        name: Of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self.most, self.name = max(most, 1), name
        self.least = min(os.cpu_count() or 1, self.most)
        self.work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.free = 0
        self.threads = 0
        self.taken = time.monotonic()
        self.closed = False
        self.waiting = threading.Event()
        threading.Thread(target=self._watch, name=f"{name} watch", daemon=True).start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Executor.submit`."""
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        self.work.put((future, function, args, kwargs))
        # A thread that is free has what it needs at hand; a second one, on another core, has not.
        with self.lock:
            short = not self.free and self.threads < self.least
            self.free -= bool(self.free)
        if short:
            self._start()
        if not self.waiting.is_set():
            self.waiting.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Executor.shutdown`."""
        self.closed = True
        self.waiting.set()
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while (item := self.work.get_nowait()) is not None:
                    item[0].cancel()
        for _ in range(self.most):
            self.work.put(None)
        while wait and self.threads:
            time.sleep(0.005)

    def _start(self) -> None:
        with self.lock:
            if self.threads >= self.most:
                return
            self.threads += 1
            number = self.threads
        threading.Thread(
            target=self._run, args=(number > self.least,), name=f"{self.name} {number}", daemon=True
        ).start()

    def _watch(self) -> None:
        """Starts a thread when work has lain there for a while and nobody took any."""
        while not self.closed:
            self.waiting.wait()
            time.sleep(PATIENCE)
            if self.work.empty():
                self.waiting.clear()
                if not self.work.empty():  # It came in between.
                    self.waiting.set()
            elif time.monotonic() - self.taken > PATIENCE:
                self._start()

    def _run(self, extra: bool) -> None:
        while True:
            try:
                item = self.work.get(timeout=IDLE if extra else None)
            except queue.Empty:
                item = None
            if item is None:
                with self.lock:
                    self.threads -= 1
                return
            self.taken = time.monotonic()
            future, function, args, kwargs = item
            if not future.set_running_or_notify_cancel():
                continue
            answer: Callable[[], None]
            try:
                answer = functools.partial(future.set_result, function(*args, **kwargs))
            except BaseException as error:
                answer = functools.partial(future.set_exception, error)
            with self.lock:  # Before the answer is out: it may bring the next request at once.
                self.free = min(self.free + self.work.empty(), self.threads)
            answer()
            del answer
            del item, future, function, args, kwargs
