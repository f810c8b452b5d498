"""What a Keras model does for a person, from what its layers say; and what they do not say is assumed aloud."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerazoo import applications, manifest, registry, tasks
from kerazoo.assets import Assets
from kerazoo.codecs.image import Image, Normalise, from_preprocessing
from kerazoo.contract import Task
from kerazoo.errors import UsageError
from kerazoo.own.ends import ends_of
from kerazoo.registry import Built
from kerazoo.tasks.classify import Classify

if TYPE_CHECKING:
    import keras as keras_

TF = Normalise(scale=2 / 255, mean=(1.0,))
TORCH = Normalise(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Normalise("bgr", mean=(103.939, 116.779, 123.68))

MODES: Mapping[str, Normalise | None] = {"tf": TF, "torch": TORCH, "caffe": CAFFE, "none": None}
"""What `keras.applications` calls its ways to normalise pixels 0..255; `none` leaves them as they are."""

CLOSING = ("softmax", "sigmoid")
"""Activations that make probabilities."""


def describe(
    model: keras_.Model, name: str, labels: Iterable[str] | None = None, task: Any = None, normalise: Any = None
) -> tuple[Built, list[str]]:
    """A Keras model with its tasks, and what had to be assumed.

    Args:
        model: Functional or sequential.
        name: What to call it.
        labels: One name a class, in the order of its output; `class_0`, ... by default.
        task: A task, or several by kind, where the model is no classifier of pictures and no builder's of Kerazoo; or
            the word `classify`.
        normalise: A `Normalise`, or one of `MODES`; by default what the builder's pretrained weights want, or nothing.

    Raises:
        UsageError: It is not known what the model does, or what was stated does not fit it.
    """
    assumed: list[str] = []
    inputs, outputs = _ends(model)
    variant, config = recognised(model)
    words = tuple(str(label) for label in labels) if labels is not None else None
    if isinstance(task, str) and task != "classify":
        raise UsageError(f"task={task!r}: give the task itself, as kerazoo.tasks has it; classify alone can be a word.")
    if task is not None and not isinstance(task, str):
        several = dict(task) if isinstance(task, Mapping) else {task.kind: task}
    elif not getattr(config, "include_top", True):
        raise UsageError(
            f"{model.name} is {variant} without its top: it ends in features, which say nothing of classes.\n"
            "Put a layer on top of it, or say what it does with task=..., one of the tasks in kerazoo.tasks."
        )
    elif config is not None and getattr(config, "activation", "none") == "none":
        several = registry.variants()[str(variant)][0].tasks(config, Assets(labels=words))
    else:
        several = {"classify": _classifier(model, inputs, outputs, words, config, assumed)}
    seen = any(port.media == Normalise.media for each in tasks.parts(several).values() for port in each.inputs)
    chosen = normalise_of(variant, normalise, assumed) if seen or normalise is not None else None
    kept = {"variant": variant, **dataclasses.asdict(config)} if config is not None else None
    return Built(name, model, several, chosen, config=kept), assumed


def recognised(model: Any) -> tuple[str | None, Any]:
    """Variant and config of a model that a builder of Kerazoo made, or nothing."""
    found = getattr(applications, "recognise", lambda model: None)(model)
    return found if found is not None else (None, None)


def _ends(model: Any) -> tuple[list[Any], list[Any]]:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise UsageError(
            f"{getattr(model, 'name', model)!r} is no functional or sequential keras.Model whose inputs are known.\n"
            "Wrap it: keras.Model(inputs, model(inputs))."
        )
    return list(inputs), list(outputs)


def _classifier(
    model: Any, inputs: list[Any], outputs: list[Any], labels: tuple[str, ...] | None, config: Any, assumed: list[str]
) -> Task:
    found = f"inputs {[tuple(each.shape) for each in inputs]}, outputs {[tuple(each.shape) for each in outputs]}"
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
        raise UsageError(
            f"{model.name} is not seen to classify pictures: it has {found}.\n"
            "Say what it does with task=..., one of the tasks in kerazoo.tasks."
        )
    _, height, width, channels = inputs[0].shape
    units = outputs[0].shape[-1]
    if None in (height, width):
        raise UsageError(
            f"{model.name} takes pictures of any size ({found}); give the one it was trained at as\n"
            f"task=Classify(Image(height, width, {channels}), labels)."
        )
    if channels not in (1, 3):
        raise UsageError(f"{model.name} takes {channels} channels; pictures have 1 (grey) or 3 (RGB).")
    single = units == 1
    if labels is None:
        count = 2 if single else units
        labels = tuple(f"class_{index}" for index in range(count))
        assumed.append(f"labels class_0 to class_{count - 1}")
    if len(labels) != (2 if single else units):
        raise UsageError(f"{model.name} tells {2 if single else units} classes apart; {len(labels)} labels were given.")
    output = "probabilities" if _closing(outputs[0]) in CLOSING or _shares(model) else "logits"
    assumed.append(f"pictures stretched to {height}x{width}")
    return Classify(Image(height, width, channels), labels, output=output, single=single)


def _shares(model: Any) -> bool:
    """Whether what a model answers to two pictures are probabilities that share 1 out, though no softmax is seen."""
    _, height, width, channels = model.inputs[0].shape
    pixels = np.random.default_rng(3).uniform(0, 255, (2, height, width, channels)).astype(np.float32)
    pixels[1] /= 255
    answered = np.asarray(model(pixels, training=False), np.float32)
    return answered.shape[-1] > 1 and bool(np.isfinite(answered).all()) and ends_of(answered).shared


THROUGH = ("Activation", "Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze")
"""Layers and operations that end a model without changing what its numbers mean, where their activation is linear."""


def _closing(tensor: Any) -> str:
    """The activation that a model ends in; `linear` where there is none to be seen."""
    layer = tensor._keras_history.operation
    kind = type(layer).__name__
    if kind in ("Softmax", "Sigmoid"):
        return kind.lower()
    if hasattr(layer, "layers") and getattr(layer, "outputs", None):  # A model that ends in a model.
        return _closing(layer.outputs[0])
    name = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name == "linear" and kind in THROUGH:
        before = layer._inbound_nodes[tensor._keras_history.node_index].input_tensors
        return _closing(before[0]) if len(before) == 1 else name
    return name


def normalise_of(variant: str | None, stated: Any, assumed: list[str]) -> Normalise | None:
    """What makes pixels 0..255 a Keras model's input: as stated, or as its builder's weights want it.

    Args:
        variant: Of the builder, if one is known.
        stated: A `Normalise`, one of `MODES`, or nothing.
        assumed: Is told what was.
    """
    if isinstance(stated, Normalise):
        return stated
    if stated is not None:
        if stated not in MODES:
            raise UsageError(f"normalise={stated!r} is not known; allowed are a Normalise, {', '.join(MODES)}.")
        return MODES[stated]
    if variant is None:
        assumed.append("pixels 0..255 as they are")
        return None
    chosen = getattr(registry.variants()[variant][0], "NORMALISE", None)
    for entry in manifest.entries_of(variant):
        if entry.preprocessing:
            chosen = from_preprocessing(entry.preprocessing)[1]
            break
    if chosen is None:
        assumed.append("pixels 0..255 as they are")
    else:
        assumed.append(f"pixels as the weights of {variant} want them ({_told(chosen)})")
    return chosen


def _told(normalise: Normalise) -> str:
    mean, std = (",".join(f"{value:g}" for value in values) for values in (normalise.mean, normalise.std))
    return f"{normalise.channels}, (x * {normalise.scale:.4g} - {mean}) / {std}"
