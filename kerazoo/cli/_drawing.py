"""What is drawn from seeds: many at once, from one to another, in one file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import click
import numpy as np

from kerazoo import drawing
from kerazoo.cli import _output
from kerazoo.cli._inputs import category_port
from kerazoo.contract import Result, Task
from kerazoo.errors import UsageError, near
from kerazoo.inputs import Source
from kerazoo.tasks.sample import Sample

FRAMES = 16


@dataclass(frozen=True)
class Drawing:
    """What was typed.

    Attributes:
        seeds: To draw; of a walk the first.
        last: The seed that a walk ends at.
        frames: Of a walk.
        temperature: What noise is multiplied with.
        labels: Classes, of each of which all this is drawn; none leaves that to the model.
    """

    seeds: tuple[int, ...]
    last: int | None = None
    frames: int = FRAMES
    temperature: float = 1.0
    labels: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return (len(self.seeds) if self.last is None else self.frames) * max(1, len(self.labels))

    @property
    def plain(self) -> bool:
        """Whether seeds are all that is asked."""
        return self.last is None and self.temperature == 1.0

    def given(self, task: Task) -> list[dict[str, str]]:
        """What fills the port of a class, one label after the other."""
        return [{str(category_port(task)): label} for label in self.labels] or [{}]

    def sources(self, task: Task) -> Iterator[Source]:
        """Noise of each picture, for the task that `drawing.from_noise` makes."""
        sampled = cast(Sample, task)
        for given in self.given(task):
            named = [f"{name}={label}" for name, label in given.items()]
            for label, seed, noise in self._noises(sampled.latents, "seed " if given else ""):
                told = given or sampled.turn(seed)
                yield Source(", ".join([*named, label]), functools.partial(_filled, noise, told))

    def _noises(self, latents: int, before: str) -> Iterator[tuple[str, int, Callable[[], Any]]]:
        """The name of each picture, the seed that it begins from, and what makes its noise."""
        if self.last is None:
            for seed in self.seeds:
                yield f"{before}{seed}", seed, functools.partial(drawing.noise, latents, seed, self.temperature)
            return
        steps = drawing.walk(latents, self.seeds[0], self.last, self.frames, self.temperature)
        digits = len(str(self.frames))
        for number, step in enumerate(steps, 1):
            label = f"{self.seeds[0]} to {self.last}, {number:0{digits}d} of {self.frames}"
            yield label, self.seeds[0], functools.partial(np.asarray, step)


def _filled(noise: Callable[[], Any], told: Mapping[str, str]) -> dict[str, Any]:
    return {"noise": noise(), **told}


def asked(
    task: Task,
    seeds: tuple[int, ...],
    count: int | None,
    last: int | None,
    frames: int | None,
    temperature: float,
    labels: tuple[str, ...] = (),
) -> Drawing:
    """What was typed, held against what the model does.

    Raises:
        UsageError: It does not go together; the message says what does.
    """
    given = {"--count": count, "--to-seed": last, "--frames": frames, "--temperature": temperature}
    first = next((name for name, value in given.items() if value is not None and value != 1.0), None)
    if first is not None and not isinstance(task, Sample):
        raise UsageError(f"{first} is for models that draw from a seed; this one does {task.kind}.")
    if frames is not None and last is None:
        raise click.UsageError("--frames are those from --seed to --to-seed; both are needed.")
    if last is not None and (count is not None or len(seeds) != 1):
        raise click.UsageError("--to-seed goes from one seed to another: give one --seed, and no --count.")
    if count is not None:
        if len(seeds) > 1:
            raise click.UsageError("--count goes on from one seed: give one --seed, or none for 0.")
        start = seeds[0] if seeds else 0
        seeds = tuple(range(start, start + count))
    for label in labels:
        _known(task, label)
    return Drawing(seeds or (0,) * bool(labels), last, frames or FRAMES, temperature, labels)


def _known(task: Task, label: str) -> None:
    if not isinstance(task, Sample) or not task.labels:
        raise UsageError(f"--label {label}: that is for models that draw what is asked for; this one knows no labels.")
    if label not in task.called:
        raise UsageError(f"--label {label}: no such label; there are {task.some}.{near(label, task.labels)}")


@dataclass
class OneFile:
    """Many pictures in one file: a grid, or a film.

    Attributes:
        path: Of the file, which is written at the end, whole or not at all.
        make: From the pictures to its bytes.
    """

    path: Path
    make: Callable[[Sequence[bytes]], bytes]
    pictures: list[bytes] = field(default_factory=list)

    def __call__(self, label: str, result: Result) -> dict[str, str]:
        """Takes a picture in; where it will lie, by its key."""
        ((name, data),) = result.files().items()
        self.pictures.append(data)
        return {Path(name).stem: str(self.path)}

    def close(self) -> str:
        """Writes the file, and says what it is."""
        if not self.pictures:
            return ""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _output.write(self.path, self.make(self.pictures))
        return f"{self.path}\t{len(self.pictures)} pictures"


def one_file(asked: Drawing, task: Task, path: Path) -> OneFile | None:
    """Where the name is a file's and not a folder's, what writes all pictures into it.

    Raises:
        UsageError: Nothing of several pictures is written into a file that ends so, or there are too many of them.
    """
    suffix = path.suffix.lower()
    if asked.count < 2 or not suffix or path.is_dir() or not isinstance(task, Sample):
        return None
    known = tuple(drawing.FILMS) if asked.last is not None else (".png",)
    if suffix not in known:
        what = "moving pictures" if asked.last is not None else "a grid"
        raise UsageError(f"-o {path}: {what} can be {', '.join(known)}; a folder gets a file each: -o drawn/")
    drawing.room(task, asked.count)
    # Of several classes each has a row.
    columns = len(asked.seeds) if len(asked.labels) > 1 else None
    grid = functools.partial(drawing.grid, columns=columns)
    return OneFile(path, grid if asked.last is None else functools.partial(drawing.film, suffix=suffix))
