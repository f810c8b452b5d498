"""Training for 8-bit integers: the network as it will be stored, learning what the rounding costs it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerazoo.codecs.image import Normalise
from kerazoo.errors import GateError, UsageError
from kerazoo.lazy import keras, own_layers
from kerazoo.train.calls import Call, calls
from kerazoo.train.jobs import Job

PRODUCTS = ("Conv2D", "DepthwiseConv2D", "Dense")
ACTIVATIONS = ("ReLU", "Activation", "LeakyReLU")
"""What integer kernels compute in one with the layer before: only what comes out is rounded."""
PASSING = ("Dropout", "Flatten", "Identity", "MaxPooling2D", "Reshape", "ZeroPadding2D")
"""Nothing new comes out."""


def at(precision: str) -> Callable[[Job], Job]:
    """What makes a training one for a precision.

    Raises:
        UsageError: There is no such precision.
    """
    if precision != "int8":
        raise UsageError(f"quantize={precision}: networks learn for int8 here, and nothing else.")

    def job(made: Job) -> Job:
        recipe = replace(made.recipe, model=Quantised(made.recipe.model, made.normalise))
        return replace(made, recipe=recipe, notes={**made.notes, "quantized": precision}, finish=folded)

    return job


def export(path: Path, say: Callable[[str], Any]) -> list[Path]:
    """Writes the integer files of a trained model beside it, with the ranges that it learned.

    Args:
        path: The `.keras` file of a network that `folded` made.
        say: Is told, a line each, what was written, or why it was not.

    Raises:
        GateError: None could be made that answers as the network learned.
    """
    from kerazoo.export import run

    rows = json.loads(run("kerazoo.train.quantize.files", str(path)))
    for row in rows:
        say(row["said"])
    made = [Path(row["path"]) for row in rows if row["path"]]
    if not made:
        raise GateError(f"No integer file of {path} could be made; the model itself is there.\n{rows[0]['said']}")
    return made


@dataclass(frozen=True)
class Quantised:
    """Makes the network that learns with rounded weights and activations.

    Attributes:
        make: Makes the plain network, with the weights that it begins from.
        normalise: What makes pixels 0..255 its input, whose range is known therefore.
    """

    make: Callable[[], Any]
    normalise: Normalise | None = None

    def __call__(self) -> Any:
        return quantised(self.make(), known(self.normalise))


def known(normalise: Normalise | None) -> tuple[float, float]:
    """The least and the greatest number that pixels 0..255 become."""
    if normalise is None:
        return 0.0, 255.0
    ends = np.array([[[0.0] * 3], [[255.0] * 3]], np.float32)[..., : 1 if normalise.channels == "gray" else 3]
    made = np.asarray(normalise(ends))
    return min(float(made.min()), 0.0), max(float(made.max()), 0.0)


def quantised(model: Any, ends: tuple[float, float]) -> Any:
    """The same network with `FakeQuant` behind its layers, and its products as `FakeQuantProduct`.

    Args:
        model: A functional model; it stays as it is.
        ends: The range of its input.

    Raises:
        UsageError: It has no convolution or dense layer, or layers that cannot be looked into.
    """
    several = list(calls(model))
    _refuse(model, several)
    readers: dict[int, list[Call]] = defaultdict(list)
    for call in several:
        for tensor in call.inputs:
            readers[id(tensor)].append(call)

    def sole(tensor: Any) -> Call | None:
        """Who reads a tensor, if nobody else does."""
        last = any(tensor is output for output in model.outputs)
        return readers[id(tensor)][0] if len(readers[id(tensor)]) == 1 and not last else None

    tensors: dict[int, Any] = {}
    given = [keras.Input(batch_shape=each.shape, dtype=each.dtype, name=each.name) for each in model.inputs]
    for tensor, new in zip(model.inputs, given, strict=True):
        tensors[id(tensor)] = own_layers.FakeQuant(least=ends[0], most=ends[1], name=f"{tensor.name}_range")(new)
    for call in several:
        layer, output = call.layer, call.outputs[0]
        if id(output) in tensors:
            continue
        if type(layer).__name__ in PRODUCTS:
            after = sole(output)
            norm = after.layer if after is not None and _folds(layer, after.layer) else None
            made = _product(layer, norm)(tensors[id(call.inputs[0])])
            if norm is not None and after is not None:
                output = after.outputs[0]
        else:
            copy = type(layer).from_config(layer.get_config())
            made = call.again(copy, tensors)
            copy.set_weights(layer.get_weights())
        if _rounds(layer, sole(output)):
            made = own_layers.FakeQuant(name=f"{layer.name}_range")(made)
        tensors[id(output)] = made
    outputs = [tensors[id(tensor)] for tensor in model.outputs]
    return keras.Model(
        given if len(given) > 1 else given[0], outputs if len(outputs) > 1 else outputs[0], name=model.name
    )


def _refuse(model: Any, several: list[Call]) -> None:
    names = [call.layer.name for call in several if call.layer.weights]
    twice = {name for name in names if names.count(name) > 1}
    inner = {call.layer.name for call in several if isinstance(call.layer, keras.Model)}
    if twice or inner:
        raise UsageError(
            f"{model.name} cannot be trained for integers: {', '.join(sorted(twice | inner)[:3])} is used twice, or "
            "is a model within the model."
        )
    if not any(type(call.layer).__name__ in PRODUCTS for call in several):
        raise UsageError(f"{model.name} has no layer of the classes {', '.join(PRODUCTS)}; there is nothing to round.")


def _folds(layer: Any, after: Any) -> bool:
    linear = getattr(layer.activation, "__name__", "linear") == "linear"
    return isinstance(after, keras.layers.BatchNormalization) and after.axis in (-1, 3) and linear


def _product(layer: Any, norm: Any) -> own_layers.FakeQuantProduct:
    """Both, with their weights."""
    copies = [type(each).from_config(each.get_config()) for each in (layer, norm) if each is not None]
    made = own_layers.FakeQuantProduct(*copies, name=layer.name)
    made.build(layer.input.shape)
    for copy, each in zip(copies, (layer, norm), strict=False):
        copy.set_weights(each.get_weights())
    return made


def _rounds(layer: Any, after: Call | None) -> bool:
    """Whether what a layer gives is rounded there: not where the next layer is computed in one with it."""
    if type(layer).__name__ in PASSING:
        return False
    # Integers are put side by side as they are, so they must be on one range: that of all.
    name = type(after.layer).__name__ if after is not None else ""
    return name not in (*ACTIVATIONS, "Concatenate")


def folded(model: Any) -> Any:
    """A trained network with its normalisations in its weights, whose ranges are numbers of their own."""

    def fold(layer: Any) -> Any:
        if not isinstance(layer, own_layers.FakeQuantProduct):
            return type(layer).from_config(layer.get_config())
        inner = type(layer.inner).from_config({**layer.inner.get_config(), "use_bias": True})
        return own_layers.FakeQuantProduct(inner, ranged=True, name=layer.name)

    made = keras.models.clone_model(model, clone_function=fold)
    for layer in model.layers:
        new = made.get_layer(layer.name)
        if not isinstance(layer, own_layers.FakeQuantProduct):
            new.set_weights(layer.get_weights())
            continue
        kernel, bias = layer.folded()
        high = np.asarray(own_layers.quantised.symmetric(kernel, layer.one))
        new.inner.kernel.assign(np.asarray(kernel).reshape(new.inner.kernel.shape))
        new.inner.bias.assign(np.broadcast_to(np.asarray(bias), new.inner.bias.shape))
        new.low.assign(-high)
        new.high.assign(high)
    return made
