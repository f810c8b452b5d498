"""From a source of data to a recipe, one task a file: what a training needs beyond its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerazoo.contract import Task
from kerazoo.train.recipe import Recipe
from kerazoo.train.settings import Settings
from kerazoo.train.start import Start


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        start: The model.
        source: The data.
        settings: Of the training.
        seed: Of everything that is drawn.
        freeze: See `kerazoo.train.start.Network`.
        validation: A share, or a second source.
        strict: Whether what cannot be read is refused instead of left out.
        say: Is told what is left out.
    """

    start: Start
    source: Path
    settings: Settings
    seed: int
    freeze: str
    validation: float | Path
    strict: bool
    say: Callable[[str], Any]


@dataclass(frozen=True)
class Job:
    """What a training is made of.

    Attributes:
        recipe: To run.
        tasks: What the trained network does.
        normalise: What its card says is done to pixels first.
        notes: What else the card tells of the data.
        finish: Makes of the trained network the one that is kept.
    """

    recipe: Recipe
    tasks: Mapping[str, Task]
    normalise: Any
    notes: Mapping[str, Any]
    finish: Callable[[Any], Any] | None = None
