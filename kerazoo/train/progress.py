"""What a training says while it runs: a bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from kerazoo.train.recipe import Recipe
from kerazoo.train.state import State


class Progress:
    """Shows a training; a context manager."""

    def __init__(self, recipe: Recipe, say: Callable[[str], Any] | None) -> None:
        self._recipe = recipe
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))
        self._bar: Any = None
        if say is None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=recipe.steps)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, state: State) -> None:
        if self._bar:
            means = {name: total / state.index for name, total in state.sums.items()}
            head = f"epoch {state.epoch + 1}/{self._recipe.epochs} {told(means)}"
            self._bar.update(self._task, description=head, completed=state.index)

    def epoch(self, state: State, row: Mapping[str, float]) -> None:
        figures = {name: value for name, value in row.items() if name != "seconds"}
        line = f"epoch {state.epoch}/{self._recipe.epochs} {told(figures)} {row['seconds']:.0f} s"
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            self._say(line)


def told(figures: Mapping[str, float]) -> str:
    """`loss 0.1234 accuracy 0.9876`."""
    return " ".join(f"{name} {value:.4f}" for name, value in figures.items())
