"""`kerazoo.load`: from a name, a path or a `keras.Model` to a predictor, over the engine asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kerazoo import engines, formats, own, tasks
from kerazoo.contract import Task
from kerazoo.engines import safety
from kerazoo.engines.quiet import import_tensorflow
from kerazoo.errors import UsageError, WeightsDamaged, near
from kerazoo.export import prepare
from kerazoo.predictor import Predictor
from kerazoo.registry import Built

WEIGHTS_ONLY = (".h5", ".npz", ".pth", ".th", ".safetensors", ".ckpt", ".index", ".gz", ".tgz", ".zip", ".caffemodel")
"""Ends of the names of files that hold weights and no network."""


def load(
    model: Any,
    engine: str = "auto",
    say: Callable[[str], Any] = lambda line: None,
    *,
    task: Any = None,
    labels: Iterable[str] | None = None,
    normalise: Any = None,
    threads: int | None = None,
    trust: bool = False,
    precision: str = "auto",
    exact_pixels: bool = False,
) -> Predictor:
    """A predictor.

    Args:
        model: `variant`, `variant:weights`, `variant:path/to/weights`; the path of a .keras file, a SavedModel folder,
            an .onnx file (or folder of parts) or a .tflite file; or a `keras.Model`.
        engine: `auto` is the fastest verified artefact, prepared on first use; or one of `kerazoo.engines.NAMES`.
        say: Is told, a line each, what takes long and why, and what was assumed about a file without a card.
        task: The kind of one of the model's tasks, the default one if not given; for a `keras.Model` as `kerazoo.save`
            takes it.
        labels, normalise: Of a `keras.Model`, as `kerazoo.save` takes them.
        threads: Within one run on the engines onnx and litert; the machine's cores by default.
        trust: Whether the graph of a SavedModel of somebody else's may reach files, the network and other code; this
            machine remembers that.
        precision: `auto` stays in floats, and tells where something verified is faster; or one of
            `kerazoo.formats.PRECISIONS`, of which an artefact was exported on this machine.
        exact_pixels: Whether large pictures are decoded whole. Else only as far as needed, where the model's card does
            not say otherwise; a SavedModel always decodes them whole.

    Raises:
        UnknownModel, UsageError, WeightsUnavailable, WeightsDamaged, GateError: See the message.
    """
    if engine != "auto" and engine not in engines.NAMES:
        known = ("auto", *engines.NAMES)
        raise UsageError(f"Unknown engine {engine!r}; known are {', '.join(known)}.{near(engine, known)}")
    if precision not in ("auto", *formats.PRECISIONS):
        known = ("auto", *formats.PRECISIONS)
        raise UsageError(f"Unknown precision {precision!r}; known are {', '.join(known)}.{near(precision, known)}")
    in_floats = precision in ("auto", formats.FLOAT)
    if not in_floats and (engine == engines.KERAS or not isinstance(model, (str, os.PathLike))):
        raise UsageError(f"The engine {engines.KERAS} runs in {formats.FLOAT}; {precision} was asked for.")
    if not isinstance(model, (str, os.PathLike)):
        return _in_memory(model, engine, labels, task, normalise, exact_pixels)
    if labels is not None or normalise is not None:
        raise UsageError("labels and normalise are those of a keras.Model; `kerazoo card FILE` states a file's.")
    path = Path(model).expanduser()
    # Behind a colon, such a file is one of weights.
    alone = path.exists() or ":" not in str(model)
    if alone and (form := _format_of(path)) is not None:
        if trust and form.whole:
            safety.trust(path)
        return _open_artefact(path, form, engine, task, threads, exact_pixels, precision)
    if alone and str(model).endswith(WEIGHTS_ONLY):
        raise UsageError(f"{model} holds weights only: say whose, as in resnet50:{model}")
    found = own.find(model, say)
    if engine == engines.KERAS:
        import_tensorflow()
        return _keras(found.build(), task, exact_pixels)
    if not in_floats:
        return _open(
            *prepare.precise(found, precision, None if engine == "auto" else engine), task, threads, exact_pixels
        )
    try:
        return _open(*_prepared(found, engine, say), task, threads, exact_pixels)
    except WeightsDamaged as error:
        if isinstance(found, own.KerasFile):
            found.card()  # Where the file itself is damaged, that is the error.
        say(f"{str(error).splitlines()[0]} It is made again.")
        prepare.discard(found)
        return _open(*_prepared(found, engine, say), task, threads, exact_pixels)


def _prepared(found: own.Subject, engine: str, say: Callable[[str], Any]) -> tuple[formats.Format, Path]:
    """The prepared artefact of an engine, or of the fastest."""
    if engine == "auto":
        return prepare.fastest(found, say)
    form = next(form for form in formats.FORMATS.values() if form.engine == engine)
    return form, prepare.artefact(found, form, say)


def _format_of(path: Path) -> formats.Format | None:
    """The format of an artefact, which is opened as it is."""
    for form in formats.NETWORKS:
        if path.suffix == form.suffix:
            return form
    return formats.SAVED_MODEL if (path / "saved_model.pb").is_file() else None


def _open_artefact(
    path: Path,
    form: formats.Format,
    engine: str,
    task: str | None,
    threads: int | None,
    exact: bool,
    precision: str,
) -> Predictor:
    if not path.exists():
        raise UsageError(f"No such file: {path}")
    if engine not in ("auto", form.engine):
        raise UsageError(f"{path} runs on the engine {form.engine}; {engine} was asked for.")
    return _open(form, path, task, threads, exact, precision)


def _open(
    form: formats.Format, path: Path, task: str | None, threads: int | None, exact: bool, precision: str = "auto"
) -> Predictor:
    network, card = engines.open_network(form.engine, path, threads)
    if precision not in ("auto", card.precision):
        raise UsageError(f"{path} is in {card.precision}; {precision} was asked for.")
    if card.part is not None and len(card.parts) > 1:
        raise UsageError(
            f"{path} holds the part {card.part} alone, which answers no request; export {card.model} without --part."
        )
    kind, chosen = _task(card.model, card.tasks, task, exact)
    if form.whole and card.adapter is None:
        signature = "serving_default" if kind == next(iter(card.tasks)) else kind
        return Predictor(card.model, chosen, form.engine, network.part(signature), plain=True)
    return Predictor(card.model, chosen, form.engine, functools.partial(chosen.answer, network), network=network)


def _task(name: str, several: Any, kind: str | None, exact: bool) -> tuple[str, Task]:
    kind = next(iter(several)) if kind is None else kind
    if kind not in several:
        raise UsageError(f"{name} does {', '.join(several)}; {kind!r} was asked for.{near(str(kind), several)}")
    return kind, tasks.exactly(several[kind]) if exact else several[kind]


def _keras(built: Built, task: str | None, exact: bool) -> Predictor:
    from kerazoo.engines import keras as keras_engine

    network = keras_engine.network(built)
    _, chosen = _task(built.name, built.tasks, task, exact)
    return Predictor(built.name, chosen, engines.KERAS, functools.partial(chosen.answer, network), network=network)


def _in_memory(
    model: Any, engine: str, labels: Iterable[str] | None, task: Any, normalise: Any, exact: bool
) -> Predictor:
    from kerazoo.own.describing import describe

    if engine not in ("auto", engines.KERAS):
        raise UsageError(f"A keras.Model runs on the engine {engines.KERAS}; for {engine}, export it first.")
    built, _ = describe(model, getattr(model, "name", "model"), labels, task, normalise)
    return _keras(built, None, exact)


DEFAULT = "mobilenet_v1:imagenet"


def default_model(say: Callable[[str], Any]) -> str:
    """The model for pictures of anything: the default ImageNet classifier, else the best one that is present.

    Args:
        say: Is told which one was taken, and why.
    """
    from kerazoo import manifest, store
    from kerazoo.errors import WeightsUnavailable

    entries = manifest.load()
    if store.present(entries[DEFAULT]):
        say(f"Using {DEFAULT}, the default (choose another with -m).")
        return DEFAULT
    try:
        store.fetch(entries[DEFAULT])
        say(f"Using {DEFAULT}, the default, just fetched (choose another with -m).")
        return DEFAULT
    except WeightsUnavailable as error:
        reason = str(error).splitlines()[0]
    present = [entry for entry in entries.values() if entry.labels and store.present(entry) and _sees_colour(entry)]
    if not present:
        raise WeightsUnavailable(f"{DEFAULT} cannot be fetched, and no other classifier is present.\n{reason}")
    best = max(present, key=lambda entry: (entry.labels == "imagenet1k", _accuracy(entry)))
    name = f"{best.variant}:{best.weights}"
    say(f"Using {name} ({best.labels}), the best that is present: {DEFAULT} cannot be fetched. {reason}")
    return name


def _sees_colour(entry: Any) -> bool:
    # Where no picture goes in, there is no recipe.
    return entry.preprocessing.get("channels", "gray") != "gray"


def _accuracy(entry: Any) -> float:
    return max((m["value"] for m in (*entry.measured, *entry.published) if m["metric"] == "top-1"), default=0.0)
