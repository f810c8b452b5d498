"""`kerazoo.load`: from a name or a path to a predictor, over the engine asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerazoo import engines, registry
from kerazoo.engines.quiet import import_tensorflow
from kerazoo.errors import UsageError, near
from kerazoo.predictor import Predictor

WEIGHTS_ONLY = (".h5", ".npz", ".pth", ".th", ".safetensors", ".ckpt", ".index", ".gz", ".tgz", ".zip", ".caffemodel")
"""Ends of the names of files that hold weights and no network."""


def load(
    model: str | Path,
    engine: str = "auto",
    say: Callable[[str], Any] = lambda line: None,
    *,
    threads: int | None = None,
) -> Predictor:
    """A predictor.

    Args:
        model: `variant`, `variant:weights`, `variant:path/to/weights`, or the path of a .keras file, a SavedModel
            folder, an .onnx file (or folder of parts) or a .tflite file.
        engine: `auto` is the fastest verified artefact, prepared on first use; or one of `kerazoo.engines.NAMES`.
        say: Is told, a line each, what takes long and why.
        threads: Within one run on the engines onnx and litert; the machine's cores by default.

    Raises:
        UnknownModel, UsageError, WeightsUnavailable, GateError: See the message.
    """
    if engine != "auto" and engine not in engines.NAMES:
        known = ("auto", *engines.NAMES)
        raise UsageError(f"Unknown engine {engine!r}; known are {', '.join(known)}.{near(engine, known)}")
    path = Path(model)
    # Behind a colon, such a file is one of weights.
    alone = path.exists() or ":" not in str(model)
    if (alone and path.suffix in (".onnx", ".tflite", ".keras")) or (path / "saved_model.pb").is_file():
        return _open_path(path, engine, threads)
    if alone and str(model).endswith(WEIGHTS_ONLY):
        raise UsageError(f"{model} holds weights only: say whose, as in resnet50:{model}")
    found = registry.find(str(model))
    registry.require_weights(found)
    if engine == "keras" or found.entry is None:
        if engine not in ("auto", "keras"):
            raise UsageError(f"{found.name} runs on the engine keras; for {engine}, export it first.")
        import_tensorflow()
        return _keras(registry.build(found))
    from kerazoo.export import prepare

    if engine == "auto":
        engine, artefact = prepare.fastest(found, say)
    else:
        artefact = prepare.artefact(found, engine, say)
    return _open(engine, artefact, threads)


def _open_path(path: Path, engine: str, threads: int | None) -> Predictor:
    if not path.exists():
        raise UsageError(f"No such file: {path}")
    own = {".onnx": "onnx", ".tflite": "litert", ".keras": "keras"}.get(path.suffix, "savedmodel")
    if engine not in ("auto", own):
        raise UsageError(f"{path} runs on the engine {own}; {engine} was asked for.")
    return _keras(_built_from_keras(path)) if own == "keras" else _open(own, path, threads)


def _open(engine: str, path: Path, threads: int | None = None) -> Predictor:
    if engine == "savedmodel":
        from kerazoo.engines import savedmodel

        bundle, card = savedmodel.open_network(path)
        return Predictor(card.model, card.task, engine, bundle.part("serving_default"), plain=True)
    network, card = engines.open_network(engine, path, threads)
    return Predictor(card.model, card.task, engine, functools.partial(card.task.answer, network))


def _keras(built: registry.Built) -> Predictor:
    from kerazoo.engines import keras as keras_engine

    network = keras_engine.network(built)
    return Predictor(built.name, built.task, "keras", functools.partial(built.task.answer, network))


def _built_from_keras(path: Path) -> registry.Built:
    import_tensorflow()
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras meets damage in the middle of rebuilding, as whatever error comes of it there.
        why = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
        raise UsageError(f"{path} cannot be opened as a Keras model: {why}") from None
    if not isinstance(model, keras.Model):
        raise UsageError(f"{path} holds a {type(model).__name__}, which is no Keras model.")
    if model.name not in registry.variants():
        known = registry.variants()
        raise UsageError(
            f"{path} holds a model called {model.name!r}, which is no variant of Kerazoo, so its task is not known."
            f"{near(model.name, known)}"
        )
    named = registry.find(model.name)
    task, normalise = registry.task_of(named)
    return registry.Built(str(path), model, task, normalise)


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
    return entry.preprocessing is not None and entry.preprocessing["channels"] != "gray"


def _accuracy(entry: Any) -> float:
    return max((m["value"] for m in (*entry.measured, *entry.published) if m["metric"] == "top-1"), default=0.0)
