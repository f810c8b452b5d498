"""One bar for all that takes long and is counted, on stderr, where a person sees it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def counting(what: str, total: int | None = None, shown: bool = True) -> Iterator[Callable[..., None]]:
    """A function that is told how many are done, and of how many once that is known.

    Args:
        what: What is counted.
        total: How many there will be; `None` where that is not known.
        shown: Whether a bar makes sense at all; it is never drawn where stderr is no terminal.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda done, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # What goes to stdout is for whoever reads it, not for the terminal.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)
