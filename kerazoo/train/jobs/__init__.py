"""From a source of data to a recipe, one task a file: what a training needs beyond its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.contract import Task
from kerazoo.errors import UsageError
from kerazoo.train.data import files, parallel
from kerazoo.train.recipe import Batch, Recipe
from kerazoo.train.settings import Settings
from kerazoo.train.start import Start, resized
from kerazoo.train.state import State


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        start: The model.
        sources: The data: one place, or two files of lines that belong together.
        settings: Of the training.
        seed: Of everything that is drawn.
        freeze: See `kerazoo.train.start.Network`.
        validation: A share, further sources, or `None`: a tenth, or what the source itself says.
        strict: Whether what cannot be read is refused instead of left out.
        say: Is told what is left out.
        classes: Names of all classes, where the source may lack some; `None` for those that it has.
    """

    start: Start
    sources: tuple[Path, ...]
    settings: Settings
    seed: int
    freeze: str
    validation: float | tuple[Path, ...] | None
    strict: bool
    say: Callable[[str], Any]
    classes: tuple[str, ...] | None = None

    @property
    def source(self) -> Path:
        """The one place.

        Raises:
            UsageError: There are several.
        """
        return one(self.sources, f"{self.start.word} learns from one source")

    @property
    def name(self) -> str:
        """Of the recipe."""
        return f"{Path(self.start.word).stem} on {self.sources[0].stem}"

    @property
    def parts(self) -> float | tuple[Path, ...]:
        """A share to hold out, or the sources that are measured on."""
        if self.validation is not None:
            return self.validation
        alone = len(self.sources) == 1 and files.holds_out(self.sources[0])
        return self.sources if alone else SHARE

    @property
    def held(self) -> float | Path:
        """`parts` where one source is learnt from.

        Raises:
            UsageError: There are several to measure on.
        """
        parts = self.parts
        return one(parts, f"{self.start.word} is measured on one source") if isinstance(parts, tuple) else parts

    def augmented(self, *allowed: str) -> Any:
        """The augmentation that is set.

        Args:
            allowed: Words of `kerazoo.train.settings.AUGMENTS` that suit what is learnt from.

        Raises:
            UsageError: It is none of them.
        """
        word = self.settings.augment
        if self.settings.augmented is not None and not set(word.split("+")) <= {"none", *allowed}:
            known = ", ".join(("none", *allowed))
            raise UsageError(f"augment={word} does not suit what {self.start.word} learns from; allowed are {known}.")
        return self.settings.augmented

    def sized(self) -> Any:
        """The variant's config, at the picture size that is set.

        Raises:
            UsageError: A size is set for a network whose size cannot be changed.
        """
        size = self.settings.size
        if self.start.config is None or not size:
            if size:
                raise UsageError(f"size={size}: {self.start.word} is of no builder here, and keeps its own size.")
            return self.start.config
        return resized(self.start.config, size)


SHARE = 0.1
"""Is held out where nothing is said."""


def one(sources: tuple[Path, ...], what: str) -> Path:
    if len(sources) != 1:
        raise UsageError(f"{what}; {len(sources)} were given: {', '.join(map(str, sources))}.")
    return sources[0]


def share(count: int, part: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the samples to learn from, and of those to measure on; at least one stays to learn from."""
    order = np.random.default_rng((seed, 0x5EED)).permutation(count)
    held = min(round(part * count), count - 1)
    return np.sort(order[held:]), np.sort(order[:held])


def pairs(asked: Request) -> tuple[list[parallel.Pair], list[parallel.Pair]]:
    """Sentences with their translations to learn from, and those to measure on.

    Raises:
        UsageError, InputError: The sources are no parallel text.
    """
    found, parts = parallel.read(asked.sources), asked.parts
    if isinstance(parts, tuple):
        return found, parallel.read(parts, "held out")
    kept, rows = share(len(found), parts, asked.seed)
    return [found[row] for row in kept], [found[row] for row in rows]


def alike(augment: Any, batch: Batch, rng: np.random.Generator, epoch: int) -> Batch:
    """The same done to every array of a batch: each gets a generator that draws what the others' drew.

    Args:
        augment: For batches of pictures [batch, height, width, channels]; masks may lack the last axis.
    """
    if augment is None:
        return batch
    seed = int(rng.integers(2**63))

    def done(array: np.ndarray) -> np.ndarray:
        whole = array if array.ndim == 4 else array[..., None]
        (changed,) = augment((whole,), np.random.default_rng(seed), epoch)
        return changed if array.ndim == 4 else changed[..., 0]

    return tuple(done(array) for array in batch)


@dataclass(frozen=True)
class Job:
    """What a training is made of.

    Attributes:
        recipe: To run.
        tasks: What the trained network does.
        normalise: What its card says is done to pixels first.
        notes: What else the card tells of the data.
        finish: Makes of the trained network the one that is kept.
        assemble: Makes the trained network of the state, where that has several models.
    """

    recipe: Recipe
    tasks: Mapping[str, Task]
    normalise: Any
    notes: Mapping[str, Any]
    finish: Callable[[Any], Any] | None = None
    assemble: Callable[[State], Any] | None = None
