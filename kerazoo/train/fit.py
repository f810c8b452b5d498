"""`kerazoo.train(...)`: from a model and a source of data to a model that everything takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerazoo.engines.quiet import import_keras
from kerazoo.errors import UsageError
from kerazoo.tasks.redraw import Reconstruct
from kerazoo.tasks.sample import Sample
from kerazoo.train import federated as federated_
from kerazoo.train import product, reports
from kerazoo.train import quantize as quantize_
from kerazoo.train.find_rate import Found, range_test
from kerazoo.train.jobs import Job, Request, classify, detect, fill, nodes, redraw, sample, segment, translate, write
from kerazoo.train.run import LAST, run
from kerazoo.train.settings import chosen
from kerazoo.train.start import find
from kerazoo.train.state import full_disk
from kerazoo.train.steps.supervised import computed
from kerazoo.train.techniques import general, refuse

JOBS: Mapping[str, tuple[Callable[[Request], Job], str]] = {
    "classify": (classify.job, "scratch"),
    "detect": (detect.job, "boxes"),
    "fill": (fill.job, "gaps"),
    "nodes": (nodes.job, "graph"),
    "redraw": (redraw.job, "larger"),
    "sample": (sample.job, "noise"),
    "segment": (segment.job, "masks"),
    "translate": (translate.job, "sentences"),
    "write": (write.job, "characters"),
}
"""Kind of task -> what makes its job, and the recipe that is meant where none is named."""


def _usual(task: Any, word: str) -> str:
    """The recipe that is meant for a task, where that is another than its kind's."""
    if isinstance(task, Reconstruct):
        return "code"
    return "adversarial" if isinstance(task, Sample) and task.part == sample.GENERATOR else word


MODEL = "model.keras"


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        path: The `.keras` file with its card; everything that takes a MODEL takes it.
        figures: Of the state that was kept: means over its epoch, and `val_` ones that were measured after it.
        history: Figures of each epoch.
        folder: With the model, the states, `log.csv` and `curves.png`.
    """

    path: Path
    figures: Mapping[str, float]
    history: list[dict[str, float]]
    folder: Path


Source = str | os.PathLike[str]


def train(
    model: Source,
    data: Source | Sequence[Source],
    out: Source,
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    seed: int = 0,
    freeze: str | int = "none",
    validation: float | Source | Sequence[Source] | None = None,
    strict: bool = False,
    tensorboard: bool = False,
    devices: int = 1,
    quantize: str | None = None,
    federated: str | federated_.Plan | None = None,
    change: Callable[[Job], Job] | None = None,
    say: Callable[[str], Any] | None = None,
) -> Trained:
    """Trains a model on data of one's own.

    Args:
        model: A variant (`lenet5`: fresh weights), `variant:weights`, or a `.keras` file of one's own. Where the
            classes are others than the model's, it gets a new top; the preprocessing of its weights is kept.
        data: What suits what the model does, see docs/training.md: a folder with a folder of pictures for each class,
            pictures with masks, pictures alone, a graph, or a pair of files of sentences.
        out: A folder for the model (`model.keras`), the states, `log.csv` and `curves.png`.
        recipe: A key of `kerazoo.train.settings.RECIPES`; by default one that suits the task.
        epochs, minutes: How long; whichever ends first.
        settings: Changes of the recipe: `{"rate": 1e-4, "batch": 64}`, see `kerazoo.train.settings.Settings`.
        resume: Go on from the state in `out`.
        seed: Of weights, order, augmentation, dropout and the choice of what is held out.
        freeze: `none`; `body`, all but the top; or how many of the first layers with weights stay as they are.
        validation: A share to hold out, 0 for none, or a second source; by default what the source itself holds out,
            as in a folder `val`, else a tenth.
        strict: Refuse where a sample cannot be read, instead of leaving it out.
        tensorboard: Write event files for TensorBoard, too.
        devices: How many share each batch among them; see `kerazoo.train.devices`.
        quantize: `int8` learns with rounded weights and activations, and writes integer files beside the model: see
            `kerazoo.train.quantize`.
        federated: Learns on clients that keep their data: a plan, or its words (`clients=100,fraction=0.1,epochs=5`),
            see `kerazoo.train.federated`. Epochs are rounds then, and each is measured.
        change: From what was made of model, data and recipe to what is run in its place: how pruning comes in.
        say: Is told one line an epoch and what is left out; by default stderr is.

    Raises:
        UsageError, InputError: What is asked for does not fit together; the message says what to do.
        GateError: The loss became NaN or infinite; the last good state is kept.
        KerazooError: The disk is full; what was saved before is still there.
    """
    folder = Path(out).expanduser()
    if (folder / LAST).exists() and not resume:  # Said before the data is read.
        raise UsageError(f"{folder} holds a training already.\nGo on with --resume, or name another folder.")
    plan = federated_.read(federated) if isinstance(federated, str) else federated
    if plan is not None and (devices > 1 or quantize is not None):
        raise UsageError("Clients learn on one device each, with weights that are not rounded: leave out the other.")
    recipe = federated_.RECIPE if recipe is None and plan is not None else recipe
    made = job(
        model, data, recipe=recipe, epochs=epochs, settings=settings, seed=seed, freeze=freeze, validation=validation,
        strict=strict, say=say,
    )  # fmt: skip
    for each in (
        quantize_.at(quantize) if quantize is not None else None,
        federated_.at(plan) if plan is not None else None,
        change,
    ):
        made = each(made) if each is not None else made
    timed = replace(made.recipe, minutes=minutes)
    into = getattr(timed.measure, "into", None)
    if into is not None:  # It draws beside the log.
        timed = replace(timed, measure=into(folder))
    outcome = run(timed, folder, resume=resume, say=say, tensorboard=tensorboard, devices=devices)
    if not outcome.history:
        raise UsageError(f"minutes={minutes}: not one epoch was done; there is nothing to save.")
    figures = {name: value for name, value in outcome.figures.items() if name != "seconds"}
    kept = made.assemble(outcome.state) if made.assemble is not None else outcome.state.model
    kept = made.finish(kept) if made.finish is not None else kept
    with full_disk(folder / MODEL):
        path = product.save(kept, folder / MODEL, made.tasks, made.normalise, made.recipe, figures, made.notes)
    if quantize is not None:
        quantize_.export(path, _told(say))
    return Trained(path, figures, outcome.history, folder)


def find_rate(
    model: Source,
    data: Source | Sequence[Source],
    out: Source,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    say: Callable[[str], Any] | None = None,
    **asked: Any,
) -> Found:
    """A learning-rate range test of what `train` would do: see `kerazoo.train.find_rate`.

    Args:
        model, data: As `train` takes them.
        out: A folder, for `rates.csv` and `rates.png`.
        lowest, highest: The first rate, and the last.
        steps: From the one to the other.
        say: Is told what is left out; by default stderr is.
        asked: What else `train` takes that decides the recipe: `recipe`, `settings`, `seed`, `freeze`, ...

    Raises:
        UsageError, InputError: As of `train`.
        GateError: No rate made the loss fall.
    """
    made = job(model, data, say=say, **asked)
    found = range_test(made.recipe, lowest, highest, steps)
    reports.rates(Path(out).expanduser(), found, made.recipe.name)
    return found


def job(
    model: Source,
    data: Source | Sequence[Source],
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    freeze: str | int = "none",
    validation: float | Source | Sequence[Source] | None = None,
    strict: bool = False,
    classes: Sequence[str] | None = None,
    say: Callable[[str], Any] | None = None,
) -> Job:
    """The recipe of a training and what becomes of it; the arguments are those of `train`.

    Args:
        classes: Names of all classes of pictures, where `data` may lack some, in the order of their numbers.
    """
    import_keras()
    start = find(os.fspath(model))
    if start.kind not in JOBS:
        raise UsageError(
            f"{start.word} does {start.kind}; `kerazoo train` teaches what does {', '.join(JOBS)}.\n"
            "For another, write a recipe: kerazoo.train.Recipe and kerazoo.train.run.run take any step."
        )
    make, usual = JOBS[start.kind]
    usual = "texts" if classify.of_texts(start) else _usual(start.task, usual)
    usual = "finetune" if start.built is not None and usual == "scratch" else usual
    chosen_ = chosen(recipe or usual, {key: str(value) for key, value in (settings or {}).items()})
    if epochs is not None:
        if epochs < 1:
            raise UsageError(f"epochs={epochs} is not a positive number.")
        chosen_ = replace(chosen_, epochs=epochs)
    refuse(start.kind, chosen_)
    if classes is not None and (start.kind != "classify" or classify.of_texts(start)):
        raise UsageError(f"{start.word} classifies no pictures, so it takes no names of classes.")
    made = make(
        Request(
            start, _paths(data), chosen_, seed, _freeze(freeze), _validation(validation), strict, _told(say),
            tuple(classes) if classes is not None else None,
        )
    )  # fmt: skip
    recipe_ = computed(general(made.recipe, chosen_), chosen_.compute, _told(say))
    return replace(made, recipe=recipe_)


def _paths(given: Source | Sequence[Source]) -> tuple[Path, ...]:
    several = (given,) if isinstance(given, str | os.PathLike) else tuple(given)
    return tuple(Path(os.fspath(each)).expanduser() for each in several)


def _told(say: Callable[[str], Any] | None) -> Callable[[str], Any]:
    if say is not None:
        return say
    import sys

    return lambda line: print(line, file=sys.stderr, flush=True)


def _freeze(freeze: str | int) -> str:
    word = str(freeze)
    if word not in ("none", "body") and not word.isdecimal():
        raise UsageError(f"freeze={word} is not known; allowed are none, body and a number of layers.")
    return word


def _validation(given: Any) -> float | tuple[Path, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple):
        try:
            share = float(given)
        except (TypeError, ValueError):
            share = None  # A source.
        if share is not None:
            if not 0 <= share < 1:
                raise UsageError(f"validation={given} is no share of at least 0 and less than 1.")
            return share
    paths = _paths(given)
    for path in paths:
        if not path.exists():
            raise UsageError(f"validation={path} is neither a share such as 0.1 nor an existing file or folder.")
    return paths
