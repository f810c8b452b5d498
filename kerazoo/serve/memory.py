"""Giving memory back to the system, which the allocator would keep for later."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading

PAUSE = 1.0
"""Seconds between a request that took much and the giving back: others may end with it, and it stops every thread that
wants memory for a moment."""

_due = threading.Lock()


def give_back() -> None:
    """Collects what nobody uses, and gives freed memory back."""
    gc.collect()
    _trim()


def give_back_soon() -> None:
    """Gives freed memory back in a moment, once for all who ask until then."""
    if _due.acquire(blocking=False):
        timer = threading.Timer(PAUSE, _later)
        timer.daemon = True
        timer.start()


def _later() -> None:
    _due.release()
    _trim()


def _trim() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
