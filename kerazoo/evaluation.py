"""`kerazoo.evaluate`: the figures of a model on data with its truth, and whether they are those that its card says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kerazoo import engines, loading, manifest, metrics, own
from kerazoo.errors import UsageError
from kerazoo.metrics.report import Asked, Figure, Report, png
from kerazoo.own.about import info
from kerazoo.packages import needed
from kerazoo.predictor import Predictor

ENGINES = {"sample": engines.KERAS}
"""Kinds that need more of a model than its artefacts hold: what `auto` means for them."""

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def evaluate(
    model: Any,
    data: Paths,
    *,
    engine: str = "auto",
    task: str | None = None,
    batch: int = 1,
    only: str | None = None,
    languages: tuple[str, str] | None = None,
    void: int | None = None,
    strict: bool = False,
    plots: str | os.PathLike[str] | None = None,
    say: Callable[[str], Any] = lambda line: None,
    progress: Callable[[int, int], Any] = lambda done, of: None,
) -> Report:
    """Measures a model on data with its truth, by the metrics of its task's field.

    Args:
        model: What `kerazoo.load` takes, or what it gave.
        data: A path; for parallel text also two. `docs/evaluating.md` lists what each task reads.
        engine: As for `kerazoo.load`.
        task: The kind of one of the model's tasks, the default one if not given.
        batch: How many samples go through the network at once, where the task allows.
        only: A pattern of file names, for a part of a folder or archive: `Set5/*`.
        languages: Of parallel text in a folder: what is read and what is written, `("de", "en")`.
        void: The number in masks of pixels that belong to no class, 255 by default.
        strict: Whether a sample that cannot be read is refused; else it is named, left out and counted.
        plots: A folder to draw into: what people look at, by the kind of task.
        say: Is told, a line each, what people should know.
        progress: Is told how many samples are done, and of how many.

    Returns:
        `figures` by name, shares in percent; `count`, `failed`, `classes`, `confusion`, and `to_json()`.

    Raises:
        UsageError: The data is not what the task needs, or does not fit the model; the message says what does.
        InputError: Nothing of it can be read, or a sample cannot be and `strict`.
        PackageMissing: A metric or a plot needs a package that is not installed; the message has the pip line.
    """
    if plots is not None:  # Not after an hour.
        needed("matplotlib.figure")
    paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    sources = tuple(Path(path).expanduser() for path in paths)
    for source in sources:
        if not source.exists():
            raise UsageError(f"{source} is no such file or folder.")
    predictor = model if isinstance(model, Predictor) else opened(model, engine, task, say)
    kind = metrics.of(predictor.task.kind)
    if len(sources) != 1 and kind.__name__ != f"{metrics.__name__}.translate":
        raise UsageError(f"Models that do {predictor.task.kind} are measured on one source; {len(sources)} were given.")
    if void is not None and not 0 <= void <= 255:
        raise UsageError(f"void={void} is no number that a mask of one byte a pixel can hold.")
    asked = Asked(sources, batch, only, languages, void, strict, plots is not None, say, progress)
    report: Report = kind.measure(predictor, asked)
    if plots is not None:
        draw(report, Path(plots).expanduser())
    return report


def opened(
    model: Any,
    engine: str,
    task: str | None,
    say: Callable[[str], Any],
    exact_pixels: bool = True,
    **more: Any,
) -> Predictor:
    """A predictor over an engine on which this kind can be measured; `more` is what else `kerazoo.load` takes."""
    if engine == "auto" and isinstance(model, (str, os.PathLike)):
        engine = ENGINES.get(task or _kind(os.fspath(model)), engine)
    return loading.load(model, engine, say=say, task=task, exact_pixels=exact_pixels, **more)


def _kind(model: str) -> str:
    """The kind of the default task of a model of the zoo or of a .keras file with a card; of others nothing."""
    try:
        found = own.find(model, lambda line: None)
    except UsageError:  # An artefact; or what loading it will tell.
        return ""
    if isinstance(found, own.KerasFile):
        card = found.card()
        return card.task.kind if card is not None else ""
    described: Any = getattr(found, "described", None)
    return described.task if described is not None else ""


def draw(report: Report, folder: Path) -> list[Path]:
    """Writes every plot of a report, each whole or not at all; where they lie.

    Raises:
        UsageError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder for plots: {error.strerror}.") from None
    written = []
    for name, figure in report.plots.items():
        target, new = folder / name, folder / f".{os.getpid()}-{name}"
        try:
            new.write_bytes(png(figure()))
            os.replace(new, target)
        finally:
            new.unlink(missing_ok=True)
        written.append(target)
    return written


@dataclass(frozen=True)
class Comparison:
    """A figure that is said of a model, and what was measured.

    Attributes:
        metric, dataset: As it is said; the data set is `None` where that is not said.
        said: The figure.
        by: `published`, or `card` for what was measured when these weights were made.
        origin: The source that published it, or the command that measured it.
        measured: Now.
        difference: `measured - said`.
        tolerance: How much worse it may be; `None` where this figure is not judged.
        worse: Whether it is worse than that.
    """

    metric: str
    dataset: str | None
    said: float
    by: str
    origin: str | None
    measured: float
    difference: float
    tolerance: float | None
    worse: bool

    def to_json(self) -> dict[str, Any]:
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


def said(model: str, kind: str) -> list[dict[str, Any]]:
    """What is said of these weights that a kind of task can be measured by: rows of `metric`, `value` and `by`.

    Args:
        model: The name or the path of the model.
        kind: Of its task.

    Raises:
        UsageError: Nothing is.
    """
    known: Mapping[str, Figure] = metrics.of(kind).FIGURES
    rows = _said(model, getattr(metrics.of(kind), "CALLED", {}))
    mine = [row for row in rows if row["metric"] in known]
    if not mine:
        told = ", ".join(dict.fromkeys(row["metric"] for row in rows)) or "no figures"
        raise UsageError(f"The card of {model} says {told}; measured are {', '.join(known)}.")
    return mine


def against_card(model: str, report: Report, kind: str) -> list[Comparison]:
    """Holds what was measured against what is said of these weights.

    Judged are the figures that these very weights gave when they were made or entered, where there are any; figures
    of the paper, whose weights they are not, are then shown beside them. Where there are none, those are judged.

    Args:
        model: The name or the path of the model.
        report: What was measured.
        kind: Of the model's task.

    Raises:
        UsageError: Nothing is said that was measured.
    """
    known: Mapping[str, Figure] = metrics.of(kind).FIGURES
    mine = [row for row in said(model, kind) if row["metric"] in report.figures]
    own_ = {row["metric"] for row in mine if row["by"] == "card"}
    found = []
    for row in sorted(mine, key=lambda row: list(report.figures).index(row["metric"])):
        figure, measured = known[row["metric"]], float(report.figures[row["metric"]])
        judged = figure.higher is not None and (row["by"] == "card" or row["metric"] not in own_)
        tolerance = float(row.get("tolerance", figure.tolerance)) if judged else None
        difference = measured - row["value"]
        loss = -difference if figure.higher else difference
        # A figure that is not a number is none that can be tolerated.
        worse = tolerance is not None and not loss <= tolerance
        found.append(
            Comparison(
                row["metric"], row.get("dataset"), float(row["value"]), row["by"], row.get("origin"),
                measured, difference, tolerance, worse,
            )
        )  # fmt: skip
    return found


def _said(model: str, called: Mapping[str, tuple[str, float]]) -> list[dict[str, Any]]:
    """What is said of a model: of the zoo's by the manifest, of a file's by its card or, with none, of its name."""
    about = info(model)
    entry = manifest.load().get(about["name"])
    rows = []
    for name, value in about["measured"].items() if "file" in about else ():
        metric, times = called.get(name, (name, 1.0))
        rows.append({"metric": metric, "value": times * float(value), "by": "card"})
    if entry is not None and not rows:
        rows += [{**row, "by": "published", "origin": row["source"]} for row in entry.published]
        rows += [{**row, "by": "card", "origin": row["command"]} for row in entry.measured]
    return rows
