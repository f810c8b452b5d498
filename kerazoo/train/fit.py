"""`kerazoo.train(...)`: from a model and a source of data to a model that everything takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerazoo.engines.quiet import import_tensorflow
from kerazoo.errors import UsageError
from kerazoo.train import product
from kerazoo.train import quantize as quantize_
from kerazoo.train.jobs import Job, Request, classify
from kerazoo.train.run import LAST, run
from kerazoo.train.settings import chosen
from kerazoo.train.start import Start, find

JOBS: Mapping[str, tuple[Callable[[Request], Job], str]] = {
    "classify": (classify.job, "scratch"),
}
"""Kind of task -> what makes its job, and the recipe that is meant where none is named."""

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


def train(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    seed: int = 0,
    freeze: str | int = "none",
    validation: float | str | os.PathLike[str] = 0.1,
    strict: bool = False,
    say: Callable[[str], Any] | None = None,
    quantize: str | None = None,
    change: Callable[[Start, Job], Job] | None = None,
) -> Trained:
    """Trains a model on data of one's own.

    Args:
        model: A variant (`lenet5`: fresh weights), `variant:weights`, or a `.keras` file of one's own. Where the
            classes are others than the model's, it gets a new top; the preprocessing of its weights is kept.
        data: For a classifier a folder with a folder of pictures for each class, a .csv of path and label, or an .npz
            of x_train and y_train.
        out: A folder for the model (`model.keras`), the states, `log.csv` and `curves.png`.
        recipe: A key of `kerazoo.train.settings.RECIPES`; by default one that suits the task.
        epochs, minutes: How long; whichever ends first.
        settings: Changes of the recipe: `{"rate": 1e-4, "batch": 64}`, see `kerazoo.train.settings.Settings`.
        resume: Go on from the state in `out`.
        seed: Of weights, order, augmentation, dropout and the choice of what is held out.
        freeze: `none`; `body`, all but the top; or how many of the first layers with weights stay as they are.
        validation: A share of each class to hold out, 0 for none, or a second source.
        strict: Refuse where a picture cannot be read, instead of leaving it out.
        say: Is told one line an epoch and what is left out; by default stderr is.
        quantize: `int8` learns with rounded weights and activations: see `kerazoo.train.quantize`.
        change: From the model and what was made of data and recipe to what is run instead: how pruning comes in.

    Raises:
        UsageError, InputError: What is asked for does not fit together; the message says what to do.
        GateError: The loss became NaN or infinite; the last good state is kept.
    """
    import_tensorflow()
    start = find(os.fspath(model))
    kind = start.task.kind
    if kind not in JOBS:
        raise UsageError(
            f"{start.word} does {kind}; `kerazoo train` teaches what does {', '.join(JOBS)}.\n"
            "For another, write a recipe: kerazoo.train.Recipe and kerazoo.train.run.run take any step."
        )
    make, usual = JOBS[kind]
    usual = "finetune" if start.built is not None and usual == "scratch" else usual
    chosen_ = chosen(recipe or usual, {key: str(value) for key, value in (settings or {}).items()})
    if epochs is not None:
        if epochs < 1:
            raise UsageError(f"epochs={epochs} is not a positive number.")
        chosen_ = replace(chosen_, epochs=epochs)
    folder = Path(out).expanduser()
    if (folder / LAST).exists() and not resume:  # Said before the data is read.
        raise UsageError(f"{folder} holds a training already.\nGo on with --resume, or name another folder.")
    asked = Request(
        start, Path(data).expanduser(), chosen_, seed, _freeze(freeze), _validation(validation), strict, _told(say)
    )
    made = make(asked)
    if quantize is not None:
        made = quantize_.job(made, quantize)
    if change is not None:
        made = change(start, made)
    outcome = run(replace(made.recipe, minutes=minutes), folder, resume=resume, say=say)
    if not outcome.history:
        raise UsageError(f"minutes={minutes}: not one epoch was done; there is nothing to save.")
    figures = {name: value for name, value in outcome.figures.items() if name != "seconds"}
    kept = made.finish(outcome.state.model) if made.finish is not None else outcome.state.model
    path = product.save(
        kept, folder / MODEL, made.tasks, made.normalise, made.recipe, figures, made.notes
    )
    if quantize is not None:
        quantize_.export(path, say=_told(say))
    return Trained(path, figures, outcome.history, folder)


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


def _validation(validation: Any) -> float | Path:
    try:
        share = float(validation)
    except (TypeError, ValueError):
        path = Path(os.fspath(validation)).expanduser()
        if not path.exists():
            raise UsageError(
                f"validation={validation} is neither a share such as 0.1 nor an existing file or folder."
            ) from None
        return path
    if not 0 <= share < 1:
        raise UsageError(f"validation={validation} is no share of at least 0 and less than 1.")
    return share
