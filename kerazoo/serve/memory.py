"""Giving memory back to the system, which the allocator would keep for later."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
import time

PAUSE = 1.0
"""Seconds between two times that `trim` does something: it stops every thread that wants memory for a moment."""

_last = 0.0
_lock = threading.Lock()


def give_back() -> None:
    """Collects what nobody uses, and gives freed memory back."""
    gc.collect()
    _trim()


def trim() -> None:
    """Gives freed memory back, unless that was done just now."""
    global _last
    with _lock:
        if time.monotonic() - _last < PAUSE:
            return
        _last = time.monotonic()
    _trim()


def _trim() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
