"""Folders in which something is being made: each held by a lock, so that what a killed process left can be told."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerazoo.store.paths import size_of, writing

PREFIX = ".making-"
LOCK = ".lock"


@contextlib.contextmanager
def making(folder: Path) -> Iterator[Path]:
    """A new folder within `folder`, which is made too; it is removed at the end, whatever was not moved out of it.

    `sweep` leaves it alone as long as this process lives.

    Raises:
        KerazooError: the folder cannot be written.
    """
    import filelock

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _gate(folder):
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
            lock = filelock.FileLock(path / LOCK)
            lock.acquire()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()
        shutil.rmtree(path, ignore_errors=True)  # Where an open file cannot be removed, only now.


def sweep(folder: Path) -> int:
    """Removes the folders of `making` directly within `folder` that no live process holds; the bytes freed.

    What cannot be removed stays; nothing is raised for it.
    """
    import filelock

    freed = 0
    with contextlib.suppress(OSError):
        left = [path for path in folder.glob(f"{PREFIX}*") if path.is_dir() and not path.is_symlink()]
        if not left:
            return 0
        with _gate(folder):
            for path in left:
                with contextlib.suppress(OSError), filelock.FileLock(path / LOCK, timeout=0):
                    size = size_of(path)
                    shutil.rmtree(path, ignore_errors=True)
                    freed += 0 if path.exists() else size
    return freed


@contextlib.contextmanager
def _gate(folder: Path) -> Iterator[None]:
    """Between the making of a folder and its locking nobody sweeps."""
    import filelock

    with filelock.FileLock(folder / f"{PREFIX}gate.lock"):
        yield
