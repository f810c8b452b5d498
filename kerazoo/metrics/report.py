"""What is asked of a measurement, what it comes to, and what could not be read on the way."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.errors import InputError
from kerazoo.predictor import Failure, Predictor
from kerazoo.printable import printable
from kerazoo.sources.files import Sample, Say, item_of, silent

NAMED = 5
"""What could not be read is named so many times; the rest is counted."""

MATRIX = 100
"""Most classes whose confusion matrix is written out in JSON."""


@dataclass(frozen=True)
class Figure:
    """What a figure's number means.

    Attributes:
        unit: `%`, `dB`, `nats`; empty for plain numbers.
        higher: Whether more is better; `None` where it is told and never judged.
        tolerance: How much worse than what the card says it may be, in its unit.
    """

    unit: str
    higher: bool | None
    tolerance: float = 0.0


@dataclass(frozen=True)
class Asked:
    """What is asked of a measurement.

    Attributes:
        data: The sources; all kinds but parallel text take one.
        batch: How many samples go through the network at once, where the task allows.
        only: A pattern of names, see `kerazoo.sources.files.opened`.
        languages: Of parallel text in a folder: what is read, and what is written.
        void: The number in masks of pixels that belong to no class.
        strict: Whether a sample that cannot be read is refused, instead of named, left out and counted.
        plots: Whether what plots need is kept.
        say: Is told what people should know, a line each.
        progress: Is told how many are done, and of how many.
    """

    data: tuple[Path, ...]
    batch: int = 1
    only: str | None = None
    languages: tuple[str, str] | None = None
    void: int | None = None
    strict: bool = False
    plots: bool = False
    say: Say = silent
    progress: Callable[[int, int], Any] = lambda done, of: None

    @property
    def source(self) -> Path:
        return self.data[0]


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        figures: By name, in the unit that the kind's `FIGURES` says; shares are in percent.
        count: Samples that were measured.
        what: What they are, in the plural.
        failed: Why each of the others could not be measured, its name first.
        labels: Of the classes, where there are any.
        classes: Figures of each class, in the order of the labels; NaN where there are none.
        confusion: int64 [classes, classes], a row a true class and a column a guessed one.
        details: What else is worth knowing, JSON-able.
        plots: File name -> a function that draws it, a Matplotlib figure.
        seconds: The whole took.
    """

    figures: Mapping[str, float]
    count: int
    what: str
    failed: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    classes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    confusion: np.ndarray | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    plots: Mapping[str, Callable[[], Any]] = field(default_factory=dict, repr=False)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures by name, then `count`, `failed`, `seconds`, `classes` (a row each, without what is NaN),
        `confusion` up to `MATRIX` classes, and the details."""
        told: dict[str, Any] = {name: round(float(value), 4) for name, value in self.figures.items()}
        told |= {"count": self.count, "failed": len(self.failed), "seconds": round(self.seconds, 1)}
        if self.classes:
            told["classes"] = [
                {"label": label}
                | {name: _plain(values[row]) for name, values in self.classes.items() if values[row] == values[row]}
                for row, label in enumerate(self.labels)
            ]
        if self.confusion is not None and len(self.confusion) <= MATRIX:
            told["confusion"] = self.confusion.tolist()
        return told | dict(self.details)


def _plain(value: Any) -> float:
    return int(value) if isinstance(value, (int, np.integer)) else round(float(value), 4)


class Answers:
    """Samples and what a model answered, in order; goes on where one cannot be read.

    Iterating gives each sample that was answered, with its result. Whoever finds that it cannot be measured after all
    (its truth is damaged) says so by `leave_out`.

    Attributes:
        count: Samples that were measured.
        failed: Why each of the others was not.
    """

    def __init__(self, samples: Sequence[Sample], results: Iterable[Any], asked: Asked, what: str) -> None:
        self.samples, self.results, self.asked, self.what = samples, results, asked, what
        self.count = 0
        self.failed: list[str] = []
        self.start = time.perf_counter()

    def __iter__(self) -> Iterator[tuple[Sample, Any]]:
        for done, (sample, result) in enumerate(zip(self.samples, self.results, strict=True), 1):
            if isinstance(result, Failure):
                self.leave_out(sample, result.error)
            else:
                self.count += 1
                yield sample, result
            self.asked.progress(done, len(self.samples))
        if not self.count:
            first = self.failed[0] if self.failed else f"there are no {self.what}"
            where = ", ".join(map(str, self.asked.data))
            raise InputError(f"None of the {len(self.samples)} {self.what} of {where} could be measured.\n{first}")
        if self.failed:
            self.asked.say(f"{len(self.failed)} of {len(self.samples)} {self.what} could not be read and are left out.")

    def leave_out(self, sample: Sample, error: Exception, counted: bool = False) -> None:
        """Names what cannot be measured.

        Args:
            sample: That was answered, or not.
            error: Why.
            counted: Whether it was given out as answered before.

        Raises:
            InputError: Nothing may be left out.
        """
        line = " ".join(f"{printable(sample.name)}: {error}".split("\n"))
        if self.asked.strict:
            raise InputError(f"{line}\nWithout --strict it would be left out and counted.")
        self.count -= counted
        self.failed.append(line)
        if len(self.failed) <= NAMED:
            self.asked.say(f"left out {line}")

    def report(self, figures: Mapping[str, float], **more: Any) -> Report:
        """Of what was measured until now."""
        seconds = time.perf_counter() - self.start
        return Report(figures, self.count, self.what, tuple(self.failed), seconds=seconds, **more)


def ask(predictor: Predictor, samples: Sequence[Sample], asked: Asked, what: str) -> Answers:
    """A model's answers.

    Args:
        predictor: The model.
        samples: What it is asked about.
        asked: How.
        what: What the samples are, in the plural.
    """
    # Behind a function an item is one item: a predictor would open folders, and arrays that look like batches.
    items = (functools.partial(item_of, sample) for sample in samples)
    return Answers(samples, (each.result for each in predictor.stream(items, batch=asked.batch)), asked, what)


def png(figure: Any) -> bytes:
    """A Matplotlib figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
