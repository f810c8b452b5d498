"""The server's log on stderr, which never stops the server: whoever reads it may stall, or have gone."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import sys
import time
from typing import Any

from kerazoo.printable import printable

MOST = 10_000
"""Lines that may wait to be written; those that come then are lost."""

PATIENCE = 1.0
"""Seconds that the last lines are waited for when the process ends."""

log = logging.getLogger("kerazoo.serve")
access = logging.getLogger("kerazoo.serve.access")


class _Waiting(logging.handlers.QueueHandler):
    """Hands lines to the thread that writes them, and never waits for it."""

    queue: queue.Queue[logging.LogRecord]

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)

    def flush(self) -> None:
        """Called once, when the process ends."""
        end = time.monotonic() + PATIENCE
        while self.queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)


class Harmless(logging.Formatter):
    """One line a record, whatever names and messages of others hold; the lines of a traceback stand apart."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"  | {printable(line)}" for line in super().formatException(ei).split("\n"))


class _Writer:
    """Writes lines to a file descriptor. No handler of `logging`, since each of those has a lock that the end of the
    process waits for."""

    level = logging.NOTSET

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.formatter = logging.Formatter("%(asctime)s %(levelname).1s %(message)s")

    def handle(self, record: logging.LogRecord) -> None:
        line = memoryview(f"{self.formatter.format(record)}\n".encode("utf-8", "replace"))
        with contextlib.suppress(OSError):
            while line:
                line = line[os.write(self.descriptor, line) :]


def log_to_stderr(with_access: bool) -> None:
    """One line an event; on request with a line for every REST request."""
    handler = _Waiting(queue.Queue(MOST))
    handler.setFormatter(Harmless("%(message)s"))
    logging.handlers.QueueListener(handler.queue, _Writer(sys.stderr.fileno())).start()  # type: ignore[arg-type]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    access.setLevel(logging.INFO if with_access else logging.WARNING)
