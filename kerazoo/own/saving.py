"""`kerazoo.save`: a `.keras` file that says what it does."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerazoo import seal
from kerazoo.engines import card as card_
from kerazoo.engines.card import Card
from kerazoo.errors import UsageError
from kerazoo.lazy import keras
from kerazoo.own.files import SUFFIXES, load_keras, plain_stem

_log = logging.getLogger("kerazoo")


def save(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    labels: Iterable[str] | None = None,
    task: Any = None,
    normalise: Any = None,
    metrics: Mapping[str, float] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Saves a Keras model so that everything that takes a MODEL takes the file: predict, export, evaluate, serve.

    `keras.models.load_model` opens it as ever; what the model does travels as a further member of the archive. The
    model is run once before anything is written. What is assumed about it is logged as a warning.

    Args:
        model: A functional or sequential model.
        path: The file, ending in `.keras`; an existing one is replaced.
        labels: One name a class, in the order of the model's output; `class_0`, ... by default.
        task: For a model that neither classifies pictures nor comes from a builder of Kerazoo: a task of
            `kerazoo.tasks`, or several by kind.
        normalise: What makes pixels 0..255 the model's input: a `kerazoo.codecs.image.Normalise`, or `tf` (-1..1),
            `torch`, `caffe` or `none` as in keras.applications. By default what the builder's pretrained weights want;
            nothing for a model of no builder.
        metrics: What was measured with it, such as `{"top-1": 93.4}`.
        training: How it was trained: what JSON can hold of the recipe, the data and the seed.

    Returns:
        The path.

    Raises:
        UsageError: It is not known what the model does, or what was stated does not fit.
        GateError: The model's answer holds NaN or infinity, or is the same everywhere.
    """
    from kerazoo.export import golden as golden_
    from kerazoo.own.describing import describe

    target = Path(path).expanduser()
    if target.suffix != SUFFIXES[0]:
        raise UsageError(f"{target} must end in {SUFFIXES[0]}: that is the file that Keras saves a whole model in.")
    built, assumed = describe(model, plain_stem(target), labels, task, normalise)
    goldens = golden_.goldens_of(built)
    card = Card(
        built.name,
        built.tasks,
        normalise=built.normalise,
        config=built.config,
        versions={name: importlib.metadata.version(name) for name in ("kerazoo", keras.backend.backend(), "keras")},
        goldens={name: golden_.to_card(golden) for name, golden in goldens.items()},
        metrics=dict(metrics or {}),
        training=dict(training or {}),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kerazoo-") as folder:
        new = Path(folder) / target.name
        model.save(new)
        card_.into_archive(new, card)
        seal.seal_zip(new)
        # What was written is what will be read.
        again = replace(built, keras=load_keras(new))
        _compare(goldens, golden_.goldens_of(again), again)
        os.replace(new, target)
    if assumed:
        _log.warning("%s: assumed %s.", target.name, "; ".join(assumed))
    return target


def _compare(goldens: Mapping[str, Any], again: Mapping[str, Any], built: Any) -> None:
    from kerazoo.errors import GateError
    from kerazoo.export.verify import compare

    for name, task in built.tasks.items():
        worst = max(compare(task, goldens[name].response, again[name].response, built.name).values(), default=0.0)
        if worst > 1e-4:
            raise GateError(
                f"{built.name} answers otherwise once it is saved and loaded (difference {worst:.2g}); nothing was "
                "written. Does it hold state that Keras does not save?"
            )
